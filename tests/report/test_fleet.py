"""Recordings of many ranks, on one node and on several: told as one, and the same whichever way they are read."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.simulated import Job, write_recordings
from dlcheck.cli.main import main
from dlcheck.diagnosis import fleet
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.nodes import find_recordings, nodes_of
from dlcheck.diagnosis.recording import load, read_host
from dlcheck.probe import recording as k
from dlcheck.report.build import build_report
from dlcheck.report.run_formats import write_report
from dlcheck.report.run_html import render_html
from dlcheck.report.run_json import report_json
from dlcheck.report.run_text import numbers

SMALL = Job(ranks=4, workers=2, steps=60, fetch=150.0, late=3, late_fetch=260.0)


def on_nodes(folder: Path, nodes: int) -> list[Path]:
    return write_recordings(
        folder, Job(**{name: getattr(SMALL, name) for name in SMALL.__slots__} | {"nodes": nodes})
    )


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_nodes(tmp_path_factory.mktemp("one"), 1)[0]


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_nodes(tmp_path_factory.mktemp("two"), 2)[0].parent


def same(one: Any, other: Any) -> None:
    """Equal but for the last digits of sums that were made in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    else:
        assert one == (pytest.approx(other, rel=1e-6, abs=1e-9) if isinstance(other, float) else other)


def as_json(recordings: Path | list[Path], **options: Any) -> dict[str, Any]:
    text = io.StringIO()
    write_report(build_report(recordings, check=False, **options), "json", text)
    return dict(json.loads(text.getvalue()))


def test_rank_by_rank_says_what_is_said_of_all_at_once(one_node: Path) -> None:
    report = build_report(one_node, check=False)
    whole = load(one_node)
    from dlcheck.report.model import Report

    same(
        json.loads(json.dumps(report_json(report))),
        json.loads(json.dumps(report_json(Report(diagnose(whole), whole, str(one_node))))),
    )
    assert {life.key for life in report.timeline.loaders} == {life.key for life in whole.loaders}


def test_each_training_process_is_a_part_with_its_workers(one_node: Path) -> None:
    host = read_host(one_node)
    parts = fleet.divide(host)
    assert [len(part) for part in parts] == [3] * 4
    assert sorted(log.stem for part in parts for log in part) == sorted(log.stem for log in host.logs)


def test_on_all_cores_says_the_same(one_node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = as_json(one_node, most_loaders=0)
    monkeypatch.setattr(fleet, "_processes", lambda job: 2)
    assert as_json(one_node, most_loaders=0) == alone


def test_processes_that_die_are_done_without(one_node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: fleet.Job, processes: int) -> list[Any]:
        raise fleet.BrokenProcessPool("killed")

    alone = as_json(one_node, most_loaders=0)
    monkeypatch.setattr(fleet, "_processes", lambda job: 2)
    monkeypatch.setattr(fleet, "_on_all_cores", broken)
    assert as_json(one_node, most_loaders=0) == alone


def test_nodes_are_one_job_on_one_clock(one_node: Path, two_nodes: Path) -> None:
    """The same job on one node, and on two whose clocks began thousands of seconds apart."""
    recordings = find_recordings([two_nodes])
    assert [path.name for path in recordings] == ["node0", "node1"]
    clocks = [read_host(path).manifest["begin"] for path in recordings]
    assert abs(clocks[0] - clocks[1]) > 10**12
    together, apart = as_json(one_node), as_json(recordings)
    assert {(each["rank"], each["node"]) for each in apart["loaders"]} == {
        (0, "node0"),
        (1, "node0"),
        (2, "node1"),
        (3, "node1"),
    }
    assert apart["ranks"][0]["rank"] == SMALL.late and apart["ranks"][0]["node"] == "node1"
    for left, right in zip(together["ranks"], apart["ranks"], strict=True):
        same({**left, "node": None}, {**right, "node": None})
    for left, right in zip(together["loaders"], apart["loaders"], strict=True):
        assert (left["rank"], left["verdict"], left["batches"]) == (
            right["rank"],
            right["verdict"],
            right["batches"],
        )
        same(left["causes"], right["causes"])


def test_the_text_names_the_late_rank_and_its_node(
    two_nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(two_nodes)]) == 0
    text = capsys.readouterr().out
    assert "rank 3 on node1" in text and "more ranks with this verdict" in text
    first = text.split("held up others")[1].splitlines()[1].split()
    assert first[0] == "3" and first[-1] == "node1"


def test_charts_and_traces_of_several_nodes(two_nodes: Path) -> None:
    report = build_report(find_recordings([two_nodes]), check=False)
    assert [source.node for source in report.sources] == ["node0", "node1"]
    page = render_html(report)
    assert "Ranks side by side" in page and "node1" in page
    text = io.StringIO()
    write_report(report, "chrome", text)
    events = json.loads(text.getvalue())["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert len(names) == 4 * 3
    assert sorted(name for name in names.values() if name.startswith("training")) == [
        f"training process of rank {rank} on node{rank // 2}" for rank in range(4)
    ]
    times = [event["ts"] for event in events if event["ph"] == "X"]
    assert min(times) >= 0 and max(times) < 20e6
    text = io.StringIO()
    write_report(report, "collapsed", text)
    assert "rank 3 on node1 fetch" in text.getvalue()


def test_only_wanted_loaders_are_kept(two_nodes: Path) -> None:
    report = build_report(find_recordings([two_nodes]), check=False, most_loaders=1)
    lives = [life for source in report.sources for life in source.timeline.loaders]
    assert [life.key for life in lives] == [report.diagnosis.loaders[0].key]
    assert len(report.diagnosis.loaders) == 4


def test_runs_of_different_times_are_no_job(
    one_node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = on_nodes(tmp_path, 1)[0]
    manifest = json.loads((other / "recording.json").read_text())
    manifest["begin_wall_s"] += 3600
    manifest["end_wall_s"] += 3600
    (other / "recording.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="not one job"):
        nodes_of([read_host(one_node), read_host(other)])
    assert main(["report", str(one_node), str(other)]) == 2
    assert "dlcheck compare A B" in capsys.readouterr().err


def test_a_folder_without_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "is not a recording" in capsys.readouterr().err


def test_ranks_are_listed_in_short() -> None:
    assert numbers([7, 0, 1, 2, 9, 8]) == "0-2, 7-9" and numbers([4]) == "4" and numbers([]) == ""


def test_a_loop_at_the_top_of_a_script_makes_one_loader(tmp_path: Path) -> None:
    """A loader made anew for every epoch, with no function around it."""
    (recording,) = write_recordings(tmp_path, Job(ranks=1, workers=1, steps=5))
    host = read_host(recording)
    trainer = next(log for log in host.logs if any(log.said("loader")))
    (line,) = trainer.said("loader")
    assert line["via"] == []
    event = trainer.stem
    words = recording / "events" / f"{event}.jsonl"
    again = {**line, "number": 2}
    words.write_text(words.read_text(encoding="utf-8") + json.dumps(again) + "\n", encoding="utf-8")
    with (recording / "events" / f"{event}.bin").open("r+b") as file:
        data = bytearray(file.read())
        last = max(k.RECORD.unpack_from(data, at)[2] for at in range(4096, len(data), 32))
        free = next(at for at in range(4096, len(data), 32) if not any(data[at : at + 32]))
        for number, (kind, a) in enumerate(((k.ITERATOR, 2), (k.ITERATOR_READY, 0), (k.ASK, 7))):
            k.RECORD.pack_into(data, free + 32 * number, kind | 2 << 8, 0, last + 10 + number, a, 0)
        file.seek(0)
        file.write(data)
    (loader,) = load(recording).loaders
    assert loader.made == 2 and len(loader.iterators) == 2
