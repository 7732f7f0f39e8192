"""What computes for a worker beside its own thread: other threads of its process, and children that it waits for.

The clocks of a fetch are those of the thread that ran it. While that thread waits for a pool of threads (OpenMP,
OpenCV, a video decoder) or for a child (ffmpeg, gzip), its clocks say "blocked", as if it read from a disk. The
counters of its process say otherwise: CPU of all threads and of children that have ended, and how long all threads
have waited for a core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlcheck.diagnosis.by_process import by_process
from dlcheck.diagnosis.timeline import Batch, Cost, Epoch, Helpers, IteratorLife, LoaderLife, ProcessSample

# Below this part of the time for which workers are busy, other threads are those of the loader itself (feeder,
# resource sharer) and of the interpreter.
_LEAST = 0.15
# The counters of CPU have a grain of 10 ms, and are read twice a second.
_SHORTEST_NS = 500_000_000


def with_helpers(loader: LoaderLife, samples: Sequence[ProcessSample]) -> LoaderLife:
    """The loader with what its fetches were blocked for counted as CPU and waiting for a core, as far as helpers were
    at work.
    """
    helpers = _helpers(loader, samples)
    if helpers is None:
        return loader
    iterators = tuple(_adapted(iterator, helpers) for iterator in loader.iterators)
    return replace(loader, iterators=iterators, helpers=helpers)


def _helpers(loader: LoaderLife, samples: Sequence[ProcessSample]) -> Helpers | None:
    by_pid = by_process(samples)
    busy = own = blocked = all_cpu = all_queued = queued = feeding = 0.0
    threads = 0
    for pid, batches in _made(loader):
        seen = by_pid.get(pid, [])
        begun = min((b.fetch_begin for b in batches if b.fetch_begin is not None), default=None)
        ended = max((b.put for b in batches if b.put is not None), default=None)
        if begun is None or ended is None:
            continue
        # Before the first fetch it was starting, and after the last it has nothing to do.
        seen = [s for s in seen if begun <= s.t <= ended]
        if len(seen) < 2 or seen[0].children_cpu_s is None or seen[0].queued_s is None:
            continue
        first, last = seen[0], seen[-1]
        threads = max(threads, max(s.threads or 1 for s in seen))
        all_cpu += (last.cpu_s - first.cpu_s) * 1e9
        all_cpu += ((last.children_cpu_s or 0.0) - (first.children_cpu_s or 0.0)) * 1e9
        all_queued += max(0.0, (last.queued_s or 0.0) - (first.queued_s or 0.0)) * 1e9
        for part, cost in _costs(batches, first.t, last.t):
            busy += part * cost.wall_ns
            own += part * (cost.cpu_ns or 0)
            queued += part * (cost.runqueue_ns or 0)
            blocked += part * (cost.blocked_ns or 0)
        for batch in batches:
            if (
                batch.pickle_begin is not None
                and batch.pickle_end is not None
                and first.t <= batch.pickle_begin <= last.t
            ):
                feeding += batch.pickle_end - batch.pickle_begin
    cpu = all_cpu - own - feeding
    if busy < _SHORTEST_NS or cpu < _LEAST * busy:
        return None
    waiting = max(0.0, all_queued - queued)
    hidden = min(1.0, (cpu + waiting) / blocked) if blocked else 0.0
    computing = own + hidden * blocked * cpu / (cpu + waiting)
    return Helpers(cpu / busy, waiting / busy, own / busy, threads, hidden, computing / busy)


def _made(loader: LoaderLife) -> Iterator[tuple[int, list[Batch]]]:
    for iterator in loader.iterators:
        made: dict[int, list[Batch]] = {}
        for epoch in iterator.epochs:
            for batch in epoch.batches:
                if batch.worker is not None and batch.fetch is not None:
                    made.setdefault(batch.worker, []).append(batch)
        for life in iterator.workers:
            if life.worker in made:
                yield life.pid, made[life.worker]


def _costs(batches: Sequence[Batch], begin: int, end: int) -> Iterator[tuple[float, Cost]]:
    """The stages of batches, with the part of each that lies between ``begin`` and ``end``."""
    for batch in batches:
        for at, cost in ((batch.fetch_begin, batch.fetch), (batch.collate_begin, batch.collate)):
            if at is not None and cost is not None and cost.wall_ns > 0:
                within = min(end, at + cost.wall_ns) - max(begin, at)
                if within > 0:
                    yield within / cost.wall_ns, cost


def _adapted(iterator: IteratorLife, helpers: Helpers) -> IteratorLife:
    return replace(iterator, epochs=tuple(_adapted_epoch(epoch, helpers) for epoch in iterator.epochs))


def _adapted_epoch(epoch: Epoch, helpers: Helpers) -> Epoch:
    batches = tuple(
        b if b.worker is None or b.fetch is None else replace(b, fetch=_adapted_cost(b.fetch, helpers))
        for b in epoch.batches
    )
    return replace(epoch, batches=batches)


def _adapted_cost(cost: Cost, helpers: Helpers) -> Cost:
    blocked = cost.blocked_ns
    if not blocked or cost.cpu_ns is None:
        return cost
    helped = blocked * helpers.hidden
    computed = int(helped * helpers.cpu / (helpers.cpu + helpers.queued))
    queued = None if cost.runqueue_ns is None else cost.runqueue_ns + int(helped) - computed
    return replace(cost, cpu_ns=cost.cpu_ns + computed, runqueue_ns=queued)
