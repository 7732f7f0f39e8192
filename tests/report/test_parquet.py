"""Parquet tables of a run, and the query of docs/fleets.md over several, by the real DuckDB."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.simulated import Job, write_recordings
from dlcheck.cli.main import main
from dlcheck.diagnosis.attribution import CAUSES
from dlcheck.report.build import build_report
from dlcheck.report.run_parquet import TABLES

DOCS = Path(__file__).parents[2] / "docs" / "fleets.md"
SMALL = Job(ranks=2, workers=2, steps=40, fetch=150.0, late=1, late_fetch=260.0, nodes=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables of two runs of two nodes each: of the second, one rank is late."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    folder = tmp_path_factory.mktemp("fleet")
    for name, late in (("monday", 99), ("tuesday", 1)):
        job = Job(ranks=2, workers=2, steps=40, fetch=150.0, late=late, late_fetch=260.0, nodes=2)
        write_recordings(folder / "recordings" / name, job)
        output = folder / "tables" / name
        recordings = str(folder / "recordings" / name)
        assert main(["report", recordings, "--format", "parquet", "--output", str(output)]) == 0
    return folder


def read(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    return list(parquet.read_table(path).to_pylist())


def test_tables_hold_what_the_report_says(runs: Path) -> None:
    tables = {name: read(runs / "tables" / "tuesday" / f"{name}.parquet") for name in TABLES}
    nodes = [runs / "recordings" / "tuesday" / f"node{number}" for number in range(2)]
    diagnosis = build_report(nodes, check=False, most_loaders=0).diagnosis
    assert {row["run"] for rows in tables.values() for row in rows} == {"tuesday"}
    for loader in diagnosis.loaders:
        own = {
            name: [row for row in rows if (row["node"], row["rank"]) == (loader.node, loader.rank)]
            for name, rows in tables.items()
        }
        (row,) = own["loaders"]
        assert (row["verdict"], row["batches"], row["wait_s"]) == (
            loader.verdict,
            loader.batches,
            pytest.approx(loader.wait_s),
        )
        assert len(own["batches"]) == loader.batches == 40
        assert sum(part["wait_s"] for part in own["waits"]) == pytest.approx(loader.wait_s)
        for cause in CAUSES:
            told = sum(part["wait_s"] for part in own["waits"] if part["cause"] == cause)
            assert told == pytest.approx(loader.causes_s.get(cause, 0.0), abs=1e-9)
            assert row[f"wait_{cause.replace('-', '_')}_s"] == pytest.approx(told, abs=1e-9)
        for batch in own["batches"]:
            assert batch["got_s"] - batch["asked_s"] == pytest.approx(batch["wait_s"])
            causes = sum(value for name, value in batch.items() if name in _cause_columns())
            assert causes == pytest.approx(batch["wait_s"])
            assert batch["fetch_s"] == pytest.approx(
                batch["fetch_cpu_s"] + batch["fetch_blocked_s"] + batch["fetch_waited_for_core_s"]
            )
        assert sum(use["batches"] for use in own["workers"]) == 40
    assert [row["rank"] for row in tables["ranks"]] == [use.rank for use in diagnosis.ranks]


def _cause_columns() -> set[str]:
    return {f"wait_{cause.replace('-', '_')}_s" for cause in CAUSES}


def test_nodes_are_on_one_clock(runs: Path) -> None:
    rows = read(runs / "tables" / "tuesday" / "batches.parquet")
    first = {row["node"]: row["asked_s"] for row in rows if row["batch"] == 0}
    assert first["node0"] == pytest.approx(first["node1"], abs=1e-4) and 0 <= first["node0"] < 2


def test_batches_alone(runs: Path, tmp_path: Path) -> None:
    output = tmp_path / "batches.parquet"
    recordings = str(runs / "recordings" / "monday")
    assert main(["report", recordings, "--format", "parquet", "--output", str(output)]) == 0
    assert read(output) == read(runs / "tables" / "monday" / "batches.parquet")


def test_parquet_needs_a_place(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs / "recordings" / "monday"), "--format", "parquet"]) == 2
    assert "--output" in capsys.readouterr().err


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (recording,) = write_recordings(tmp_path / "one", Job(ranks=1, workers=1, steps=5))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arguments = ["report", str(recording), "--format", "parquet", "--output", str(tmp_path / "x.parquet")]
    assert main(arguments) == 2
    assert "pip install 'dlcheck[parquet]'" in capsys.readouterr().err


def test_the_query_of_the_documentation(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    queries = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) == 2
    monkeypatch.chdir(runs)
    worst = duckdb.sql(queries[0]).fetchall()
    names = [column[0] for column in duckdb.sql(queries[0]).description]
    first = dict(zip(names, worst[0], strict=True))
    assert (first["run"], first["rank"], first["node"]) == ("tuesday", 1, "node1")
    assert first["cause"] in CAUSES and first["wait_s"] > 1
    held = duckdb.sql(queries[1]).fetchall()
    assert held[0][0] == "node1" and held[0][-1] == max(row[-1] for row in held)
