"""Builds the life of every loader from the logs of the processes: who made which batch, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dlcheck.diagnosis.load_files import Event, ProcessLog
from dlcheck.diagnosis.load_sample_times import sample_times
from dlcheck.diagnosis.timeline import Batch, Cost, Epoch, IteratorLife, LoaderLife, Site, WorkerLife
from dlcheck.probe import recording as k

_STAGES = {
    k.READY: "start",
    k.INIT: "worker_init_fn",
    k.INIT_DONE: "dataset",
    k.DATASET_READY: "idle",
    k.RESUME: "idle",
    k.FETCH: "fetch",
    k.COLLATE: "collate",
    k.COLLATED: "put",
    k.FAILED: "put",
    k.PUT: "idle",
    k.WORKER_END: "ended",
}
_ITERATOR_KINDS = range(k.ITERATOR, k.READY)
_LOOP = (k.ITERATOR, k.ASK, k.GOT, k.STOP, k.ERROR)

Fields = dict[str, Any]


@dataclass
class _Worker:
    """A worker process that a training process says it started, and what that process recorded itself."""

    line: dict[str, Any]
    log: ProcessLog | None


@dataclass
class _EpochParts:
    number: int
    begin: int
    iterator_begin: int | None = None
    iterator_end: int | None = None
    end: int | None = None
    exhausted: bool = False
    last_asked: int | None = None
    batches: dict[int, Fields] = field(default_factory=dict)
    next_idx: int = 0
    open_ask: tuple[int, int] | None = None

    def batch(self, idx: int) -> Fields:
        return self.batches.setdefault(idx, {"idx": idx, "worker": None, "epoch": self.number})


def load_loaders(logs: list[ProcessLog], notes: list[str]) -> tuple[LoaderLife, ...]:
    """All loaders that were iterated, in order of time."""
    started = match_workers(logs)
    loaders = []
    for log in logs:
        iterators: dict[int, list[Event]] = {}
        for event in log.events:
            if event.serial and event.kind < 128:
                iterators.setdefault(event.serial, []).append(event)
        numbers: dict[int, list[int]] = {}
        for serial, events in iterators.items():
            first = next((event for event in events if event.kind == k.ITERATOR), None)
            if first is None:
                # Dropped from the middle of a very long recording, or made before this process was forked.
                continue
            numbers.setdefault(first.a, []).append(serial)
        described = {line.get("number"): line for line in log.said("loader")}
        made = _made_again(numbers, described, iterators)
        rank = _rank(log)
        for number, serials in numbers.items():
            own = {serial: started.get((log.pid, log.opened, serial), []) for serial in serials}
            lives = tuple(_iterator(log, serial, iterators[serial], own[serial]) for serial in serials)
            if number not in described:
                notes.append(
                    f"loader {number} of process {log.pid} was not described: its settings are not known"
                )
            line = described.get(number, {})
            loaders.append(_loader(log, number, line, lives, own, rank, made.get(number, 1)))
    return tuple(loaders)


def _made_again(
    numbers: dict[int, list[int]], described: dict[Any, dict[str, Any]], iterators: dict[int, list[Event]]
) -> dict[int, int]:
    """Join the loaders that one and the same line made one after the other, as a loop over epochs does.

    Changes ``numbers`` (the serials of each loader), and returns how often each of those left was made.
    """
    made = dict.fromkeys(numbers, 1)
    leaders: dict[str, int] = {}
    for number in list(numbers):
        line = described.get(number)
        if line is None or line.get("via") is None:
            continue
        key = json.dumps([value for name, value in sorted(line.items()) if name not in ("t", "number")])
        leader = leaders.setdefault(key, number)
        last = max(
            event.t for serial in numbers[leader] for event in iterators[serial] if event.kind in _LOOP
        )
        if leader != number and last < iterators[numbers[number][0]][0].t:
            numbers[leader] += numbers.pop(number)
            made[leader] += made.pop(number)
        else:
            leaders[key] = number
    return made


def match_workers(logs: list[ProcessLog]) -> dict[tuple[int, int, int], list[_Worker]]:
    """The workers of each iterator, by process id, opening of the log, and serial of the iterator."""
    by_pid: dict[int, list[ProcessLog]] = {}
    for log in logs:
        by_pid.setdefault(log.pid, []).append(log)
    workers: dict[tuple[int, int, int], list[_Worker]] = {}
    for log in logs:
        for line in log.said("worker"):
            candidates = [
                other for other in by_pid.get(line.get("pid", 0), []) if other.opened >= line.get("begun", 0)
            ]
            worker = _Worker(line, min(candidates, key=lambda other: other.opened, default=None))
            workers.setdefault((log.pid, log.opened, line.get("serial", 0)), []).append(worker)
    return workers


def _loader(
    log: ProcessLog,
    number: int,
    line: dict[str, Any],
    iterators: tuple[IteratorLife, ...],
    workers: dict[int, list[_Worker]],
    rank: int | None,
    made: int,
) -> LoaderLife:
    settings = dict(line.get("settings") or {})
    sources = [(log, None, frozenset(workers))]
    sources += [
        (w.log, w.line.get("worker"), frozenset((0,))) for own in workers.values() for w in own if w.log
    ]
    return LoaderLife(
        key=f"{log.pid}:{number}",
        pid=log.pid,
        rank=rank,
        created_at=_site(line.get("site")) or Site("", 0),
        dataset=str(line.get("dataset") or ""),
        dataset_at=_site(line.get("dataset_at")),
        items_at=_site(line.get("items_at")),
        settings=settings,
        iterators=iterators,
        samples=sample_times(sources),
        made=made,
    )


def _rank(log: ProcessLog) -> int | None:
    for line in log.said("process"):
        rank = (line.get("ranks") or {}).get("RANK", "")
        if str(rank).isdecimal() and len(str(rank)) < 10:
            return int(rank)
    return None


def _site(value: Any) -> Site | None:
    match value:
        case [str(file), int(line), str(function)] if file:
            return Site(file, line, function)
    return None


def _iterator(log: ProcessLog, serial: int, events: list[Event], workers: list[_Worker]) -> IteratorLife:
    epochs: list[_EpochParts] = []
    threads: list[int] = []
    asking: dict[int, tuple[int, int]] = {}
    constructed = shutdown_begin = shutdown_end = None
    for event in events:
        if event.kind == k.ITERATOR:
            epochs.append(_EpochParts(0, event.t, iterator_begin=event.t))
            continue
        if not epochs:
            # Of a damaged file, or one whose middle was overwritten.
            continue
        if event.kind == k.EPOCH and not (event.a and constructed is None):
            epochs.append(_EpochParts(len(epochs), event.t, iterator_begin=event.t))
        epoch = epochs[-1]
        if event.kind == k.ITERATOR_READY:
            constructed = epoch.iterator_end = event.t
        elif event.kind == k.EPOCH_READY and constructed is not None:
            epoch.iterator_end = event.t
        elif event.kind == k.ASK:
            asking[event.t] = event.a, event.b
            epoch.open_ask = (event.t, event.a)
            if event.a not in threads:
                threads.append(event.a)
        elif event.kind == k.SHUTDOWN:
            shutdown_begin = event.t
        elif event.kind == k.SHUTDOWN_DONE:
            shutdown_end = event.t
        else:
            _consume(epoch, event, asking)
    _add_fetching(epochs, (event for event in events if event.kind not in _ITERATOR_KINDS), inline=True)
    for worker in workers:
        if worker.log is not None:
            _add_fetching(epochs, worker.log.events, inline=False, worker=worker.line.get("worker"))
    _close(epochs, shutdown_begin)
    exits = {
        pid: code for line in log.lines if line.get("serial") == serial for pid, code in _exit_codes(line)
    }
    return IteratorLife(
        serial=serial,
        pid=log.pid,
        threads=tuple(threads),
        workers=tuple(_worker_life(worker, exits) for worker in workers),
        epochs=tuple(_epoch(parts) for parts in epochs),
        shutdown_begin=shutdown_begin,
        shutdown_end=shutdown_end,
    )


def _consume(epoch: _EpochParts, event: Event, asking: dict[int, tuple[int, int]]) -> None:
    if event.kind == k.INDEX:
        epoch.batch(event.idx).update(index_begin=event.a, index_sent=event.t, worker=event.b)
    elif event.kind == k.RECEIVED:
        batch = epoch.batch(event.idx)
        batch.setdefault("received", event.t)
        if event.a and "pin_begin" not in batch:
            batch.update(read=event.b, pipe_bytes=event.a)
    elif event.kind == k.PIN:
        epoch.batch(event.idx).update(received=event.t, pin_begin=event.t)
    elif event.kind == k.PINNED:
        epoch.batch(event.idx)["pin_end"] = event.t
    elif event.kind == k.GOT:
        thread, step = asking.pop(event.a, (None, 0))
        epoch.batch(event.idx).update(asked=event.a, got=event.t, consumer_thread=thread)
        epoch.batch(event.idx).update(
            zip(("wait_other_cpu_ns", "wait_queued_ns"), k.unpack_cost(event.b), strict=True)
        )
        epoch.batch(event.idx).update(
            zip(("step_cpu_ns", "step_queued_ns"), k.unpack_cost(step), strict=True)
        )
        epoch.next_idx = event.idx + 1
        epoch.open_ask = None
    elif event.kind == k.STOP:
        epoch.end, epoch.exhausted, epoch.last_asked = event.t, True, event.a
        epoch.open_ask = None
    elif event.kind == k.ERROR:
        epoch.end = event.t
        thread, _ = asking.pop(event.a, (None, 0))
        epoch.batch(epoch.next_idx).update(asked=event.a, failed=True, consumer_thread=thread)
        epoch.open_ask = None


def _add_fetching(
    epochs: list[_EpochParts], events: Iterable[Event], inline: bool, worker: int | None = None
) -> None:
    """Add what was recorded where the batches were made: by a worker, or inline by the training process."""
    number = 0
    for event in events:
        if event.kind == k.RESUME:
            number += 1
        if event.kind not in _MADE or number >= len(epochs) or (inline and event.kind == k.RESUME):
            continue
        batch = epochs[number].batch(event.idx)
        if worker is not None:
            batch["worker"] = worker
        _MADE[event.kind](batch, event, inline)


def _fetch(batch: Fields, event: Event, inline: bool) -> None:
    batch["fetch_begin"] = event.t
    if not inline:
        batch["index_received"] = event.a


def _collate(batch: Fields, event: Event, inline: bool) -> None:
    batch["collate_begin"] = event.t
    if "fetch_begin" in batch:
        batch["fetch"] = _cost(batch["fetch_begin"], event)


def _collated(batch: Fields, event: Event, inline: bool) -> None:
    batch["collate_end"] = event.t
    if "collate_begin" in batch:
        batch["collate"] = _cost(batch["collate_begin"], event)


def _put(batch: Fields, event: Event, inline: bool) -> None:
    batch["put"] = None if inline else event.t
    batch["samples"], batch["size_bytes"] = _known(event.a), _known(event.b)


def _content(batch: Fields, event: Event, inline: bool) -> None:
    batch["content"] = _known(event.a)


def _pickled(batch: Fields, event: Event, inline: bool) -> None:
    batch["pickle_begin"], batch["pickle_end"] = event.a, event.t
    batch["pickle_cpu_ns"], batch["pickle_queued_ns"] = k.unpack_cost(event.b)


def _sent(batch: Fields, event: Event, inline: bool) -> None:
    batch["send_begin"], batch["send_end"] = event.a, event.t


def _failed(batch: Fields, event: Event, inline: bool) -> None:
    batch["failed"] = True


_MADE = {
    k.FETCH: _fetch,
    k.COLLATE: _collate,
    k.COLLATED: _collated,
    k.CONTENT: _content,
    k.PUT: _put,
    k.PICKLED: _pickled,
    k.SENT: _sent,
    k.FAILED: _failed,
}


def _cost(begin: int, end: Event) -> Cost:
    return Cost(end.t - begin, _known(end.a), _known(end.b))


def _known(value: int) -> int | None:
    return None if value == k.UNKNOWN else value


def _close(epochs: list[_EpochParts], shutdown: int | None) -> None:
    """Give each epoch its end; a loop that still waits when the recording ends waits for the next batch."""
    for epoch, following in zip(epochs, [*epochs[1:], None], strict=True):
        if epoch.open_ask is not None:
            asked, thread = epoch.open_ask
            epoch.batch(epoch.next_idx).update(asked=asked, consumer_thread=thread)
        if epoch.end is None:
            epoch.end = following.begin if following is not None else shutdown


def _epoch(parts: _EpochParts) -> Epoch:
    return Epoch(
        number=parts.number,
        begin=parts.begin,
        iterator_begin=parts.iterator_begin,
        iterator_end=parts.iterator_end,
        end=parts.end,
        exhausted=parts.exhausted,
        batches=tuple(Batch(**_sent_if_read(parts.batches[idx])) for idx in sorted(parts.batches)),
        last_asked=parts.last_asked,
    )


def _sent_if_read(batch: Fields) -> Fields:
    """A worker may end between writing its last batch and saying so: it was written before it was read."""
    if "pickle_end" in batch and "send_end" not in batch and "read" in batch:
        return batch | {"send_begin": batch["pickle_end"], "send_end": batch["read"]}
    return batch


def _exit_codes(line: dict[str, Any]) -> Iterable[tuple[int, int]]:
    return [(pid, code) for _, pid, code in line.get("exits") or []]


def _worker_life(worker: _Worker, exits: dict[int, int]) -> WorkerLife:
    line = worker.line
    first: dict[int, int] = {}
    last: Event | None = None
    start: tuple[int | None, int | None] = None, None
    for event in worker.log.events if worker.log is not None else ():
        if event.serial == 0:
            if event.kind == k.DATASET_READY and event.kind not in first:
                start = k.unpack_cost(event.b)
            first.setdefault(event.kind, event.t)
            last = event if event.kind in _STAGES else last
    code = exits.get(line.get("pid", 0))
    return WorkerLife(
        worker=line.get("worker", 0),
        pid=line.get("pid", 0),
        process_start=line.get("begun"),
        process_started=line.get("started"),
        ready=first.get(k.READY),
        init_begin=first.get(k.INIT),
        init_end=first.get(k.INIT_DONE),
        dataset_ready=first.get(k.DATASET_READY),
        ended=first.get(k.WORKER_END),
        last_stage="" if last is None else _STAGES[last.kind],
        last_idx=last.idx
        if last is not None and last.kind >= k.FETCH and last.kind != k.WORKER_END
        else None,
        exit_signal=-code if code is not None and code < 0 else None,
        exit_code=code,
        start_cpu_ns=start[0],
        start_queued_ns=start[1],
    )
