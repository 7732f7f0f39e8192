"""The loop over a loader: how long it ran, its steps, and what each batch cost those who made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from dlcheck.diagnosis.attribution import Wait, clocks
from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import Batch, Cost, Epoch, LoaderLife
from dlcheck.diagnosis.transport import Way, between, ways

_NO_WAY = Way()


@dataclass(frozen=True, slots=True)
class Work:
    """What one batch cost, in ns, without any waiting for a core.

    ``feed``: from the worker's hands to where the loop can read it (pickling, shared memory, pipe), of which the feeder
    thread computes for ``feed_cpu``; ``receive``: the loop's process (unpickling and handing over); ``draw``: the
    sampler. ``measured``: the thread's clocks are known, else everything counts as ``fetch_off``.

    ``held_up``: how much longer than that taking it took, since its worker computes: tensors are handed over by a thread
    of the worker, which then waits for the GIL there, or for a core. ``overlaps``: the worker was making another batch
    when the loop took this one; ``freed``: and that had to wait until it was made. ``sharing``: the part of
    ``cpu`` that only a worker spends, as it collates into shared memory; ``queueing``: that of ``draw`` which only
    handing the indices to a worker takes. ``wake``: until a worker that has
    nothing to do begins with it. ``delay``: how long the thread that made it waited for a core; ``queued``: how long that
    of the loop did before it had the batch. ``delay_stall``, ``stall``: the parts of these that what the threads compute
    does not explain (see ``demand``).
    """

    fetch_cpu: int
    fetch_off: int
    collate_cpu: int = 0
    collate_off: int = 0
    feed: int = 0
    feed_cpu: int = 0
    receive: int = 0
    held_up: int = 0
    pin: int = 0
    draw: int = 0
    sharing: int = 0
    queueing: int = 0
    overlaps: bool = False
    freed: bool = False
    wake: int = 0
    delay: int = 0
    delay_stall: int = 0
    queued: int = 0
    stall: int = 0
    measured: bool = True

    @property
    def cpu(self) -> int:
        """CPU time of the worker's main thread."""
        return self.fetch_cpu + self.collate_cpu

    @property
    def off(self) -> int:
        """Time for which the worker was blocked."""
        return self.fetch_off + self.collate_off

    @property
    def busy(self) -> int:
        """Time for which the worker was occupied, had it had a core whenever it wanted one."""
        return self.cpu + self.off


@dataclass(frozen=True, slots=True)
class Step:
    """What the loop did with a batch, in ns. ``cpu``: of all threads of its process; ``queued``: how long its own
    thread waited for a core; None: not known. ``stall``: as that of ``Work``.
    """

    wall: int
    cpu: int | None = None
    queued: int | None = None
    stall: int = 0


@dataclass(frozen=True, slots=True)
class LoopEpoch:
    """One pass of the loop: what each of its batches cost, and the step that followed each. In order of use."""

    works: tuple[Work, ...]
    steps: tuple[Step, ...]
    iterator: int
    owners: tuple[int, ...]


def loop_span(loader: LoaderLife, waits: tuple[Wait, ...], end: int) -> tuple[Interval, ...]:
    """When the loops over the loader ran: intervals of time, in order, without overlap.

    An epoch that was left before its end lasts until its last batch, the median step and its shutdown.
    """
    step = median(steps) if (steps := [s for e in _epochs(loader) for s in step_times(e)]) else 0
    spans = [(wait.begin, wait.end) for wait in waits]
    for epoch in _epochs(loader):
        reached = [t for b in epoch.batches for t in (b.asked, b.got) if t is not None]
        if epoch.exhausted and epoch.end is not None:
            spans.append((epoch.begin, epoch.end))
        elif reached:
            stop = max(reached) + int(step)
            spans.append((epoch.begin, min(stop, epoch.end if epoch.end is not None else end)))
    return merged(spans)


def merged(spans: list[Interval]) -> tuple[Interval, ...]:
    """The union of intervals."""
    result: list[Interval] = []
    for begin, end in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        elif end > begin:
            result.append((begin, end))
    return tuple(result)


def length(spans: tuple[Interval, ...]) -> int:
    """How long intervals are in all, in ns."""
    return sum(end - begin for begin, end in spans)


def step_times(epoch: Epoch) -> list[int]:
    """The time between getting a batch and asking for the next, in order of use; the last one only where it
    is known.
    """
    used = sorted((b for b in epoch.batches if b.got is not None), key=_asked)
    asks = [_asked(b) for b in epoch.batches if b.asked is not None]
    asks = sorted(asks)[1:] + ([epoch.last_asked] if epoch.last_asked is not None else [])
    return [max(0, ask - b.got) for b, ask in zip(used, asks, strict=False) if b.got is not None]


def loop_epochs(loader: LoaderLife) -> tuple[LoopEpoch, ...]:
    """The passes of the loop as the simulation replays them."""
    inline = not loader.settings.get("num_workers")
    result = []
    for number, iterator in enumerate(loader.iterators):
        for epoch in iterator.epochs:
            made = [b for b in epoch.batches if b.got is not None]
            found = {} if inline else ways(made)
            works = tuple(work_of(batch, inline, found.get(batch.idx, _NO_WAY)) for batch in made)
            if works:
                owners = tuple(b.worker or 0 for b in made)
                result.append(LoopEpoch(works, _steps(epoch, len(works)), number, owners))
    return tuple(result)


def _steps(epoch: Epoch, count: int) -> tuple[Step, ...]:
    """``count`` steps; the last one is taken to be like the others where the loop was left before its end."""
    walls = step_times(epoch)
    asked = sorted((b for b in epoch.batches if b.asked is not None), key=_asked)[1:]
    steps = [Step(wall) for wall in walls]
    for number, (wall, following) in enumerate(zip(walls, asked, strict=False)):
        steps[number] = Step(wall, following.step_cpu_ns, following.step_queued_ns)
    usual = Step(int(median(walls))) if walls else Step(0)
    return tuple((steps + [usual] * count)[:count])


def work_of(batch: Batch, inline: bool = False, way: Way = _NO_WAY) -> Work:
    """What one batch cost, and its ``way`` to the loop. A stage that was not seen costs nothing, and the work is then
    not ``measured``.
    """
    fetch_cpu, fetch_off, fetch_delay = _split(batch.usual_fetch)
    collate_cpu, collate_off, collate_delay = _split(batch.collate)
    known = batch.fetch is not None and batch.fetch.cpu_ns is not None and (inline or batch.put is not None)
    return Work(
        fetch_cpu=fetch_cpu,
        fetch_off=fetch_off,
        collate_cpu=collate_cpu,
        collate_off=collate_off,
        pin=between(batch.pin_begin, batch.pin_end),
        draw=(
            between(batch.asked, batch.fetch_begin)
            if inline
            else between(batch.index_begin, batch.index_sent)
        ),
        delay=fetch_delay + collate_delay,
        measured=known,
        wake=way.wake,
        feed=way.feed,
        feed_cpu=way.feed_cpu,
        receive=way.receive,
        queued=way.queued,
        overlaps=way.overlaps,
        freed=way.freed,
    )


def _split(cost: Cost | None) -> tuple[int, int, int]:
    if cost is None:
        return 0, 0, 0
    if cost.cpu_ns is None:
        return 0, cost.wall_ns, 0
    cpu, delay, blocked = clocks(cost)
    return cpu, blocked, delay


def _asked(batch: Batch) -> int:
    return batch.asked if batch.asked is not None else 0


def _epochs(loader: LoaderLife) -> Iterator[Epoch]:
    for iterator in loader.iterators:
        yield from iterator.epochs
