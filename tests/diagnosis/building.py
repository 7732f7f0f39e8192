"""Builds timelines by hand, in milliseconds, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dlcheck.diagnosis.timeline import (
    Batch,
    Cost,
    Epoch,
    IteratorLife,
    LoaderLife,
    Site,
    Timeline,
    WorkerLife,
)

MS = 1_000_000

ENVIRONMENT: dict[str, Any] = {
    "affinity": 8,
    "cpu_count": 8,
    "cpu_quota": None,
    "directory": "/project",
    "python": "3.11.7",
    "main": "/project/train.py",
}


def cost(wall: float, cpu: float | None = 0.0, queued: float | None = 0.0) -> Cost:
    """A stage's cost in ms."""
    return Cost(ns(wall), None if cpu is None else ns(cpu), None if queued is None else ns(queued))


def ns(ms: float) -> int:
    """Milliseconds as whole nanoseconds."""
    return round(ms * MS)


def batch(
    idx: int,
    worker: int | None,
    *,
    asked: float,
    got: float,
    fetch: tuple[float, float],
    clocks: Cost | None = None,
    collate_ms: float = 0.0,
    send_ms: float = 0.0,
    **more: Any,
) -> Batch:
    """A batch that was fetched from ``fetch[0]`` to ``fetch[1]`` (ms), then collated, sent and received at
    once.
    """
    begin, end = fetch
    collated = end + collate_ms
    sent = collated + send_ms
    stamps = Batch(
        idx=idx,
        worker=worker,
        epoch=0,
        index_sent=ns(begin),
        index_received=ns(begin),
        fetch_begin=ns(begin),
        collate_begin=ns(end),
        collate_end=ns(collated),
        put=ns(collated) if worker is not None else None,
        pickle_begin=ns(collated) if worker is not None else None,
        pickle_end=ns(sent) if worker is not None else None,
        send_begin=ns(sent) if worker is not None else None,
        send_end=ns(sent) if worker is not None else None,
        read=ns(max(sent, asked)) if worker is not None else None,
        received=ns(max(sent, asked)) if worker is not None else None,
        asked=ns(asked),
        got=ns(got),
        samples=8,
        fetch=clocks if clocks is not None else cost(end - begin),
        collate=cost(collate_ms, collate_ms),
    )
    return replace(stamps, **more)


def epoch(batches: Sequence[Batch], begin: float = 0.0, end: float | None = None, **more: Any) -> Epoch:
    """An epoch that was exhausted after its last batch."""
    reached = max((b.got or 0) for b in batches) if batches else ns(begin)
    last = ns(end) if end is not None else reached
    made = Epoch(0, ns(begin), ns(begin), ns(begin), last, True, tuple(batches), last_asked=last)
    return replace(made, **more)


def iterator(epochs: Sequence[Epoch], workers: int = 0, serial: int = 1, **more: Any) -> IteratorLife:
    """An iterator whose workers were ready at time 0."""
    lives = tuple(
        WorkerLife(n, 100 + 10 * serial + n, 0, 0, ready=0, dataset_ready=0, ended=None)
        for n in range(workers)
    )
    return replace(IteratorLife(serial, 1, (1,), lives, tuple(epochs)), **more)


def loader(iterators: Sequence[IteratorLife], **settings: Any) -> LoaderLife:
    """A loader created at train.py:10."""
    workers = max((len(i.workers) for i in iterators), default=0)
    known: dict[str, Any] = {"num_workers": workers, "prefetch_factor": 2, "in_order": True, "batch_size": 8}
    return LoaderLife(
        "1:1",
        1,
        None,
        Site("/project/train.py", 10, "main"),
        "Data",
        Site("/project/data.py", 5, "Data"),
        known | settings,
        tuple(iterators),
        items_at=Site("/project/data.py", 9, "Data.__getitem__"),
    )


def timeline(*loaders: LoaderLife, **more: Any) -> Timeline:
    """A run of these loaders."""
    ends = [e.end or 0 for life in loaders for i in life.iterators for e in i.epochs]
    made = Timeline(0, max(ends, default=0), ("python", "train.py"), 0, dict(ENVIRONMENT), tuple(loaders))
    return replace(made, **more)


def steady(
    batches: int,
    service_ms: float,
    step_ms: float,
    workers: int = 1,
    cpu_share: float = 0.0,
    begin: float = 0.0,
    slow: dict[int, float] | None = None,
) -> Epoch:
    """An epoch in order, as the loader would run it: each worker makes its batches one after the other.

    At most two batches per worker are under way. ``slow``: other service times, by batch.
    """
    made: list[Batch] = []
    free = [begin] * workers
    now = begin
    gots: list[float] = []
    for idx in range(batches):
        worker = idx % workers
        service = (slow or {}).get(idx, service_ms)
        sent = gots[idx - 2 * workers] if idx >= 2 * workers else begin
        start = max(free[worker], sent)
        free[worker] = start + service
        got = max(now, free[worker])
        clocks = cost(service, service * cpu_share)
        made.append(batch(idx, worker, asked=now, got=got, fetch=(start, start + service), clocks=clocks))
        gots.append(got)
        now = got + step_ms
    return epoch(made, begin, now)


def restarted(epochs: int) -> list[IteratorLife]:
    """Iterators of one epoch each, whose worker takes 500 ms to start, every second."""
    iterators = []
    for number in range(epochs):
        begin, ready = ns(1000 * number), ns(1000 * number + 500)
        made = steady(20, 5, 20, begin=1000 * number + 500)
        made = replace(made, begin=begin, iterator_begin=begin, iterator_end=ready)
        life = iterator([made], 1, serial=number + 1)
        worker = replace(life.workers[0], process_start=begin, process_started=ready, ready=ready)
        iterators.append(replace(life, workers=(replace(worker, dataset_ready=ready),)))
    return iterators
