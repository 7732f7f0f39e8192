"""Replays a loop over a loader, as torch's loader would run it, under other settings.

A discrete-event simulation: the loop asks, gets, takes its step; each worker has a queue of indices and makes
one batch after the other; a feeder thread per worker pickles and sends; a pin-memory thread may stand
between. As in torch, at most ``prefetch_factor * num_workers`` batches are under way, a new index is sent
when one is handed to the loop, to the workers in turn, and with ``in_order`` a batch that is early waits for
its turn.

Cores are shared as a fluid: where everybody together wants more cores than there are, whatever needs a core
proceeds in proportion, while what is blocked (disk, network, sleep) proceeds as it did. Times in ns.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.loops import LoopEpoch, Work

_NEVER = float("inf")


_LEAST_CORES = 0.1
# With fewer cores in use, stalls are not for want of cores that the simulation knows of, and stay as they were.
_CROWDED = 0.1


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a loader that the simulation knows, and what is to be made faster by which factor."""

    num_workers: int
    prefetch_factor: int = 2
    in_order: bool = True
    persistent: bool = False
    pinning: bool = False
    fetch_scale: float = 1.0
    collate_scale: float = 1.0
    transfer_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What stays the same when settings change.

    ``cores``: what the run may use; ``host_cores``: what there is; ``others``: cores that other programs
    want, and share with us; ``taken``: cores that programs of a higher priority use, whatever we want. ``grouped``:
    the run keeps to the share that it got when it wanted ``wanted`` cores, however many of its threads want one, the
    more strictly the higher it is, and the more cores others want (0: each thread gets its part). ``crowding``: the
    share of the cores that all but the loop's process used when stalls were measured. ``step_cores``: cores that the
    loop's step uses. ``threads``: cores that a worker uses while it is on the CPU. ``start``: of one worker, paid one
    after the other by the loop; ``ready``: until a started worker begins to fetch, for which it needs a core for the
    share ``ready_share``; ``opening``: what it then does once, as does a loop without workers; ``reset``: per epoch;
    ``shutdown``: CPU that a worker needs to end.
    """

    cores: float
    host_cores: float
    others: float = 0.0
    taken: float = 0.0
    grouped: float = 0.0
    wanted: float = 1.0
    crowding: float = 0.0
    step_cores: float = 1.0
    threads: float = 1.0
    start: float = 0.0
    ready: float = 0.0
    ready_share: float = 0.0
    opening: float = 0.0
    reset: float = 0.0
    shutdown: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long the loop took, how long it waited, and by which factor the CPU work of workers was slowed
    down.
    """

    wall: float
    wait: float
    slowdown: float


def simulate(epochs: Sequence[LoopEpoch], setup: Setup, ground: Ground) -> Outcome:
    """The loop over all ``epochs`` under ``setup``. Steps are given as they are with a core to themselves."""
    wall = wait = wanted = slowed = 0.0
    for number, epoch in enumerate(epochs):
        starts = number == 0 or not setup.persistent
        if setup.num_workers:
            run = _Epoch(epoch, setup, ground, starts)
            run.replay()
            wall, wait = wall + run.t, wait + run.waited
            wanted, slowed = wanted + run.wanted, slowed + run.slowed
        else:
            spent, waited, computed = _inline(epoch, setup, ground)
            opening = ground.opening if number == 0 else 0.0
            wall, wait = wall + spent + opening, wait + waited + opening
            wanted, slowed = wanted + computed, slowed + computed * slowdown_for(ground.threads, ground)
    return Outcome(wall, wait, slowed / wanted if wanted else 1.0)


def slowdown_for(own: float, ground: Ground) -> float:
    """How many times longer everything takes that computes, while the run wants ``own`` cores."""
    left = max(_LEAST_CORES, ground.host_cores - ground.taken)
    if not ground.grouped:
        return max(1.0, own / ground.cores, own / left, (own + ground.others) / ground.host_cores)
    # Threads beyond the cores get a group no more of them.
    heard = min(own, ground.host_cores)
    by_thread = ground.host_cores * heard / (heard + ground.others) if heard else 0.0
    by_group = ground.host_cores * ground.wanted / (ground.wanted + ground.others)
    # Where others keep all cores busy the kernel is strict; else a second thread finds one idle at times.
    strict = min(1.0, ground.grouped * ground.others / ground.host_cores)
    got = (1.0 - strict) * min(own, by_thread) + strict * min(own, by_group)
    return max(1.0, own / ground.cores, own / left, own / got if got else 1.0)


def free_cores(ground: Ground) -> float:
    """How many cores the run may want before anything takes longer; 0.0 where that has to be computed each time."""
    if ground.grouped and ground.others:
        return 0.0
    return min(
        ground.cores, max(_LEAST_CORES, ground.host_cores - ground.taken), ground.host_cores - ground.others
    )


def _inline(epoch: LoopEpoch, setup: Setup, ground: Ground) -> tuple[float, float, float]:
    loading, stepping = slowdown_for(ground.threads, ground), slowdown_for(ground.step_cores, ground)
    crowd = _crowd(0.0, ground)
    waited = spent = computed = 0.0
    for work, step in zip(epoch.works, epoch.steps, strict=True):
        cpu, off = _demand(work, setup)
        cpu = max(0.0, cpu - work.sharing * setup.collate_scale)
        wait = (
            work.draw
            - work.queueing
            + cpu * loading
            + off
            + (work.pin if setup.pinning else 0)
            + work.delay_stall * crowd
        )
        waited += wait
        computed += cpu
        spent += wait + step.wall * _stretch(ground.step_cores, stepping)
        spent += step.stall * crowd
    return spent, waited, computed


def _demand(work: Work, setup: Setup) -> tuple[float, float]:
    cpu = work.fetch_cpu * setup.fetch_scale + work.collate_cpu * setup.collate_scale
    return cpu, work.fetch_off * setup.fetch_scale + work.collate_off * setup.collate_scale


def _stretch(cores: float, slowdown: float) -> float:
    """How much longer a job takes that is on a core for the share ``cores`` of its time."""
    share = min(1.0, cores)
    return share * slowdown + 1.0 - share


def _crowd(own: float, ground: Ground) -> float:
    """How long a stall is where the rest of the run wants ``own`` cores, as a share of what was measured: as likely as it
    is that all cores are in use. It ends when whoever has the core has used up its turn, and that becomes no longer.
    """
    used = min(1.0, (own + ground.others + ground.taken) / ground.host_cores)
    return min(1.0, used / ground.crowding) if ground.crowding > _CROWDED else 1.0


@dataclass(slots=True, eq=False)
class _Job:
    """What a worker, its feeder thread or the loop is at: ns left of it, the share of it that needs a core, and the
    cores that it wants on average. ``makes``: the share of it that is computing a batch, ``starts``: it is a worker that
    gets ready for its first batch.
    """

    left: float
    share: float
    wants: float
    makes: float = 0.0
    starts: bool = False


class _Epoch:
    """One epoch: the queues, and who does what now."""

    def __init__(self, epoch: LoopEpoch, setup: Setup, ground: Ground, starts: bool) -> None:
        self._works, self._steps = epoch.works, epoch.steps
        self._setup, self._ground, self._starts = setup, ground, starts
        self._free = free_cores(ground)
        workers = setup.num_workers
        self._queues: list[deque[int]] = [deque() for _ in range(workers)]
        self._jobs: list[_Job | None] = [None] * workers
        self._running: list[_Job] = []
        self._making: list[int] = [0] * workers
        self._tasks = [0] * workers
        self._owner: dict[int, int] = {}
        self._available = [0.0] * workers
        self._feeders: list[_Job | None] = [None] * workers
        self._feeding: list[deque[int]] = [deque() for _ in range(workers)]
        self._pin_free = 0.0
        self._timers: list[tuple[float, int]] = []
        self._pipe: deque[int] = deque()
        self._arrived: set[int] = set()
        self._order: deque[int] = deque()
        self._next_worker = 0
        self._sent = 0
        self.t = self.waited = self.wanted = self.slowed = 0.0

    def replay(self) -> None:
        """Run the epoch from the request for it to its end."""
        self._begin()
        for number in range(len(self._works)):
            asked = self.t
            while not self._is_ready(number):
                if self._pipe:
                    self._receive(self._pipe.popleft())
                else:
                    self._advance(None)
            self._take(number)
            self._send()
            self.waited += self.t - asked
            cores = self._ground.step_cores
            self._advance_to_end(_Job(float(self._steps[number].wall), min(1.0, cores), cores))
            self._stall(self._steps[number].stall)
        if self._starts or not self._setup.persistent:
            shutdown = self._ground.shutdown * slowdown_for(self._setup.num_workers, self._ground)
            self.t += shutdown
            self.waited += shutdown

    def _stall(self, ns: int) -> None:
        if ns:
            self._advance_to_end(_Job(ns * _crowd(self._wanted(), self._ground), 0.0, 0.0))

    def _wanted(self) -> float:
        """Cores that workers want now."""
        wanted = 0.0
        for job in self._running:
            wanted += job.wants
        return wanted

    def _begin(self) -> None:
        setup, ground = self._setup, self._ground
        for worker in range(setup.num_workers):
            if self._starts:
                self.t += ground.start
                self._available[worker] = self.t + ground.ready + ground.opening
        for worker in range(setup.num_workers if self._starts else 0):
            # Starting takes cores too: many workers that import torch wait for each other.
            left = max(1.0, self._available[worker] - self.t)
            share = ground.ready_share * ground.ready / max(1.0, ground.ready + ground.opening)
            self._available[worker] = _NEVER
            self._jobs[worker] = job = _Job(left, share, share, starts=True)
            self._running.append(job)
        self.t += 0.0 if self._starts else ground.reset
        for _ in range(setup.prefetch_factor * setup.num_workers):
            self._send()
        self.waited += self.t

    def _send(self) -> None:
        """Draw the next indices and put them into the queue of the worker whose turn it is."""
        if self._sent >= len(self._works):
            return
        workers = self._setup.num_workers
        for _ in range(workers):
            worker = self._next_worker
            self._next_worker = (worker + 1) % workers
            if self._setup.in_order or self._tasks[worker] < self._setup.prefetch_factor:
                break
        idx = self._sent
        self._sent += 1
        self.t += self._works[idx].draw
        self._tasks[worker] += 1
        self._owner[idx] = worker
        self._queues[worker].append(idx)
        self._occupy(worker, idle=True)

    def _occupy(self, worker: int, idle: bool = False) -> None:
        if self._jobs[worker] is None and self._queues[worker] and self._available[worker] <= self.t:
            idx = self._queues[worker].popleft()
            work = self._works[idx]
            cpu, off = _demand(work, self._setup)
            if idle:
                off += work.wake
            if work.delay_stall:
                off += work.delay_stall * _crowd(self._wanted(), self._ground)
            busy = max(1.0, cpu + off)
            share = cpu / busy
            self._jobs[worker] = job = _Job(busy, share, share * self._ground.threads, makes=share)
            self._running.append(job)
            self._making[worker] = idx

    def _is_ready(self, number: int) -> bool:
        return number in self._arrived if self._setup.in_order else bool(self._order)

    def _take(self, number: int) -> None:
        idx = number if self._setup.in_order else self._order.popleft()
        self._arrived.discard(idx)
        self._tasks[self._owner[idx]] -= 1

    def _receive(self, idx: int) -> None:
        """While it waits the loop unpickles whatever arrives, whichever batch it waits for."""
        work = self._works[idx]
        making = self._jobs[self._owner[idx]]
        if making is not None and work.held_up:
            held = _Job(float(work.held_up), 0.0, 0.0)
            while held.left > 1e-6 and self._jobs[self._owner[idx]] is making:
                self._advance(held)
        self._advance_to_end(_Job(float(work.receive), 1.0, 1.0))
        self._stall(work.stall)
        self._arrive(idx)

    def _advance_to_end(self, job: _Job) -> None:
        while job.left > 1e-6:
            self._advance(job)

    def _advance(self, main: _Job | None) -> None:
        """Let time pass until something ends: a worker's batch, a timer, or what the loop is at."""
        # This runs for every batch of every prediction: plain loops, no generators.
        running = self._running
        own = main.wants if main is not None else 0.0
        for job in running:
            own += job.wants
        slowdown = slowdown_for(own, self._ground) if own > self._free else 1.0
        # With a core for everybody, times are those that were measured.
        slowed = slowdown > 1.0
        step = max(0.0, self._timers[0][0] - self.t) if self._timers else _NEVER
        longer = _stretch(main.share, slowdown) if main is not None and slowed else 1.0
        if main is not None:
            step = min(step, main.left * longer)
        for job in running:
            ends = job.left * (job.share * slowdown + 1.0 - job.share) if slowed else job.left
            if ends < step:
                step = ends
        if step == _NEVER:
            raise RuntimeError("the simulated loop waits for a batch that nobody makes")
        self.t += step
        if main is not None:
            main.left -= step / longer
        ended = False
        on_cpu = 0.0
        done = step
        for job in running:
            if slowed:
                done = step / (job.share * slowdown + 1.0 - job.share)
            job.left -= done
            on_cpu += done * job.makes
            if job.left <= 1e-6:
                ended = True
        self.wanted += on_cpu
        self.slowed += on_cpu * slowdown
        if ended:
            self._running = [job for job in running if job.left > 1e-6]
            for worker, fed in enumerate(self._feeders):
                if fed is not None and fed.left <= 1e-6:
                    self._feeders[worker] = None
                    self._fed(self._feeding[worker].popleft())
                    self._feed(worker)
            for worker, made in enumerate(self._jobs):
                if made is not None and made.left <= 1e-6:
                    self._jobs[worker] = None
                    if made.starts:
                        self._available[worker] = self.t
                    else:
                        self._feeding[worker].append(self._making[worker])
                        if len(self._feeding[worker]) == 1:
                            self._feed(worker)
                    self._occupy(worker)
        while self._timers and self._timers[0][0] <= self.t + 1e-6:
            self._arrive(heapq.heappop(self._timers)[1])

    def _arrive(self, idx: int) -> None:
        self._arrived.add(idx)
        self._order.append(idx)

    def _feed(self, worker: int) -> None:
        """Let the feeder thread of a worker begin with the next batch that was made."""
        if self._feeding[worker]:
            work = self._works[self._feeding[worker][0]]
            left = max(1.0, work.feed * self._setup.transfer_scale)
            share = min(1.0, work.feed_cpu * self._setup.transfer_scale / left)
            self._feeders[worker] = job = _Job(left, share, share)
            self._running.append(job)

    def _fed(self, idx: int) -> None:
        if not self._setup.pinning:
            self._pipe.append(idx)
            return
        # One thread for all workers takes it from here.
        work = self._works[idx]
        self._pin_free = max(self.t, self._pin_free) + work.receive + work.held_up + work.pin
        heapq.heappush(self._timers, (self._pin_free, idx))
