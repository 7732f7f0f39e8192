"""What a worker waits for while it is blocked in the dataset, where the system can tell.

Two witnesses: the function of the kernel that its thread sleeps in (``/proc/PID/wchan``, read with the counters), and
the innermost Python frames of its stack. A futex alone says little: a lock, a timed wait and the GIL all end there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.hotlines import StageStacks
from dlcheck.diagnosis.timeline import LoaderLife, ProcessSample, Site

_CHANNELS = {
    "lock_inode_wait": "a lock on a file",
    "nanosleep": "a sleep",
    "folio_wait": "the disk",
    "io_schedule": "the disk",
    "wait_on_page": "the disk",
    "nfs": "the network",
    "fuse": "the network",
    "wait_woken": "the network",
    "sk_wait": "the network",
}
# Where Python code asks for a lock that processes share.
_LOCKS = ("multiprocessing/synchronize.py", "/filelock/", "/portalocker/", "/fasteners/")

_FEWEST = 4
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Blocked:
    """``on``: what workers wait for in most of their samples, "" where it is not known. ``locked``: the part of the
    fetch for which they wait for a lock that other workers hold.
    """

    on: str
    locked: float


def blocked_on(
    loader: LoaderLife, samples: Sequence[ProcessSample], stacks: Sequence[StageStacks]
) -> Blocked:
    """What the workers of ``loader`` are blocked by while they fetch."""
    channels = [_kind(sample) for sample in _while_fetching(loader, samples)]
    asleep = [kind for kind in channels if kind is not None]
    fetches = next((s for s in stacks if s.stage == "fetch"), None)
    weight = fetches.weight_ns if fetches is not None else 0
    locked = 0.0
    if fetches is not None and weight:
        locked = sum(s.weight_ns for s in fetches.samples if _asks_for_lock(s.frames)) / weight
    if len(channels) >= _FEWEST:
        locked = max(locked, channels.count("a lock on a file") / len(channels))
    if locked >= _HALF:
        return Blocked("a lock that they share", locked)
    named = [kind for kind in asleep if kind]
    most = max(set(named), key=named.count, default="")
    sure = len(asleep) >= _FEWEST and named.count(most) > _HALF * len(asleep)
    return Blocked(most if sure else "", locked)


def worker_cores(loader: LoaderLife, samples: Sequence[ProcessSample]) -> int | None:
    """How many cores the workers may run on, all together; None where it is not told."""
    pids = {life.pid for iterator in loader.iterators for life in iterator.workers}
    masks = {sample.pid: sample.affinity for sample in samples if sample.pid in pids and sample.affinity}
    union = 0
    for mask in masks.values():
        union |= int(mask, 16)
    return union.bit_count() or None


def _kind(sample: ProcessSample) -> str | None:
    """What it waits for; "" for something else, None where it does not wait."""
    if sample.state == "D":
        return "the disk"
    if sample.state != "S" or not sample.channel:
        return None
    if sample.channel == "do_wait":
        return "a process that it started"
    return next((meaning for name, meaning in _CHANNELS.items() if name in sample.channel), "")


def _asks_for_lock(frames: tuple[Site, ...]) -> bool:
    return bool(frames) and any(place in frames[-1].file.replace("\\", "/") for place in _LOCKS)


def _while_fetching(loader: LoaderLife, samples: Sequence[ProcessSample]) -> Iterator[ProcessSample]:
    fetches = {pid: sorted(spans) for pid, spans in _fetches(loader).items()}
    for sample in samples:
        spans = fetches.get(sample.pid)
        if spans:
            at = bisect_right(spans, (sample.t, 1 << 62)) - 1
            if at >= 0 and sample.t < spans[at][1]:
                yield sample


def _fetches(loader: LoaderLife) -> Mapping[int, list[tuple[int, int]]]:
    spans: dict[int, list[tuple[int, int]]] = {}
    for iterator in loader.iterators:
        pids = {life.worker: life.pid for life in iterator.workers}
        for epoch in iterator.epochs:
            for batch in epoch.batches:
                if batch.worker in pids and batch.fetch_begin is not None and batch.fetch is not None:
                    span = batch.fetch_begin, batch.fetch_begin + batch.fetch.wall_ns
                    spans.setdefault(pids[batch.worker], []).append(span)
    return spans
