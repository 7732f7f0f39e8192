"""What stays the same when settings of a loader change: cores, what the step uses of them, starts and ends of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from dlcheck.diagnosis.demand import stalling
from dlcheck.diagnosis.loops import LoopEpoch
from dlcheck.diagnosis.machine import Cores
from dlcheck.diagnosis.simulation import Ground, Setup, simulate, slowdown_for
from dlcheck.diagnosis.timeline import LoaderLife, WorkerLife

# Start-up of a worker that nobody has seen: a fork; a new interpreter that imports torch.
_FORK_NS = (20e6, 40e6)
_SPAWN_NS = (30e6, 2.5e9)
_END_NS = 5e6
_LEAST_OTHERS = 0.05
# Of the computing.
_LEAST_WAITING = 0.02


def ground_of(
    loader: LoaderLife, epochs: Sequence[LoopEpoch], cores: Cores, slowdown: float, wall_ns: int
) -> Ground:
    """The ground of a measured loop. ``shutdown`` is for all workers together. ``slowdown``: (CPU + waiting for a core)
    over CPU of the threads that make batches.
    """
    lives = [life for iterator in loader.iterators for life in iterator.workers]
    method = loader.settings.get("start_method")
    guess = _FORK_NS if method in (None, "fork") else _SPAWN_NS
    usable = cores.usable or 1.0
    many = max((len(iterator.workers) for iterator in loader.iterators), default=0)
    ready, share = _readiness(lives, many, usable) or (guess[1], 1.0)
    starts = [
        life.process_started - life.process_start
        for life in lives
        if life.process_started is not None and life.process_start is not None
    ]
    ends = [
        i.shutdown_end - i.shutdown_begin
        for i in loader.iterators
        if i.shutdown_end is not None and i.shutdown_begin is not None and _in_loop(i.shutdown_begin, loader)
    ]
    later = [epoch for iterator in loader.iterators for epoch in iterator.epochs[1:]]
    resets = [
        e.iterator_end - e.iterator_begin
        for e in later
        if e.iterator_end is not None and e.iterator_begin is not None
    ]
    openings = [b.opening_ns for i in loader.iterators for e in i.epochs for b in e.batches if b.opening_ns]
    return Ground(
        cores=usable,
        host_cores=max(usable, cores.host or usable),
        others=cores.others or 0.0,
        grouped=1.0 if cores.grouped else 0.0,
        wanted=min(max(1.0, (cores.own or 0.0) * slowdown), max(usable, cores.host or usable)),
        crowding=_crowding(cores),
        step_cores=_step_cores(epochs, cores, usable, slowdown, wall_ns),
        start=median(starts) if starts else guess[0],
        threads=loader.helpers.cores if loader.helpers is not None else 1.0,
        ready=ready,
        ready_share=share,
        opening=median(openings) if openings else 0.0,
        reset=median(resets) if resets else 2e6,
        shutdown=median(ends) if ends else _END_NS,
    )


def scaled(ground: Ground, part: float) -> Ground:
    """The same where only a part of each epoch is replayed: the part of what comes once in an epoch that falls to it."""
    if part == 1.0:
        return ground
    return replace(
        ground,
        start=ground.start * part,
        ready=ground.ready * part,
        opening=ground.opening * part,
        reset=ground.reset * part,
        shutdown=ground.shutdown * part,
    )


def with_others(epochs: Sequence[LoopEpoch], setup: Setup, ground: Ground, slowdown: float | None) -> Ground:
    """Let other programs want as much as explains how long those who make batches really waited for a core.
    ``slowdown``: see ``demand.measured_slowdown``; where it is not known, others want what they use.
    """
    if slowdown is None or ground.others < _LEAST_OTHERS:
        return ground

    def slowed(others: float) -> float:
        return simulate(epochs, setup, replace(ground, others=others)).slowdown

    found = ground.others
    # They want at least what they use, unless that explains more waiting than there was. Waiting for a moment tells
    # nothing: where the run leaves a core free, any number of others would explain it.
    if slowed(found) < slowdown - _LEAST_WAITING:
        found = _where(slowed, slowdown, found, 8.0 * ground.host_cores)
    elif slowed(found) > slowdown:
        found = _where(slowed, slowdown, 0.0, found)
    return replace(ground, others=found)


def with_start_stalls(ground: Ground, loader: LoaderLife) -> Ground:
    """The same where workers that start wait for a core, beyond what sharing the cores makes of what they compute."""
    lives = [life for iterator in loader.iterators for life in iterator.workers]
    many = max((len(iterator.workers) for iterator in loader.iterators), default=0)
    slowdown = slowdown_for(many * ground.ready_share, ground)
    clocked = [life for life in lives if life.start_queued_ns is not None and life.start_cpu_ns is not None]
    queued = [life.start_queued_ns or 0 for life in clocked]
    part = stalling(queued, [life.start_cpu_ns or 0 for life in clocked], slowdown)
    ready = ground.ready + (part * median(queued) if queued else 0.0)
    return replace(
        ground, ready=ready, ready_share=ground.ready_share * ground.ready / ready if ready else 0.0
    )


def _where(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a function that rises reaches a value, between ``low`` and ``high``."""
    for _ in range(8):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _crowding(cores: Cores) -> float:
    """The share of the cores that all but the loop's process used."""
    if cores.host is None or cores.others is None or cores.own is None or cores.main is None:
        return 1.0
    return min(1.0, max(0.0, cores.own - cores.main + cores.others) / cores.host)


def _readiness(lives: Sequence[WorkerLife], many: int, usable: float) -> tuple[float, float] | None:
    """How long a worker takes to get ready once it was started, with a core whenever it wants one, and for which share of
    that it does. ``many``: how many were started at once. None where it is not known.
    """
    readies: list[float] = []
    clocked: list[float] = []
    queued: list[int] = []
    for life in lives:
        ready = life.dataset_ready if life.dataset_ready is not None else life.ready
        if life.process_started is None or ready is None:
            continue
        readies.append(max(0, ready - life.process_started - (life.start_queued_ns or 0)))
        if life.start_cpu_ns is not None:
            clocked.append(life.start_cpu_ns)
        if life.start_queued_ns is not None:
            queued.append(life.start_queued_ns)
    if not readies:
        return None
    took = median(readies)
    # What nobody has clocked computes: a new interpreter imports, a fork copies.
    cpu = min(took, median(clocked)) if clocked else took
    if took and not queued and many * cpu / took > 0.9 * usable:
        # They had to share cores: alone each would have been ready sooner.
        took = cpu
    return took, cpu / took if took else 0.0


def _in_loop(t: int, loader: LoaderLife) -> bool:
    """Whether a shutdown kept the loop waiting: it came when the loop asked once more, not when the program
    ended.
    """
    return any(
        e.last_asked is not None and e.end is not None and e.last_asked <= t <= e.end
        for i in loader.iterators
        for e in i.epochs
    )


def _step_cores(
    epochs: Sequence[LoopEpoch], cores: Cores, usable: float, slowdown: float, wall_ns: int
) -> float:
    """How many cores the loop's step uses while it runs with a core to itself."""
    steps = [step for epoch in epochs for step in epoch.steps]
    clocked = [(step.cpu, step.wall - (step.queued or 0)) for step in steps if step.cpu is not None]
    if 2 * len(clocked) > len(steps):
        spent = sum(wall for _, wall in clocked)
        return min(usable, sum(cpu for cpu, _ in clocked) / spent) if spent > 0 else 1.0
    whole = sum(step.wall for step in steps)
    if cores.main is None or not whole:
        return 1.0
    inline = all(not work.feed and not work.receive for epoch in epochs for work in epoch.works)
    loading = sum(
        work.receive + work.draw + (work.cpu if inline else 0) for epoch in epochs for work in epoch.works
    )
    used = max(0.0, cores.main * wall_ns - loading) / whole
    if used >= 1.0:
        return min(usable, used)
    # A step that uses its core for the share u takes 1 + u (slowdown - 1) times as long while others want it
    # too.
    left = 1.0 - used * (slowdown - 1.0)
    return min(1.0, used / left) if left > 0 else 1.0
