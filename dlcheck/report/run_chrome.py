"""A run as a trace in the JSON format of Chrome, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Each loop, each worker, each feeder and each pin-memory thread is a track. A slice is a wait, a step, a fetch, ...;
an arrow leads from where a batch was sent to where the loop got it. Counters show batches that lie ready, memory
and cores. Times are microseconds since the run began. It is written piece by piece: a long run has many events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, TextIO

from dlcheck.diagnosis.attribution import Wait, attribute
from dlcheck.diagnosis.by_process import by_process
from dlcheck.diagnosis.timeline import Batch, Cost, LoaderLife, Timeline
from dlcheck.diagnosis.turns import Turn, turns
from dlcheck.report import words
from dlcheck.report.chart_rows import queue_depth
from dlcheck.report.model import Report, Source

Event = dict[str, Any]

_MAKER, _FEEDER = 1, 2
_LOOPS, _PINS = 100, 200
_MOST_DEPTHS = 100_000
# The kernel's own limit (PID_MAX_LIMIT).
_MOST_PIDS = 1 << 22


def write_chrome(report: Report, file: TextIO) -> None:
    """Write the trace of a run."""
    file.write('{"displayTimeUnit": "ms", "traceEvents": [\n')
    for number, event in enumerate(event for trace in _traces(report) for event in _events(trace)):
        file.write((",\n" if number else "") + json.dumps(event, default=str))
    file.write("\n]}\n")


@dataclass(frozen=True, slots=True)
class _Trace:
    """The part of a trace that one node is. ``first_pid``: to be added to its process ids, which are its own."""

    report: Report
    source: Source
    first_pid: int

    @property
    def timeline(self) -> Timeline:
        return self.source.timeline

    @property
    def origin(self) -> int:
        return self.report.origin(self.source)


def _traces(report: Report) -> Iterator[_Trace]:
    for number, source in enumerate(report.sources):
        yield _Trace(report, source, number * _MOST_PIDS)


def _events(trace: _Trace) -> Iterator[Event]:
    timeline, flows = trace.timeline, count(1 + trace.first_pid)
    named: set[int] = set()
    for number, loader in enumerate(timeline.loaders):
        for pid, name in _processes(loader, trace.source.node):
            if pid not in named:
                named.add(pid)
                yield _meta(trace, "process_name", pid, 0, name)
        yield from _loader(trace, loader, number, flows)
    for incident in timeline.incidents:
        yield _event(
            trace, "i", incident.kind, incident.pid, 0, incident.t, s="g", args={"detail": incident.detail}
        )
    yield from _counters(trace)


def _processes(loader: LoaderLife, node: str) -> Iterator[tuple[int, str]]:
    rank = f" of rank {loader.rank}" if loader.rank is not None else ""
    rank += f" on {node}" if node else ""
    yield loader.pid, f"training process{rank}"
    for iterator in loader.iterators:
        for life in iterator.workers:
            yield life.pid, f"worker {life.worker}{rank}"


def _loader(trace: _Trace, loader: LoaderLife, number: int, flows: Iterator[int]) -> Iterator[Event]:
    waits = attribute(loader, trace.timeline.end)
    place = f"{trace.report.shown(loader.created_at.file)}:{loader.created_at.line}"
    pids = {
        (position, life.worker): life.pid
        for position, iterator in enumerate(loader.iterators)
        for life in iterator.workers
    }
    for pid in sorted(set(pids.values())):
        yield _meta(trace, "thread_name", pid, _MAKER, "dataset and collate")
        yield _meta(trace, "thread_name", pid, _FEEDER, "feeder")
    threads: dict[int | None, int] = {}
    seen = turns(loader, waits)
    for turn in seen:
        if turn.batch.consumer_thread not in threads:
            threads[turn.batch.consumer_thread] = _LOOPS * (number + 1) + len(threads)
    main = next(iter(threads.values()), _LOOPS * (number + 1))
    for tid in sorted({main, *threads.values()}):
        yield _meta(trace, "thread_name", loader.pid, tid, f"loop over {place}")
    if any(turn.batch.pin_begin is not None for turn in seen):
        yield _meta(trace, "thread_name", loader.pid, _PINS + number, f"pin memory of {place}")
    for wait in waits:
        if wait.kind != "batch" and wait.ns:
            yield _slice(trace, wait.kind, loader.pid, main, wait.begin, wait.end, _why(wait))
    owner = {
        id(batch): i
        for i, iterator in enumerate(loader.iterators)
        for e in iterator.epochs
        for batch in e.batches
    }
    for turn in seen:
        worker = turn.batch.worker
        maker = pids.get((owner[id(turn.batch)], worker)) if worker is not None else None
        yield from _turn(trace, loader, turn, threads[turn.batch.consumer_thread], number, maker, flows)
    if pids and seen:
        span = (seen[0].batch.asked or 0, trace.timeline.end)
        for t, depth in queue_depth(seen, span, _MOST_DEPTHS):
            yield _counter(trace, f"batches ready, {place}", loader.pid, t, {"batches": depth})


def _turn(
    trace: _Trace,
    loader: LoaderLife,
    turn: Turn,
    tid: int,
    number: int,
    pid: int | None,
    flows: Iterator[int],
) -> Iterator[Event]:
    batch, wait = turn.batch, turn.wait
    named = {"batch": batch.idx, "epoch": turn.epoch + 1, "worker": batch.worker, "samples": batch.samples}
    if wait is not None and wait.ns:
        cause = max(wait.parts, key=lambda part: wait.parts[part], default=("unknown", ""))[0]
        yield _slice(trace, f"wait: {cause}", loader.pid, tid, wait.begin, wait.end, named | _why(wait))
    if batch.got is not None and turn.step:
        yield _slice(trace, "step", loader.pid, tid, batch.got, batch.got + turn.step, named)
    if batch.pin_begin is not None and batch.pin_end is not None:
        yield _slice(trace, "pin", loader.pid, _PINS + number, batch.pin_begin, batch.pin_end, named)
    if pid is None:
        return
    sent = None
    for name, thread, begin, end, cost in _made(batch):
        sent = thread, begin
        yield _slice(trace, name, pid, thread, begin, end, named | _clocks(cost))
    if sent is not None and batch.got is not None and wait is not None and wait.ns:
        # Both ends must lie within a slice: at its beginning, or where there is no step, just before the wait's end.
        arrow = {"cat": "batch", "id": next(flows)}
        yield _event(trace, "s", "batch", pid, sent[0], sent[1], **arrow)
        yield _event(
            trace, "f", "batch", loader.pid, tid, batch.got - (0 if turn.step else 1), bp="e", **arrow
        )


def _made(batch: Batch) -> Iterator[tuple[str, int, int, int, Cost | None]]:
    collated = batch.collate_begin if batch.collate_begin is not None else batch.put
    stages = (
        ("fetch", _MAKER, batch.fetch_begin, collated, batch.fetch),
        ("collate", _MAKER, batch.collate_begin, batch.collate_end, batch.collate),
        ("send", _FEEDER, batch.pickle_begin, batch.send_end, None),
    )
    for name, thread, begin, end, cost in stages:
        if begin is not None and end is not None and end > begin:
            yield name, thread, begin, end, cost


def _why(wait: Wait) -> dict[str, Any]:
    parts = sorted(wait.parts.items(), key=lambda item: -item[1])
    return {
        "because": [
            f"{ns / 1e6:.3f} ms {cause}{': ' + detail if detail else ''}: {words.CAUSES.get(cause, '')}"
            for (cause, detail), ns in parts
        ]
    }


def _clocks(cost: Cost | None) -> dict[str, float]:
    if cost is None or cost.cpu_ns is None:
        return {}
    known = {"cpu_ms": cost.cpu_ns / 1e6, "blocked_ms": (cost.blocked_ns or 0) / 1e6}
    return known if cost.runqueue_ns is None else known | {"waited_for_core_ms": cost.runqueue_ns / 1e6}


def _counters(trace: _Trace) -> Iterator[Event]:
    for pid, samples in by_process(trace.timeline.processes).items():
        for one in samples:
            yield _counter(trace, "RSS", pid, one.t, {"bytes": one.rss})
            private = one.private_dirty if one.private_dirty is not None else one.uss
            if private is not None:
                yield _counter(trace, "private memory", pid, one.t, {"bytes": private})
        for before, after in pairwise(samples):
            if after.t > before.t:
                cores = max(0.0, after.cpu_s - before.cpu_s) * 1e9 / (after.t - before.t)
                yield _counter(trace, "cores", pid, before.t, {"cores": round(cores, 4)})


def _event(trace: _Trace, phase: str, name: str, pid: int, tid: int, t: int, **more: Any) -> Event:
    return {
        "ph": phase,
        "name": name,
        "pid": trace.first_pid + pid,
        "tid": tid,
        "ts": (t - trace.origin) / 1e3,
        **more,
    }


def _slice(trace: _Trace, name: str, pid: int, tid: int, begin: int, end: int, args: dict[str, Any]) -> Event:
    return _event(trace, "X", name, pid, tid, begin, dur=(end - begin) / 1e3, cat="loading", args=args)


def _counter(trace: _Trace, name: str, pid: int, t: int, values: dict[str, float]) -> Event:
    return _event(trace, "C", name, pid, 0, t, args=values)


def _meta(trace: _Trace, name: str, pid: int, tid: int, value: str) -> Event:
    return {"ph": "M", "name": name, "pid": trace.first_pid + pid, "tid": tid, "args": {"name": value}}
