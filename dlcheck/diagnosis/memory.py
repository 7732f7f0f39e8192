"""The memory of a loader's workers: copy-on-write growth, leaks, and what is neither.

Growth of *private* memory (private dirty, else USS) is what counts. Resident memory that grows while private
memory stays is page cache or a mapped file: no fault. Private memory that grows while resident memory stays
is shared memory that is copied: a forked worker writes the reference count of every Python object that it
looks at (torch issue 13246). Both growing is new memory: a cache without bound, or a leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Literal

from dlcheck.diagnosis.timeline import LoaderLife, ProcessSample, Timeline

# The interpreter's own arenas, buffers of libraries and the first batches settle within this much.
_SETTLING_BYTES = 16 << 20
# Two readings show a difference. Whether it was a step (a buffer that is filled once, the freed heap that a forked
# worker inherits and writes to), or growth, takes a third.
_FEWEST_SAMPLES = 3
# Growth of which all but this part came between one reading and the next is a step.
_STEP = 0.25
_PAGE_BYTES = 4096
_MOST_FAULTS = 2.0


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """Private and resident bytes of one worker, first and last of its readings. ``slope``: private bytes
    per second, over the last half. ``step``: the most that it gained between one reading and the next.
    """

    pid: int
    first_t: int
    last_t: int
    private_first: int
    private_last: int
    rss_first: int
    rss_last: int
    slope: float
    step: int

    @property
    def growth(self) -> int:
        """Private bytes gained while it was observed."""
        return self.private_last - self.private_first


@dataclass(frozen=True, slots=True)
class MemoryGrowth:
    """Growth of the workers' private memory.

    ``kind``: "copy-on-write", bounded by what they share with the training process (``plateau_bytes``: in
    all), or "leak". ``seconds_to_limit``: at the present slope, until the memory left to the run is used up;
    None where it grows too slowly, or not for that long.
    """

    kind: Literal["copy-on-write", "leak"]
    workers: int
    growth_bytes: int
    bytes_per_s: float
    plateau_bytes: int | None
    available_bytes: int | None
    seconds_to_limit: float | None


def worker_memory(timeline: Timeline, loader: LoaderLife) -> tuple[WorkerMemory, ...]:
    """What was seen of each worker whose private memory was read often enough to speak of growth, since it had made its
    first batch: what it opens or builds for that comes once.
    """
    opened = _opened(loader)
    by_pid: dict[int, list[ProcessSample]] = {}
    for sample in timeline.processes:
        if sample.pid in opened:
            by_pid.setdefault(sample.pid, []).append(sample)
    known = (
        [reading for reading in _readings(samples) if reading.t >= opened[pid]]
        for pid, samples in by_pid.items()
    )
    return tuple(_observe(readings) for readings in known if len(readings) >= _FEWEST_SAMPLES)


def _opened(loader: LoaderLife) -> dict[int, int]:
    """When each worker had made its first batch, by its process."""
    opened: dict[int, int] = {}
    for iterator in loader.iterators:
        pids = {life.worker: life.pid for life in iterator.workers}
        for epoch in iterator.epochs:
            for batch in epoch.batches:
                if batch.put is not None and batch.worker in pids:
                    pid = pids[batch.worker]
                    opened[pid] = min(opened.get(pid, batch.put), batch.put)
    return opened


def _readings(samples: Sequence[ProcessSample]) -> list[ProcessSample]:
    """The samples with private memory. Where there are two only, as of a short run on a crowded machine, those between
    them get theirs from the pages that the process had touched by then: each was a minor fault. Not where it touched many
    more than it kept: those say nothing of when it grew.
    """
    readings = [sample for sample in samples if _private(sample)]
    if len(readings) != 2:
        return readings
    first, last = readings
    if first.minor_faults is None or last.minor_faults is None or last.minor_faults <= first.minor_faults:
        return readings
    faults, growth = last.minor_faults - first.minor_faults, _private(last) - _private(first)
    if faults * _PAGE_BYTES > _MOST_FAULTS * growth:
        return readings
    between = [
        replace(s, private_dirty=_private(first) + growth * (s.minor_faults - first.minor_faults) // faults)
        for s in samples
        if first.t < s.t < last.t and s.minor_faults is not None
    ]
    return [first, *between, last]


def memory_growth(
    timeline: Timeline, loader: LoaderLife, workers: Sequence[WorkerMemory]
) -> MemoryGrowth | None:
    """The growth worth speaking of, if there is any.

    It must exceed what a worker needs to settle in, and a quarter of what it began with; and it must still
    go on, or be copy-on-write (which ends when everything is copied, and then stays).
    """
    grown = [
        w
        for w in workers
        if w.growth > max(_SETTLING_BYTES, w.private_first // 4) and w.step < (1 - _STEP) * w.growth
    ]
    if not grown:
        return None
    copied = [w for w in grown if w.rss_last - w.rss_first < w.growth / 2]
    forked = loader.settings.get("start_method") in (None, "fork", "forkserver")
    kind: Literal["copy-on-write", "leak"] = (
        "copy-on-write" if forked and 2 * len(copied) >= len(grown) else "leak"
    )
    mean_slope = sum(w.growth / max(1e-9, (w.last_t - w.first_t) / 1e9) for w in grown) / len(grown)
    going_on = [w for w in grown if w.slope > 0.2 * mean_slope]
    if kind == "leak" and (2 * len(going_on) <= len(grown) or _is_prefetch(loader, grown)):
        return None
    count = max((len(iterator.workers) for iterator in loader.iterators), default=len(grown))
    slope = count * sum(w.slope for w in going_on) / len(grown)
    available = _available(timeline)
    plateau = None
    if kind == "copy-on-write":
        plateau = count * max(w.rss_last for w in grown)
    kept = count * fmean(w.private_last for w in grown)
    to_go = None if plateau is None else max(0, plateau - kept)
    seconds = None
    if available is not None and slope > 0 and (to_go is None or to_go > available):
        seconds = available / slope
    growth = round(count * fmean(w.growth for w in grown))
    return MemoryGrowth(kind, count, growth, slope, plateau, available, seconds)


def _observe(samples: Sequence[ProcessSample]) -> WorkerMemory:
    first, last = samples[0], samples[-1]
    middle = next(s for s in samples if s.t - first.t >= (last.t - first.t) / 2)
    earlier = middle if middle is not last else samples[-2]
    slope = (_private(last) - _private(earlier)) * 1e9 / max(1, last.t - earlier.t)
    step = max(_private(after) - _private(before) for before, after in pairwise(samples))
    return WorkerMemory(
        last.pid, first.t, last.t, _private(first), _private(last), first.rss, last.rss, slope, step
    )


def _private(sample: ProcessSample) -> int:
    return sample.private_dirty or sample.uss or 0


def _is_prefetch(loader: LoaderLife, grown: Sequence[WorkerMemory]) -> bool:
    """Whether the growth is no more than the batches that a worker holds ready."""
    sizes = [
        b.size_bytes
        for i in loader.iterators
        for e in i.epochs
        for b in e.batches
        if b.size_bytes is not None
    ]
    held = (int(loader.settings.get("prefetch_factor") or 2) + 2) * max(sizes, default=0)
    return all(w.growth < 1.5 * held for w in grown)


def _available(timeline: Timeline) -> int | None:
    if not timeline.machine:
        return None
    available = timeline.machine[-1].mem_available
    limit = timeline.environment.get("memory_limit_bytes")
    if limit:
        used = {s.pid: _private(s) for s in timeline.processes if _private(s)}
        available = min(available, max(0, int(limit) - sum(used.values())))
    return available
