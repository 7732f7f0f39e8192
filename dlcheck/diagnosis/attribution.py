"""Splits every wait of a loop among the causes of it, along the critical path of the batch that was awaited.

A wait of batch k runs from ``asked`` to ``got``. What happened to k, seen from the loop, is a chain of
stages; each nanosecond of the wait lies in exactly one of them, so that the causes add up to the wait:

    worker starts | worker has other batches | idle | fetch | collate | pickle, send | read | unpickle | pin |
    hand over startup         queued                     dispatch  fetch-* collate  transfer      main
    transfer   pin    main

The seconds of a fetch are split in the ratio of its thread's own clocks: CPU, waiting for a core, blocked.
The part of a wait during which a later batch was ready already is ``reorder``. ``detail`` keeps what lies
beneath a cause: what the worker did during ``queued`` and ``reorder``, what the loop itself did during
``main``, which part of ``startup`` it was, in which stage a core was waited for. Where stamps are missing the
cause is ``unknown``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.spans import Interval, Part, Shares, Span, add, fill
from dlcheck.diagnosis.timeline import Batch, Cost, Epoch, IteratorLife, LoaderLife, WorkerLife

CAUSES = (
    "startup",
    "queued",
    "dispatch",
    "fetch-cpu",
    "fetch-io",
    "cpu-wait",
    "collate",
    "transfer",
    "pin-memory",
    "reorder",
    "main",
    "unknown",
)

WORKER_BUSY = {"fetch": "worker busy", "collate": "worker busy collating"}
"""Beneath ``transfer``, by stage: the worker was on the CPU with its next batch, and did not get round to answering."""

_ON_CPU = ("fetch-cpu", "cpu-wait")

_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait of a loop and what it was spent on. Times in CLOCK_MONOTONIC ns.

    ``kind``: "construction" (of the iterator, or its reset), "batch", "end" (the call that was answered by
    the end of the epoch) or "shutdown" (of an iterator that was abandoned).
    ``phase``: "warm-up" (the construction of the first iterator, and each worker's first batch),
    "epoch-start" (the same of every later epoch, and the end of the one before), "head-start" (batches that
    were requested before the loop first asked), "steady", or "end" (of the last epoch).
    ``parts`` adds up to ``end - begin``.
    """

    kind: str
    phase: str
    begin: int
    end: int
    idx: int | None
    worker: int | None
    parts: dict[Part, int]

    @property
    def ns(self) -> int:
        return self.end - self.begin


def attribute(loader: LoaderLife, end: int) -> tuple[Wait, ...]:
    """Every wait of the loader's loops, in order of time. ``end``: of the recording, for a wait that never
    ended.
    """
    waits: list[Wait] = []
    epochs = 0
    for position, iterator in enumerate(loader.iterators):
        last = position == len(loader.iterators) - 1
        inline = not iterator.workers and not loader.settings.get("num_workers")
        for epoch in iterator.epochs:
            final = last and epoch is iterator.epochs[-1]
            waits += _epoch_waits(loader, iterator, epoch, epochs == 0, final, inline, end)
            epochs += 1
        if not last:
            waits += _abandoned(iterator)
    return tuple(sorted(waits, key=lambda wait: wait.begin))


def total(waits: Iterable[Wait]) -> dict[Part, int]:
    """Nanoseconds of each part over all ``waits``."""
    parts: dict[Part, int] = {}
    for wait in waits:
        for part, ns in wait.parts.items():
            parts[part] = parts.get(part, 0) + ns
    return parts


def by_cause(parts: dict[Part, int]) -> dict[str, int]:
    """Nanoseconds of each cause, in the order of CAUSES, causes of none left out."""
    causes = dict.fromkeys(CAUSES, 0)
    for (cause, _), ns in parts.items():
        causes[cause] += ns
    return {cause: ns for cause, ns in causes.items() if ns}


def _epoch_waits(
    loader: LoaderLife, iterator: IteratorLife, epoch: Epoch, first: bool, last: bool, inline: bool, end: int
) -> Iterator[Wait]:
    start = "warm-up" if first else "epoch-start"
    sends = _index_spans(epoch.batches)
    if epoch.iterator_begin is not None and epoch.iterator_end is not None:
        begun, ended = epoch.iterator_begin, epoch.iterator_end
        spans = _construction(iterator, sends)
        yield Wait("construction", start, begun, ended, None, None, fill(begun, ended, spans, "startup"))
    workers = int(loader.settings.get("num_workers") or 0)
    ahead = workers * int(loader.settings.get("prefetch_factor") or 2)
    in_order = loader.settings.get("in_order") is not False
    lives = {life.worker: life for life in iterator.workers}
    works = _works(iterator)
    ready = _ready_later(epoch.batches) if in_order and workers > 1 else None
    for position, batch in enumerate(epoch.batches):
        if batch.asked is None:
            continue
        got = batch.got if batch.got is not None else max(batch.asked, epoch.end or end)
        phase = start if batch.idx < max(1, workers) else "head-start" if batch.idx < ahead else "steady"
        if inline:
            parts = fill(batch.asked, got, _inline(batch, bool(loader.settings.get("pinning"))), "main")
        else:
            work = works.get(batch.worker, []) if batch.worker is not None else []
            life = lives.get(batch.worker) if batch.worker is not None else None
            later = _FOREVER if ready is None else ready[position + 1]
            parts = _path(batch, got, work, life, sends, later)
        yield Wait("batch", phase, batch.asked, got, batch.idx, batch.worker, parts)
    if epoch.last_asked is not None and epoch.end is not None:
        spans = _ending(iterator, epoch)
        parts = fill(epoch.last_asked, epoch.end, spans, "main")
        yield Wait("end", "end" if last else "epoch-start", epoch.last_asked, epoch.end, None, None, parts)


def _abandoned(iterator: IteratorLife) -> Iterator[Wait]:
    """The shutdown of an iterator whose loop was left before its end: the loop waits for it all the same."""
    epoch = iterator.epochs[-1] if iterator.epochs else None
    begin, end = iterator.shutdown_begin, iterator.shutdown_end
    if epoch is not None and not epoch.exhausted and begin is not None and end is not None:
        yield Wait("shutdown", "epoch-start", begin, end, None, None, {("startup", "shutdown"): end - begin})


def _construction(iterator: IteratorLife, sends: Sequence[Interval]) -> list[Span]:
    spans: list[Span] = [(begin, end, (("dispatch", "sampler", 1),)) for begin, end in sends]
    for life in iterator.workers:
        if life.process_start is not None and life.process_started is not None:
            spans.append((life.process_start, life.process_started, (("startup", "process", 1),)))
    return sorted(spans)


def _ending(iterator: IteratorLife, epoch: Epoch) -> list[Span]:
    """What the loop waited for when there was no further batch: workers that had not finished, and their
    shutdown.
    """
    spans: list[Span] = []
    if iterator.shutdown_begin is not None and iterator.shutdown_end is not None:
        spans.append((iterator.shutdown_begin, iterator.shutdown_end, (("startup", "shutdown", 1),)))
    for batch in epoch.batches:
        # Of an iterable dataset: the fetch that met its end.
        if batch.got is None and batch.fetch_begin is not None:
            spans += _made(batch)
            if batch.collate_begin is None and batch.put is not None:
                spans.append((batch.fetch_begin, batch.put, (("unknown", "fetch", 1),)))
    return sorted(spans)


def _inline(batch: Batch, pinning: bool) -> list[Span]:
    spans: list[Span] = []
    if batch.asked is not None and batch.fetch_begin is not None:
        spans.append((batch.asked, batch.fetch_begin, (("dispatch", "sampler", 1),)))
    for begin, end, shares in _made(batch):
        spans.append((begin, end, tuple(("main", cause, weight) for cause, _, weight in shares)))
    if pinning and batch.collate_end is not None and batch.got is not None:
        spans.append((batch.collate_end, batch.got, (("pin-memory", "", 1),)))
    return spans


def _made(batch: Batch) -> list[Span]:
    """Fetch and collate of a batch, each split by its thread's clocks."""
    spans: list[Span] = []
    if batch.fetch_begin is not None and batch.collate_begin is not None:
        begun = min(batch.fetch_begin + batch.opening_ns, batch.collate_begin)
        if batch.opening_ns:
            spans.append((batch.fetch_begin, begun, (("startup", "first batch", 1),)))
        spans.append((begun, batch.collate_begin, fetch_shares(batch.usual_fetch)))
    if batch.collate_begin is not None and batch.collate_end is not None:
        spans.append((batch.collate_begin, batch.collate_end, collate_shares(batch.collate)))
    return spans


def fetch_shares(cost: Cost | None) -> Shares:
    """How a fetch is split. Without the run-queue delay, what is not CPU counts as blocked."""
    if cost is None or cost.cpu_ns is None or cost.wall_ns <= 0:
        return (("unknown", "fetch", 1),)
    cpu, waited, blocked = clocks(cost)
    return (("fetch-cpu", "", cpu), ("cpu-wait", "fetch", waited), ("fetch-io", "", blocked))


def collate_shares(cost: Cost | None) -> Shares:
    """How collating is split: time without a core is set apart, the rest is collating."""
    if cost is None or cost.cpu_ns is None or cost.wall_ns <= 0:
        return (("collate", "", 1),)
    cpu, waited, blocked = clocks(cost)
    return (("collate", "cpu", cpu), ("cpu-wait", "collate", waited), ("collate", "io", blocked))


def clocks(cost: Cost) -> tuple[int, int, int]:
    """CPU, waiting for a core, and blocked, in ns, adding up to the wall time of a stage."""
    cpu = min(cost.cpu_ns or 0, cost.wall_ns)
    waited = min(cost.runqueue_ns or 0, cost.wall_ns - cpu)
    return cpu, waited, cost.wall_ns - cpu - waited


def _path(
    batch: Batch,
    got: int,
    work: Sequence[Batch],
    life: WorkerLife | None,
    sends: Sequence[Interval],
    later: int,
) -> dict[Part, int]:
    asked = batch.asked if batch.asked is not None else got
    put = batch.put if batch.put is not None else batch.collate_end
    received = batch.pin_begin if batch.pin_begin is not None else batch.received
    known_until = min(got, put if put is not None else received if received is not None else got)
    made = _before(batch, asked, known_until, work, life) if known_until > asked else []
    parts = fill(asked, min(max(later, asked), known_until), made, "unknown")
    if later < known_until:
        # Others are ready: the loop waits for the order's sake. What held it up is kept beneath.
        for (cause, _), ns in fill(max(later, asked), known_until, made, "unknown").items():
            add(parts, ("reorder", cause), ns)
    after = _after(batch, put, got, sends, work)
    for part, ns in fill(max(asked, known_until), got, after, "unknown").items():
        add(parts, part, ns)
    return parts


def _before(batch: Batch, begin: int, end: int, work: Sequence[Batch], life: WorkerLife | None) -> list[Span]:
    """The timeline of the owning worker, as far as it lies between ``begin`` and ``end``."""
    own_begin = batch.index_received if batch.index_received is not None else batch.fetch_begin
    spans: list[Span] = []
    if own_begin is None:
        return spans
    if begin < own_begin and life is not None:
        started = life.dataset_ready if life.dataset_ready is not None else life.ready
        if started is not None:
            if life.init_begin is not None and life.init_end is not None:
                spans.append((life.init_begin, life.init_end, (("startup", "worker_init_fn", 1),)))
            if life.init_end is not None and life.dataset_ready is not None:
                spans.append((life.init_end, life.dataset_ready, (("startup", "dataset", 1),)))
            spans.append((-_FOREVER, started, (("startup", "process", 1),)))
        # Starts are sorted; the batch before the first that begins after ``begin`` may still run then.
        position = max(0, bisect_right(work, begin, key=_begun) - 1)
        for other in work[position : bisect_left(work, min(end, own_begin), key=_begun)]:
            if other is not batch:
                for span_begin, span_end, shares in _made(other):
                    queued = tuple(("queued", cause, weight) for cause, _, weight in shares)
                    spans.append((span_begin, span_end, queued))
                if other.collate_end is not None and other.put is not None:
                    spans.append((other.collate_end, other.put, (("queued", "transfer", 1),)))
        spans.append((started if started is not None else -_FOREVER, own_begin, (("dispatch", "", 1),)))
    if batch.fetch_begin is not None:
        spans.append((own_begin, batch.fetch_begin, (("dispatch", "", 1),)))
    spans += _made(batch)
    if batch.collate_end is not None and batch.put is not None:
        spans.append((batch.collate_end, batch.put, (("transfer", "", 1),)))
    if batch.fetch_begin is not None and batch.collate_begin is None:
        # It never left the fetch: no clock says more than that.
        spans.append((batch.fetch_begin, end, (("unknown", "fetch", 1),)))
    return spans


def _after(
    batch: Batch, put: int | None, got: int, sends: Sequence[Interval], work: Sequence[Batch]
) -> list[Span]:
    """From the worker's hands into the loop's."""
    spans: list[Span] = []
    received = batch.pin_begin if batch.pin_begin is not None else batch.received
    if put is not None:
        arrived = received if received is not None else got
        if batch.send_end is not None and batch.read is not None and batch.pin_begin is None:
            # Sent, and nobody reads it: the receiving process is busy.
            spans.append((batch.send_end, batch.read, (("main", "receive", 1),)))
        if batch.read is not None and received is not None:
            spans += _while_worker_works(batch, batch.read, received, work)
        for begin, end, detail in (
            (batch.pickle_begin, batch.pickle_end, "pickle"),
            (batch.send_begin, batch.send_end, "send"),
            (batch.read, received, "unpickle"),
        ):
            if begin is not None and end is not None:
                spans.append((begin, end, (("transfer", detail, 1),)))
        spans.append((put, arrived, (("transfer", "", 1),)))
    if batch.pin_begin is not None and batch.pin_end is not None:
        spans.append((batch.pin_begin, batch.pin_end, (("pin-memory", "", 1),)))
    if received is not None:
        first = max(0, bisect_left(sends, (received, 0)) - 1)
        for begin, end in sends[first : bisect_left(sends, (got, 0))]:
            spans.append((begin, end, (("dispatch", "sampler", 1),)))
        handed = batch.pin_end if batch.pin_end is not None else received
        spans.append((handed, got, (("main", "receive", 1),)))
    return spans


def _while_worker_works(batch: Batch, begin: int, end: int, work: Sequence[Batch]) -> list[Span]:
    """Unpickling asks the worker for the memory of each tensor, and a thread of the worker answers. While the
    worker is on the CPU with another batch, that thread has to wait for the GIL.
    """
    spans: list[Span] = []
    position = max(0, bisect_right(work, begin, key=_begun) - 1)
    for other in work[position : bisect_left(work, end, key=_begun)]:
        if other is batch or (other.collate_end is not None and other.collate_end <= begin):
            continue
        for span_begin, span_end, shares in _made(other):
            working = sum(weight for cause, detail, weight in shares if cause in _ON_CPU or detail == "cpu")
            resting = sum(weight for _, _, weight in shares) - working
            stage = "collate" if any("collate" in share for share in shares) else "fetch"
            parts = (("transfer", WORKER_BUSY[stage], working), ("transfer", "unpickle", resting))
            spans.append((max(begin, span_begin), min(end, span_end), parts))
    return spans


def _works(iterator: IteratorLife) -> dict[int, list[Batch]]:
    """The batches of each worker in the order in which it made them, all epochs together."""
    works: dict[int, list[Batch]] = {}
    for epoch in iterator.epochs:
        for batch in epoch.batches:
            if batch.worker is not None and batch.fetch_begin is not None:
                works.setdefault(batch.worker, []).append(batch)
    for work in works.values():
        work.sort(key=_begun)
    return works


def _begun(batch: Batch) -> int:
    return batch.fetch_begin if batch.fetch_begin is not None else _FOREVER


def _ready_later(batches: Sequence[Batch]) -> list[int]:
    """For each position, when the first batch at it or behind it was ready for the loop; one entry more than
    batches.
    """
    ready = [_FOREVER] * (len(batches) + 1)
    for position in range(len(batches) - 1, -1, -1):
        batch = batches[position]
        arrived = next((t for t in (batch.send_end, batch.read, batch.received) if t is not None), _FOREVER)
        ready[position] = min(ready[position + 1], arrived)
    return ready


def _index_spans(batches: Sequence[Batch]) -> list[Interval]:
    spans = [
        (b.index_begin, b.index_sent)
        for b in batches
        if b.index_begin is not None and b.index_sent is not None
    ]
    return sorted(spans)
