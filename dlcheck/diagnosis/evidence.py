"""What is known of one loader, gathered: the ground on which verdicts are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles

from dlcheck.diagnosis.attribution import Wait, attribute, by_cause, clocks, total
from dlcheck.diagnosis.blocked import Blocked, blocked_on, worker_cores
from dlcheck.diagnosis.composition import composed
from dlcheck.diagnosis.handover import Handover, handover, payload
from dlcheck.diagnosis.hotlines import (
    HotLine,
    Project,
    StageStacks,
    beside_loop,
    hot_lines,
    stage_stacks,
)
from dlcheck.diagnosis.loops import length, loop_epochs, loop_span
from dlcheck.diagnosis.machine import Cores, Usage, cores_during
from dlcheck.diagnosis.memory import MemoryGrowth, memory_growth, worker_memory
from dlcheck.diagnosis.prediction import Model, build_model
from dlcheck.diagnosis.spans import Part
from dlcheck.diagnosis.timeline import Batch, Cost, Incident, LoaderLife, Timeline

# From this part of the fetch on, what a lock guards is a large part of what workers can do at a time.
_LOCKED = 0.2
# A line about an error is written a moment after the loop has met it.
_SAYING_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Making:
    """How batches were made, over all workers (or inline). Times in ns; None: the clocks are not known.

    ``median``, ``p95``, ``worst``: time to make one batch, waiting for a core left out. ``slow``: how many
    took more than twice the median. ``slow_reorder``: the part of the waits for order that was for those.
    ``cpu_share``: cores that one busy worker wants. ``slowdown``: (CPU + waiting for a core) / CPU.
    ``busy_share``: of the time between first index and last batch, how much of it the mean worker was making
    batches.
    """

    batches: int
    median: float | None
    p95: float | None
    worst: int | None
    slow: int
    slow_reorder: float
    cpu_share: float | None
    slowdown: float | None
    busy_share: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One loader's loop: its waits and all that explains them. Times in ns.

    ``once``: the part of waits that comes once in a run (first start-up and first batches, the end);
    ``parts``: causes of all waits, ``recurring``: of those that come again and again, ``blamed``: the same with the
    making of a batch shared among its stages (``composition``). ``restarts``: iterators
    made after the first one. ``threads``: how many threads consumed one and the same iterator, or the loader
    at the same time. ``run_share``: what this loop takes of the time of all loops of the run, without what comes once.
    ``main_busy``: cores that other threads of the training process used while its loop waited. ``worker_cores``: how
    many the workers may run on.
    """

    loader: LoaderLife
    waits: tuple[Wait, ...]
    wall: int
    wait: int
    once: int
    parts: dict[Part, int]
    recurring: dict[Part, int]
    blamed: dict[Part, int]
    handover: Handover
    batches: int
    samples: int | None
    epochs: int
    restarts: int
    step: float | None
    making: Making
    cores: Cores
    stacks: tuple[StageStacks, ...]
    lines: tuple[HotLine, ...]
    memory: MemoryGrowth | None
    model: Model | None
    threads: int
    shares: tuple[tuple[int, ...], ...]
    incidents: tuple[Incident, ...]
    project: Project
    blocked: Blocked
    worker_cores: int | None = None
    run_share: float = 1.0
    main_busy: float | None = None

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return int(self.loader.settings.get("num_workers") or 0)

    @property
    def usable_cores(self) -> float | None:
        """Cores that the workers may use."""
        known = [cores for cores in (self.cores.usable, self.worker_cores) if cores is not None]
        return min(known, default=None)

    @property
    def are_bound(self) -> bool:
        """Whether the workers may run on fewer cores than the run."""
        known = self.worker_cores, self.cores.usable
        return known[0] is not None and known[1] is not None and known[0] < known[1]

    @property
    def have_threads(self) -> bool:
        """Whether pools of threads compute within the workers."""
        return self.loader.helpers is not None and self.loader.helpers.are_threads

    @property
    def shares_a_lock(self) -> bool:
        """Whether workers wait for each other's lock for long enough that more of them would only wait longer."""
        return self.blocked.locked >= _LOCKED

    @property
    def batch_bytes(self) -> float:
        """The median size of a batch; 0 where it is not known."""
        sizes = [b.size_bytes for b in _batches(self.loader) if b.size_bytes is not None]
        return median(sizes) if sizes else 0.0

    @property
    def wait_share(self) -> float:
        """The part of the loop's time that it waited."""
        return self.wait / self.wall if self.wall else 0.0

    @property
    def recurring_share(self) -> float:
        """The same without what comes once in a run."""
        wall = self.wall - self.once
        return max(0, self.wait - self.once) / wall if wall > 0 else 0.0


def gather(timeline: Timeline, loader: LoaderLife, usage: Usage) -> Evidence:
    """The evidence on one loader. Its share of the run is not known here: see ``gather_all``."""
    waits = attribute(loader, timeline.end)
    spans = loop_span(loader, waits, timeline.end)
    wall = length(spans)
    epochs = loop_epochs(loader)
    stacks = stage_stacks(timeline, loader, waits)
    cores = cores_during(timeline, loader, spans, usage)
    project = Project(timeline.environment)
    making = _making(loader, waits)
    busy = _main_busy(loader)
    once = tuple(wait for wait in waits if wait.phase in ("warm-up", "end"))
    recurring = tuple(wait for wait in waits if wait.phase not in ("warm-up", "end"))
    steps = [step.wall for epoch in epochs for step in epoch.steps]
    samples = [b.samples for b in _batches(loader) if b.got is not None]
    queued = {
        b.asked: b.wait_queued_ns
        for b in _batches(loader)
        if b.asked is not None and b.wait_queued_ns is not None
    }
    return Evidence(
        loader=loader,
        waits=waits,
        wall=wall,
        wait=sum(wait.ns for wait in waits),
        once=sum(wait.ns for wait in once),
        parts=total(waits),
        recurring=total(recurring),
        blamed=composed(recurring, _batches(loader)),
        handover=handover(recurring, cores, payload(_batches(loader)), busy, queued),
        batches=len(samples),
        samples=sum(s for s in samples if s is not None) if samples and None not in samples else None,
        epochs=len(epochs),
        restarts=sum(bool(iterator.workers) for iterator in loader.iterators[1:]),
        step=median(steps) if steps else None,
        making=making,
        cores=cores,
        stacks=stacks,
        lines=hot_lines((*stacks, beside_loop(timeline, loader, waits)), project, loader),
        memory=memory_growth(timeline, loader, worker_memory(timeline, loader)),
        model=build_model(loader, epochs, cores, making.slowdown, wall),
        threads=_threads(loader),
        shares=_worker_shares(loader),
        incidents=_own_incidents(timeline, loader),
        project=project,
        main_busy=busy,
        blocked=blocked_on(loader, timeline.processes, stacks),
        worker_cores=worker_cores(loader, timeline.processes),
    )


def gather_all(timeline: Timeline, usage: Usage | None = None) -> list[Evidence]:
    """The evidence on every loader of the run. ``usage``: of its cores, where the timeline has a part of the run only."""
    usage = usage or Usage.of(timeline)
    gathered = [gather(timeline, loader, usage) for loader in timeline.loaders]
    spent: dict[int, int] = {}
    for evidence in gathered:
        # Loops of different processes (ranks) run side by side.
        spent[evidence.loader.pid] = spent.get(evidence.loader.pid, 0) + evidence.wall - evidence.once
    shares = ((e, spent[e.loader.pid]) for e in gathered)
    return [replace(e, run_share=(e.wall - e.once) / whole if whole > 0 else 1.0) for e, whole in shares]


def recurring_causes(evidence: Evidence) -> dict[str, int]:
    """Nanoseconds of each cause in the waits that come again and again."""
    return by_cause(evidence.recurring)


def _making(loader: LoaderLife, waits: Sequence[Wait]) -> Making:
    made = {(id(b)): b for b in _batches(loader) if b.fetch is not None}
    costs = [cost for b in made.values() for cost in (b.fetch, b.collate) if cost is not None]
    known = [clocks(cost) for cost in costs if cost.cpu_ns is not None]
    cpu, queued, blocked = (sum(clock[i] for clock in known) for i in range(3))
    has_queue = any(cost.runqueue_ns is not None for cost in costs)
    own = sorted(_own_ns(b) for b in made.values())
    middle = median(own) if own else None
    slow = {b.idx for b in made.values() if middle is not None and _own_ns(b) > 2 * middle}
    reorder = slow_reorder = 0
    for wait in waits:
        ns = sum(ns for (cause, _), ns in wait.parts.items() if cause == "reorder")
        reorder += ns
        slow_reorder += ns if wait.idx in slow else 0
    return Making(
        batches=len(own),
        median=middle,
        p95=quantiles(own, n=20)[-1] if len(own) > 1 else None,
        worst=own[-1] if own else None,
        slow=sum(middle is not None and ns > 2 * middle for ns in own),
        slow_reorder=slow_reorder / reorder if reorder else 0.0,
        cpu_share=cpu / (cpu + blocked) if cpu + blocked else None,
        slowdown=(cpu + queued) / cpu if cpu and has_queue else None,
        busy_share=_busy_share(loader),
    )


def _own_ns(batch: Batch) -> int:
    return sum(_without_queue(cost) for cost in (batch.usual_fetch, batch.collate) if cost is not None)


def _without_queue(cost: Cost) -> int:
    return cost.wall_ns - min(cost.wall_ns, cost.runqueue_ns or 0)


def _busy_share(loader: LoaderLife) -> float | None:
    busy = there = 0
    for iterator in loader.iterators:
        for epoch in iterator.epochs:
            made = [b for b in epoch.batches if b.worker is not None and b.fetch is not None]
            ends = [b.put for b in made if b.put is not None]
            begins = [b.fetch_begin for b in made if b.fetch_begin is not None]
            if ends and begins:
                there += len({b.worker for b in made}) * (max(ends) - min(begins))
                busy += sum(c.wall_ns for b in made for c in (b.fetch, b.collate) if c is not None)
    return busy / there if there else None


def _main_busy(loader: LoaderLife) -> float | None:
    used = waited = 0
    for batch in _batches(loader):
        if batch.asked is not None and batch.got is not None and batch.wait_other_cpu_ns is not None:
            used, waited = used + batch.wait_other_cpu_ns, waited + batch.got - batch.asked
    return used / waited if waited else None


def _threads(loader: LoaderLife) -> int:
    """Threads on one iterator, or threads whose loops over different iterators of the loader overlap."""
    most = max((len(iterator.threads) for iterator in loader.iterators), default=0)
    spans = []
    for iterator in loader.iterators:
        times = [t for e in iterator.epochs for b in e.batches for t in (b.asked, b.got) if t is not None]
        if times and iterator.threads:
            spans.append((min(times), max(times), iterator.threads[0]))
    for begin, end, thread in spans:
        overlapping = {t for b, e, t in spans if b < end and e > begin} | {thread}
        most = max(most, len(overlapping))
    return most


def _worker_shares(loader: LoaderLife) -> tuple[tuple[int, ...], ...]:
    """Batches of each worker, for every epoch that was exhausted: how an iterable dataset was divided."""
    shares = []
    for iterator in loader.iterators:
        for epoch in iterator.epochs:
            counts = dict.fromkeys((life.worker for life in iterator.workers), 0)
            for batch in epoch.batches:
                if batch.worker in counts and batch.got is not None:
                    counts[batch.worker] += 1
            if epoch.exhausted and counts:
                shares.append(tuple(counts[worker] for worker in sorted(counts)))
    return tuple(shares)


def _own_incidents(timeline: Timeline, loader: LoaderLife) -> tuple[Incident, ...]:
    workers = {life.pid for iterator in loader.iterators for life in iterator.workers}
    begun = min((e.begin for i in loader.iterators for e in i.epochs), default=0)
    return tuple(
        incident
        for incident in timeline.incidents
        if incident.pid in workers
        or (incident.pid == loader.pid and incident.t >= begun and _was_waiting(loader, incident.t))
    )


def _was_waiting(loader: LoaderLife, t: int) -> bool:
    """Whether the loop over this loader was between its first request and its last one at the time."""
    for iterator in loader.iterators:
        for epoch in iterator.epochs:
            if epoch.begin <= t and (epoch.end is None or t <= epoch.end + _SAYING_NS):
                return True
    return False


def _batches(loader: LoaderLife) -> list[Batch]:
    return [b for iterator in loader.iterators for epoch in iterator.epochs for b in epoch.batches]
