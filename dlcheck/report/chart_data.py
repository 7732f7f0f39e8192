"""The numbers behind the charts of the HTML report, as one JSON value.

Times are whole units of ``UNIT_NS``; lists named ``..._d`` hold differences to the entry before, which pack
well. None: not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dlcheck.diagnosis.attribution import CAUSES, Wait, attribute
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import Batch, LoaderLife
from dlcheck.diagnosis.turns import Turn, turns
from dlcheck.report import words
from dlcheck.report.chart_flame import flames
from dlcheck.report.chart_rows import LOOP, PIN, Bins, choose, fill_bins, queue_depth, ready
from dlcheck.report.chart_usage import usage
from dlcheck.report.model import Report, Source

UNIT_NS = 10_000

STATES = ("step", "fetch", "collate", "send", "pin", *CAUSES)
"""What a lane can be in. Charts name a state by its place here."""

_MOST_BINS = 800
_MOST_CELLS = 40_000
_MOST_LANES = 33
_MOST_POINTS = 2500
_MOST_OTHER_WAITS = 400
_MOST_PARTS = 4


def chart_data(report: Report, loaders: Sequence[LoaderDiagnosis], most_rows: int) -> dict[str, Any]:
    """All charts of these ``loaders``, which together show ``most_rows`` batches one by one."""
    lives = {life.key: (life, source) for source in report.sources for life in source.timeline.loaders}
    share = max(1, len(loaders))
    return {
        "unit_s": UNIT_NS / 1e9,
        "states": STATES,
        "causes": words.CAUSES,
        "kinds": words.WAIT_KINDS,
        "loaders": [
            _loader(report, each, *lives[each.key], most_rows // share, share)
            if each.key in lives
            # Of a training that was looked at from outside, no batch is known.
            else {"predictions": _predictions(each), "flames": []}
            for each in loaders
        ],
    }


def _loader(
    report: Report, loader: LoaderDiagnosis, life: LoaderLife, source: Source, most_rows: int, share: int
) -> dict[str, Any]:
    timeline = source.timeline
    waits = attribute(life, timeline.end)
    rows = turns(life, waits)
    chart: dict[str, Any] = {
        "predictions": _predictions(loader),
        "flames": flames(report, timeline, life, waits),
    }
    span = _span(rows, waits)
    if span is None:
        return chart
    origin = report.origin(source)
    lanes = _lanes(life, rows)
    count = max(20, min(_MOST_BINS, _MOST_CELLS // share // len(lanes)))
    bins = fill_bins(span, count, rows, waits, lanes)
    chosen = choose(rows, most_rows)
    others = sorted((w for w in waits if w.kind != "batch"), key=lambda w: -w.ns)[:_MOST_OTHER_WAITS]
    depth = queue_depth(rows, span, _MOST_POINTS // share + 100) if life.settings.get("num_workers") else []
    return chart | {
        "begin": _units(span[0] - origin),
        "end": _units(span[1] - origin),
        "lanes": lanes,
        "left_out": max(0, len(_workers(life)) - (_MOST_LANES - 1)),
        "total": len(rows),
        "bins": _bins(bins),
        "rows": _columns(chosen, lanes, origin),
        "others": [
            [w.kind, _units(w.begin - origin), _units(w.ns), _why(w)]
            for w in sorted(others, key=lambda w: w.begin)
        ],
        "queue": {
            "t_d": _differences(_units(t - origin) for t, _ in depth),
            "depth": [round(d, 2) for _, d in depth],
        },
        "rate": _rate(rows, span, origin, count=min(300, max(10, len(rows) // 5))),
        "usage": _in_units(usage(timeline, life, span, origin)),
    }


def _span(rows: Sequence[Turn], waits: Sequence[Wait]) -> Interval | None:
    begins = [wait.begin for wait in waits]
    ends = [wait.end for wait in waits] + [
        row.batch.got + row.step for row in rows if row.batch.got is not None
    ]
    return (min(begins), max(max(ends), min(begins) + 1)) if begins else None


def _workers(life: LoaderLife) -> list[int]:
    return sorted({worker.worker for iterator in life.iterators for worker in iterator.workers})


def _lanes(life: LoaderLife, rows: Sequence[Turn]) -> list[str]:
    pinned = any(row.batch.pin_begin is not None for row in rows)
    workers = [f"worker {worker}" for worker in _workers(life)[: _MOST_LANES - 1]]
    return [LOOP, *([PIN] if pinned else []), *workers]


def _bins(bins: Bins) -> dict[str, Any]:
    """Shares in percent, runs of equal values packed as value and count."""
    return {
        "count": bins.count,
        "lanes": [
            {
                STATES.index(state): _runs(round(100 * share) for share in shares)
                for state, shares in lane.items()
            }
            for lane in bins.shares.values()
        ],
    }


def _runs(values: Iterable[int]) -> list[int]:
    runs: list[int] = []
    for value in values:
        if runs and runs[-2] == value:
            runs[-1] += 1
        else:
            runs += [value, 1]
    return runs


def _columns(rows: Sequence[Turn], lanes: Sequence[str], origin: int) -> dict[str, list[Any]]:
    """The chosen batches, column by column. Stamps of a batch are relative to when the loop asked for it."""
    place = {lane: number for number, lane in enumerate(lanes)}
    stamps = {
        name: [_relative(row.batch, getattr(row.batch, name)) for row in rows]
        for name in ("fetch_begin", "collate_begin", "collate_end", "send_end", "pin_begin", "pin_end")
    }
    return {
        "asked_d": _differences(_units((row.batch.asked or 0) - origin) for row in rows),
        "wait": [_relative(row.batch, row.batch.got) for row in rows],
        "step": [_units(row.step) for row in rows],
        "ready": [_relative(row.batch, ready(row.batch)) for row in rows],
        "idx_d": _differences(row.batch.idx for row in rows),
        "epoch_d": _differences(row.epoch for row in rows),
        "lane": [place.get(f"worker {row.batch.worker}", 0) for row in rows],
        "worker": [row.batch.worker for row in rows],
        "samples": [row.batch.samples for row in rows],
        "why": [_why(row.wait) if row.wait is not None else [] for row in rows],
        "fetch_cpu": [_percent(row.batch) for row in rows],
        **stamps,
    }


def _why(wait: Wait) -> list[list[Any]]:
    """The largest parts of a wait: number of the cause, what lies beneath it, percent."""
    parts = sorted(wait.parts.items(), key=lambda item: -item[1])[:_MOST_PARTS]
    return [
        [STATES.index(cause), detail, percent]
        for (cause, detail), ns in parts
        if (percent := round(100 * ns / max(1, wait.ns))) > 0
    ]


def _percent(batch: Batch) -> int | None:
    """Which part of its fetch was on the CPU, in percent."""
    cost = batch.fetch
    if cost is None or cost.cpu_ns is None or cost.wall_ns <= 0:
        return None
    return min(100, round(100 * cost.cpu_ns / cost.wall_ns))


def _rate(rows: Sequence[Turn], span: Interval, origin: int, count: int) -> dict[str, list[float]]:
    """Batches per second that the loop got, by bins of time."""
    width = max(1.0, (span[1] - span[0]) / count)
    got = [0] * count
    for row in rows:
        if row.batch.got is not None:
            got[min(count - 1, int((row.batch.got - span[0]) / width))] += 1
    return {
        "t": [_units(span[0] - origin + (number + 0.5) * width) for number in range(count)],
        "batches_per_s": [float(f"{1e9 * number / width:.4g}") for number in got],
    }


def _predictions(loader: LoaderDiagnosis) -> dict[str, Any] | None:
    """Throughput against workers: what was measured, and what is predicted, with its interval."""
    workers = loader.settings.get("num_workers")
    per_s = loader.batches / loader.wall_s if loader.wall_s else 0.0
    points = [
        [p.change["num_workers"], per_s * p.speedup, per_s * p.low, per_s * p.high]
        for p in loader.predictions
        if set(p.change) == {"num_workers"}
    ]
    if not points or not isinstance(workers, int):
        return None
    return {"measured": [workers, per_s], "points": sorted([*points, [workers, per_s, per_s, per_s]])}


def _in_units(series: dict[str, Any]) -> dict[str, Any]:
    return series | {"t": [_units(t) for t in series["t"]]}


def _relative(batch: Batch, t: int | None) -> int | None:
    return None if t is None or batch.asked is None else _units(t - batch.asked)


def _units(ns: float) -> int:
    return round(ns / UNIT_NS)


def _differences(values: Iterable[int]) -> list[int]:
    return list(_pairs(values))


def _pairs(values: Iterable[int]) -> Iterator[int]:
    before = 0
    for value in values:
        yield value - before
        before = value
