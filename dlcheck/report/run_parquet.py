"""A run as Parquet tables, for those who ask questions of many: with DuckDB, Polars, pandas, Spark.

    batches   one row for each batch that a loop got: when, how long it waited, for which causes, what making it cost
    waits     one row for each part of a wait: by cause, and by what lies beneath it
    loaders   one row for each loader of each rank: the figures of its report, and the verdict
    workers   one row for each worker position
    ranks     one row for each rank: how late it gets its batches, and what the others lose by it

Each row names its run, node, rank and loader. Times are seconds since the run began (``_s``), sizes bytes; null: not
known. A table is written rank by rank, so that large jobs need little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.attribution import CAUSES, Wait, attribute, by_cause
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.timeline import Cost, LoaderLife, Site
from dlcheck.diagnosis.turns import turns
from dlcheck.report.model import Report, Source

TABLES = ("batches", "waits", "loaders", "workers", "ranks")

Row = dict[str, Any]

_WHO = {"run": "string", "node": "string", "rank": "int32", "loader": "string"}
_CAUSES = {f"wait_{cause.replace('-', '_')}_s": "double" for cause in CAUSES}
_MADE = {
    f"{stage}{clock}_s": "double"
    for stage in ("fetch", "collate")
    for clock in ("", "_cpu", "_blocked", "_waited_for_core")
}
_COLUMNS: dict[str, dict[str, str]] = {
    "batches": {
        **_WHO,
        "dataset": "string",
        "epoch": "int32",
        "batch": "int64",
        "worker": "int32",
        "asked_s": "double",
        "got_s": "double",
        "wait_s": "double",
        "step_s": "double",
        **_CAUSES,
        **_MADE,
        "samples": "int64",
        "size_bytes": "int64",
    },
    "waits": {
        **_WHO,
        "kind": "string",
        "phase": "string",
        "batch": "int64",
        "worker": "int32",
        "begin_s": "double",
        "cause": "string",
        "detail": "string",
        "wait_s": "double",
    },
    "loaders": {
        **_WHO,
        "began_at": "timestamp",
        "command": "string",
        "exit_code": "int32",
        "dataset": "string",
        "num_workers": "int32",
        "batch_size": "int64",
        "batches": "int64",
        "samples": "int64",
        "epochs": "int32",
        "wall_s": "double",
        "wait_s": "double",
        **_CAUSES,
        "verdict": "string",
        "sentence": "string",
    },
    "workers": {
        **_WHO,
        "worker": "int32",
        "batches": "int64",
        "cpu_share": "double",
        "busy_share": "double",
        "waited_s": "double",
        "rss_bytes": "int64",
        "private_bytes": "int64",
        "threads": "int32",
    },
    "ranks": {
        **_WHO,
        "steps": "int64",
        "wait_s": "double",
        "late_mean_s": "double",
        "late_p95_s": "double",
        "last_share": "double",
        "held_up_s": "double",
    },
}


def write_parquet(report: Report, sources: Iterable[Source], output: Path, run: str) -> None:
    """Write the batches to ``output`` where it ends in .parquet, else all tables into the folder ``output``.

    ``sources``: the timelines with all loaders, one after the other; ``run``: the name that rows give the run. Raises
    ValueError where pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError("--format parquet needs pyarrow: pip install 'dlcheck[parquet]'") from error
    types: dict[str, Any] = {
        "string": pyarrow.string(),
        "int32": pyarrow.int32(),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
        "timestamp": pyarrow.timestamp("us", tz="UTC"),
    }
    if output.suffix == ".parquet":
        places = {"batches": output}
    else:
        output.mkdir(parents=True, exist_ok=True)
        places = {name: output / f"{name}.parquet" for name in TABLES}
    with ExitStack() as opened:
        writers = {}
        for name, place in places.items():
            schema = pyarrow.schema([(column, types[kind]) for column, kind in _COLUMNS[name].items()])
            writers[name] = opened.enter_context(parquet.ParquetWriter(place, schema))

        def write(name: str, rows: Iterable[Row]) -> None:
            table = pyarrow.Table.from_pylist(list(rows), schema=writers[name].schema)
            writers[name].write_table(table)

        for name in set(places) & _OF_REPORT.keys():
            write(name, _OF_REPORT[name](report, run))
        for source in sources:
            for life in source.timeline.loaders:
                waits = attribute(life, source.timeline.end)
                for name in set(places) & _OF_LOADER.keys():
                    write(name, _OF_LOADER[name](report, run, source, life, waits))


def _who(report: Report, run: str, node: str, rank: int | None, at: Site) -> Row:
    return {"run": run, "node": node or None, "rank": rank, "loader": f"{report.shown(at.file)}:{at.line}"}


def _batches(
    report: Report, run: str, source: Source, life: LoaderLife, waits: tuple[Wait, ...]
) -> Iterator[Row]:
    who = _who(report, run, source.node, life.rank, life.created_at) | {"dataset": life.dataset}
    origin = report.origin(source)
    for turn in turns(life, waits):
        batch, wait = turn.batch, turn.wait
        yield {
            **who,
            "epoch": turn.epoch,
            "batch": batch.idx,
            "worker": batch.worker,
            "asked_s": _since(batch.asked, origin),
            "got_s": _since(batch.got, origin),
            "wait_s": wait.ns / 1e9 if wait is not None else None,
            "step_s": turn.step / 1e9,
            **_causes(by_cause(wait.parts) if wait is not None else {}, 1e9),
            **_clocks("fetch", batch.fetch),
            **_clocks("collate", batch.collate),
            "samples": batch.samples,
            "size_bytes": batch.size_bytes,
        }


def _waits(
    report: Report, run: str, source: Source, life: LoaderLife, waits: tuple[Wait, ...]
) -> Iterator[Row]:
    who = _who(report, run, source.node, life.rank, life.created_at)
    origin = report.origin(source)
    for wait in waits:
        whole = {**who, "kind": wait.kind, "phase": wait.phase, "batch": wait.idx, "worker": wait.worker}
        for (cause, detail), ns in wait.parts.items():
            part = {"cause": cause, "detail": detail or None, "wait_s": ns / 1e9}
            yield {**whole, "begin_s": _since(wait.begin, origin), **part}


def _loaders(report: Report, run: str) -> Iterator[Row]:
    diagnosis = report.diagnosis
    began = diagnosis.environment.get("begun_at_s")
    whole = {
        "began_at": datetime.fromtimestamp(began, timezone.utc) if isinstance(began, (int, float)) else None,
        "command": " ".join(diagnosis.command),
        "exit_code": diagnosis.exit_code,
    }
    for loader in diagnosis.loaders:
        yield {
            **_of(report, run, loader),
            **whole,
            "dataset": loader.dataset,
            "num_workers": _number(loader.settings.get("num_workers")),
            "batch_size": _number(loader.settings.get("batch_size")),
            "batches": loader.batches,
            "samples": loader.samples,
            "epochs": loader.epochs,
            "wall_s": loader.wall_s,
            "wait_s": loader.wait_s,
            **_causes(loader.causes_s, 1.0),
            "verdict": loader.verdict,
            "sentence": loader.sentence,
        }


def _workers(report: Report, run: str) -> Iterator[Row]:
    for loader in report.diagnosis.loaders:
        for use in loader.workers:
            yield {
                **_of(report, run, loader),
                **{name: getattr(use, name) for name in _COLUMNS["workers"] if name not in _WHO},
            }


def _ranks(report: Report, run: str) -> Iterator[Row]:
    for use in report.diagnosis.ranks:
        yield {
            **_who(report, run, use.node, use.rank, use.created_at),
            **{name: getattr(use, name) for name in _COLUMNS["ranks"] if name not in _WHO},
        }


_OF_REPORT: Mapping[str, Callable[[Report, str], Iterator[Row]]] = {
    "loaders": _loaders,
    "workers": _workers,
    "ranks": _ranks,
}
_OF_LOADER: Mapping[str, Callable[[Report, str, Source, LoaderLife, tuple[Wait, ...]], Iterator[Row]]] = {
    "batches": _batches,
    "waits": _waits,
}


def _of(report: Report, run: str, loader: LoaderDiagnosis) -> Row:
    return _who(report, run, loader.node, loader.rank, loader.created_at)


def _causes(causes: Mapping[str, float], unit: float) -> Row:
    return dict(zip(_CAUSES, (causes.get(cause, 0) / unit for cause in CAUSES), strict=True))


def _clocks(stage: str, cost: Cost | None) -> Row:
    clocks = (None,) * 4 if cost is None else (cost.wall_ns, cost.cpu_ns, cost.blocked_ns, cost.runqueue_ns)
    names = (name for name in _MADE if name.startswith(stage))
    return {name: None if ns is None else ns / 1e9 for name, ns in zip(names, clocks, strict=True)}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _since(t: int | None, origin: int) -> float | None:
    return None if t is None else (t - origin) / 1e9
