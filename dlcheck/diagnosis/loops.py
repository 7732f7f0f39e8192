"""The loop over a loader: how long it ran, its steps, and what each batch cost those who made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from dlcheck.diagnosis.attribution import Interval, Wait, clocks
from dlcheck.diagnosis.timeline import Batch, Cost, Epoch, LoaderLife


@dataclass(frozen=True, slots=True)
class Work:
    """What one batch cost, in ns, without any waiting for a core.

    ``feed``: its feeder thread (pickling, shared memory, pipe); ``receive``: the loop's process (unpickling
    and handing over); ``draw``: the sampler. ``measured``: the thread's clocks are known, else everything
    counts as ``fetch_off``. ``held_up``: how much longer
    than that taking it took, since its worker computes: tensors are handed over by a thread of the worker, which then
    waits for the GIL there, or for a core.
    """

    fetch_cpu: int
    fetch_off: int
    collate_cpu: int = 0
    collate_off: int = 0
    feed: int = 0
    receive: int = 0
    held_up: int = 0
    pin: int = 0
    draw: int = 0
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
    thread waited for a core; None: not known.
    """

    wall: int
    cpu: int | None = None
    queued: int | None = None


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
            works = tuple(work_of(batch, inline) for batch in made)
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


def work_of(batch: Batch, inline: bool = False) -> Work:
    """What one batch cost. A stage that was not seen costs nothing, and the work is then not ``measured``."""
    fetch_cpu, fetch_off = _split(batch.usual_fetch)
    collate_cpu, collate_off = _split(batch.collate)
    known = batch.fetch is not None and batch.fetch.cpu_ns is not None and (inline or batch.put is not None)
    return Work(
        fetch_cpu=fetch_cpu,
        fetch_off=fetch_off,
        collate_cpu=collate_cpu,
        collate_off=collate_off,
        feed=_between(batch.pickle_begin, batch.pickle_end) + _between(batch.send_begin, batch.send_end),
        receive=0 if inline else _receive(batch),
        pin=_between(batch.pin_begin, batch.pin_end),
        draw=(
            _between(batch.asked, batch.fetch_begin)
            if inline
            else _between(batch.index_begin, batch.index_sent)
        ),
        measured=known,
    )


def _receive(batch: Batch) -> int:
    """What taking a batch costs the loop, beyond the time until it is there: or with pinning, the thread for it."""
    if batch.pin_begin is not None or batch.received is None or batch.got is None:
        return _between(batch.read, batch.pin_begin if batch.pin_begin is not None else batch.received)
    begun = batch.asked if batch.send_end is not None and batch.send_end <= _asked(batch) else batch.read
    drawing = min(_between(batch.index_begin, batch.index_sent), batch.got - batch.received)
    return max(0, _between(begun, batch.got) - drawing - (batch.wait_queued_ns or 0))


def _split(cost: Cost | None) -> tuple[int, int]:
    if cost is None:
        return 0, 0
    if cost.cpu_ns is None:
        return 0, cost.wall_ns
    cpu, _, blocked = clocks(cost)
    return cpu, blocked


def _between(begin: int | None, end: int | None) -> int:
    return max(0, end - begin) if begin is not None and end is not None else 0


def _asked(batch: Batch) -> int:
    return batch.asked if batch.asked is not None else 0


def _epochs(loader: LoaderLife) -> Iterator[Epoch]:
    for iterator in loader.iterators:
        yield from iterator.epochs
