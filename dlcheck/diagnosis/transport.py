"""How batches got from the worker that made them to the loop: what each part of the way took, told from the log.

All of it as with a core at hand, and with nothing else to do for the feeder thread and for the loop.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.timeline import Batch

# What a pipe holds on Linux: see pipe(7).
_PIPE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Way:
    """One batch on its way, in ns: see ``loops.Work``, whose fields these are."""

    wake: int = 0
    feed: int = 0
    feed_cpu: int = 0
    receive: int = 0
    queued: int = 0
    overlaps: bool = False
    freed: bool = False


@dataclass(slots=True)
class _Taking:
    """How the loop took a batch: when it had time for it, and how long it then took."""

    free: int
    took: int
    queued: int = 0


def ways(batches: Sequence[Batch]) -> dict[int, Way]:
    """The way of each batch of an epoch, by its number."""
    takings = _takings(batches)
    put: dict[int | None, int] = {}
    sent: dict[int | None, int] = {}
    made: dict[int | None, list[tuple[int, int]]] = {}
    found: dict[int, Way] = {}
    ordered = sorted(batches, key=_begun)
    for batch in ordered:
        made.setdefault(batch.worker, []).append((_begun(batch), batch.put or _begun(batch)))
    for batch in ordered:
        wake = lag = 0
        before = put.get(batch.worker)
        if before is not None and batch.index_sent is not None:
            wake = between(max(before, batch.index_sent), batch.fetch_begin)
        if batch.put is not None:
            lag = between(max(batch.put, sent.get(batch.worker, 0)), batch.pickle_begin)
            put[batch.worker] = batch.put
        if batch.send_end is not None:
            sent[batch.worker] = batch.send_end
        taking = takings.get(batch.idx)
        feed, cpu = _feeding(batch, taking)
        if taking is None:
            # The thread for pinned memory reads it.
            receive = between(batch.read, batch.pin_begin if batch.pin_begin is not None else batch.received)
            found[batch.idx] = Way(wake, lag + feed, cpu, receive)
        else:
            until = _makes_until(batch, made[batch.worker])
            freed = until is not None and batch.received is not None and batch.received >= until
            found[batch.idx] = Way(
                wake, lag + feed, cpu, taking.took, taking.queued, until is not None, freed
            )
    return found


def _takings(batches: Sequence[Batch]) -> dict[int, _Taking]:
    """While it waits, the loop reads every batch that arrives, in their order of arrival, whichever it waits for."""
    asked = sorted((b for b in batches if b.asked is not None and b.got is not None), key=_asked)
    asks = [_asked(b) for b in asked]
    read: dict[int, list[Batch]] = {}
    for batch in sorted((b for b in batches if b.read is not None and b.pin_begin is None), key=_read):
        read.setdefault(bisect_right(asks, _read(batch)) - 1, []).append(batch)
    found: dict[int, _Taking] = {}
    for number, together in read.items():
        if number < 0:
            continue
        waiting = asked[number]
        free = _asked(waiting)
        for batch in together:
            end = batch.received if batch.received is not None else _read(batch)
            if batch.idx == waiting.idx and batch.got is not None:
                # It then draws the next indices, and hands the batch over.
                end = max(end, batch.got - between(batch.index_begin, batch.index_sent))
            found[batch.idx] = _Taking(free, between(max(free, _arrived(batch)), end))
            free = max(free, end)
        _without_queue([found[batch.idx] for batch in together], waiting.wait_queued_ns or 0)
    return found


def _without_queue(takings: Sequence[_Taking], queued: int) -> None:
    """Take what the loop's thread waited for a core out of what it took, in proportion."""
    whole = sum(taking.took for taking in takings)
    for taking in takings:
        part = taking.took / whole if whole else 1 / len(takings)
        taking.queued = int(queued * part)
        taking.took = max(0, taking.took - taking.queued)


def _arrived(batch: Batch) -> int:
    """The feeder says that it has sent when it gets the GIL again; the loop may have read the batch long before. And what
    the pipe cannot hold is written as the loop reads it.
    """
    if batch.send_end is None or (batch.pipe_bytes or 0) > _PIPE_BYTES:
        return _read(batch)
    return min(batch.send_end, _read(batch))


def _feeding(batch: Batch, taking: _Taking | None) -> tuple[int, int]:
    """How long the feeder thread takes with a batch, and for how much of it it computes."""
    arrived, begun = batch.send_end, batch.send_begin
    if taking is not None and arrived is not None and begun is not None:
        arrived = max(begun, _arrived(batch))
        if (batch.pipe_bytes or 0) > _PIPE_BYTES:
            # Until the loop reads it the feeder waits for the loop.
            begun = max(begun, min(taking.free, arrived))
    pickling = max(0, between(batch.pickle_begin, batch.pickle_end) - (batch.pickle_queued_ns or 0))
    cpu = pickling if batch.pickle_cpu_ns is None else min(pickling, batch.pickle_cpu_ns)
    return pickling + between(begun, arrived), cpu


def _makes_until(batch: Batch, made: Sequence[tuple[int, int]]) -> int | None:
    """Until when the worker makes the one of ``made``, in their order, that it is at while the loop takes the batch; None
    where it makes none, or is not asked for anything: only for tensors, whose memory is named in the pipe.
    """
    if batch.read is None or batch.received is None or (batch.pipe_bytes or 0) > _PIPE_BYTES:
        return None
    position = max(0, bisect_right(made, (batch.read, 0)) - 1)
    for begun, ended in made[position : position + 2]:
        if ended > batch.read:
            return ended if begun < batch.received else None
    return None


def between(begin: int | None, end: int | None) -> int:
    """Nanoseconds from one to the other; 0 where one is not known, or they are the other way round."""
    return max(0, end - begin) if begin is not None and end is not None else 0


def _begun(batch: Batch) -> int:
    return batch.fetch_begin if batch.fetch_begin is not None else 0


def _asked(batch: Batch) -> int:
    return batch.asked if batch.asked is not None else 0


def _read(batch: Batch) -> int:
    return batch.read if batch.read is not None else 0
