"""What the machine has room for: cores, memory and shared memory that more workers would need."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.timeline import Timeline

# Of what is free, so much may be used: the training needs some later.
_PART = 0.7


@dataclass(frozen=True, slots=True)
class Room:
    """What limits the number of workers. None: not known, and no limit.

    ``cores``: usable; ``cpu_share``: cores that one busy worker wants; ``worker_bytes``: memory of its own;
    ``batch_bytes``: size of a batch; ``memory_bytes``, ``shm_bytes``: what was free at the least, what the present
    setting holds included. ``ranks``: training processes that share the machine.
    """

    workers: int
    held: int
    ranks: int
    cores: float | None
    cpu_share: float | None
    worker_bytes: float | None
    batch_bytes: float
    memory_bytes: float | None
    shm_bytes: float | None

    def refusal(self, workers: int, prefetch: int) -> str:
        """Why there is no room for so many workers and batches; "" where there is."""
        if workers <= self.workers and workers * prefetch <= self.held:
            return ""
        wanted = self.ranks * workers * (self.cpu_share if self.cpu_share is not None else 1.0)
        if workers > max(1, self.workers) and self.cores is not None and wanted > self.cores + 0.05:
            return "cores"
        ready = self.ranks * workers * prefetch * self.batch_bytes
        if self.shm_bytes is not None and ready > _PART * self.shm_bytes:
            return "shared memory"
        more = self.ranks * max(0, workers - self.workers) * (self.worker_bytes or 0.0)
        if self.memory_bytes is not None and more + ready > _PART * self.memory_bytes:
            return "memory"
        return ""


def room(timeline: Timeline, evidence: Evidence, prefetch: int) -> Room:
    """The room that there was while the program ran."""
    loader = evidence.loader
    pids = {life.pid for iterator in loader.iterators for life in iterator.workers}
    own = [
        value
        for sample in timeline.processes
        if sample.pid in pids and (value := sample.uss or sample.private_dirty)
    ]
    sizes = [
        batch.size_bytes
        for iterator in loader.iterators
        for epoch in iterator.epochs
        for batch in epoch.batches
        if batch.size_bytes is not None
    ]
    size = median(sizes) if sizes else 0.0
    same = [other for other in timeline.loaders if other.created_at == loader.created_at]
    ranks = len({other.pid for other in same}) or 1
    held = evidence.workers * prefetch
    shm = [s.shm_free for s in timeline.machine if s.shm_free is not None]
    return Room(
        workers=evidence.workers,
        held=held,
        ranks=ranks,
        cores=evidence.cores.usable,
        cpu_share=evidence.making.cpu_share,
        worker_bytes=max(own, default=None),
        batch_bytes=size,
        memory_bytes=_memory(timeline, ranks * held * size),
        shm_bytes=min(shm) + ranks * held * size if shm else None,
    )


def _memory(timeline: Timeline, held_bytes: float) -> float | None:
    free = [sample.mem_available for sample in timeline.machine]
    limit = timeline.environment.get("memory_limit_bytes")
    available = min(free) + held_bytes if free else None
    if limit is None or available is None:
        return available
    used: dict[int, int] = {}
    for sample in timeline.processes:
        used[sample.pid] = max(used.get(sample.pid, 0), sample.uss or sample.rss)
    return min(available, max(0.0, float(limit) - sum(used.values())))
