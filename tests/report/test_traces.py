"""Traces, stacks and metrics, read back by what they are written for, or by the rules of their format."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import iterator, loader, ns, restarted, steady, timeline

from dlcheck.diagnosis.attribution import attribute
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import Incident, IteratorLife, ProcessSample, Site, StackSample, Timeline
from dlcheck.lint.finding import Finding, Place
from dlcheck.report.model import Report
from dlcheck.report.run_chrome import write_chrome
from dlcheck.report.run_formats import FORMATS, write_report
from dlcheck.report.run_metrics import write_openmetrics, write_otlp
from dlcheck.report.run_stacks import write_collapsed, write_speedscope

ODD = 'odd "name"; with\nbreaks\\'


def frames(line: int) -> tuple[Site, ...]:
    return Site("/project/a.py", 3, ODD), Site("/lib/b.py", line, "g")


def elsewhere(made: IteratorLife, beyond: int = 1000) -> IteratorLife:
    """The same iterator with workers of other process ids."""
    return replace(made, workers=tuple(replace(life, pid=life.pid + beyond) for life in made.workers))


def run() -> Timeline:
    slow = loader([iterator([steady(60, 50, 10, workers=2, cpu_share=0.5)], 2)])
    again = replace(
        loader([elsewhere(made) for made in restarted(3)]),
        key="1:2",
        dataset=ODD,
        created_at=Site("/project/val.py", 3, "main"),
    )
    made_anew = replace(again, key="1:3", iterators=(elsewhere(restarted(1)[0], 2000),))
    processes = tuple(
        ProcessSample(ns(500 * n), pid, 0.25 * n, 10**8, private_dirty=10**7)
        for n in range(5)
        for pid in (1, 110)
    )
    stacks = tuple(
        StackSample(ns(20 * n + 5), 110, "MainThread", False, frames(n % 2), ns(20))
        for n in range(40)
    )  # fmt: skip
    incident = Incident("hang", ns(700), 110, ODD)
    return timeline(slow, again, made_anew, processes=processes, stacks=stacks, incidents=(incident,))


def written(write: Callable[[Report, TextIO], None], one: Timeline | None = None) -> str:
    one = one if one is not None else run()
    finding = Finding("DLC102", "a", Place("/project/a.py", 3, 1, 3, 9), "m", "warning", "high")
    file = io.StringIO()
    write(Report(diagnose(one, [finding]), one, "/rec"), file)
    return file.getvalue()


def events() -> list[dict[str, Any]]:
    return list(json.loads(written(write_chrome))["traceEvents"])


def test_slices_of_a_track_do_not_overlap() -> None:
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events():
        assert event["ph"] in "XMCsfi" and isinstance(event["pid"], int) and isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert event["dur"] > 0
            tracks.setdefault((event["pid"], event["tid"]), []).append(
                (event["ts"], event["ts"] + event["dur"])
            )
    assert len(tracks) >= 5
    for slices in tracks.values():
        slices.sort()
        assert all(later[0] >= earlier[1] - 1e-6 for earlier, later in pairwise(slices))


def test_every_track_has_a_name() -> None:
    named = {(e["pid"], e["tid"]) for e in events() if e["name"] == "thread_name"}
    assert {(e["pid"], e["tid"]) for e in events() if e["ph"] == "X"} <= named
    processes = {e["pid"]: e["args"]["name"] for e in events() if e["name"] == "process_name"}
    assert processes[1] == "training process" and processes[110] == "worker 0"


def test_arrows_lead_from_the_worker_of_a_batch_to_the_loop_that_got_it() -> None:
    found = events()
    slices = [e for e in found if e["ph"] == "X"]

    def under(end: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            s for s in slices
            if (s["pid"], s["tid"]) == (end["pid"], end["tid"]) and s["ts"] - 1e-6 <= end["ts"] <= s["ts"] + s["dur"]
        ]  # fmt: skip

    starts = {e["id"]: e for e in found if e["ph"] == "s"}
    ends = {e["id"]: e for e in found if e["ph"] == "f"}
    assert starts and starts.keys() == ends.keys() and len(starts) == sum(e["ph"] == "s" for e in found)
    for number, start in starts.items():
        end = ends[number]
        assert start["ts"] <= end["ts"] and end["bp"] == "e" and start["cat"] == end["cat"]
        assert start["pid"] != 1 and end["pid"] == 1
        batches = [{s["args"]["batch"] for s in under(e) if "batch" in s["args"]} for e in (start, end)]
        assert batches[0] & batches[1]


def test_waits_in_the_trace_add_up() -> None:
    one = run()
    waits = sum(wait.ns for life in one.loaders for wait in attribute(life, one.end))
    named = ("wait: ", "construction", "end", "shutdown")
    seen = sum(e["dur"] for e in events() if e["ph"] == "X" and e["name"].startswith(named))
    assert seen * 1e3 == pytest.approx(waits)
    (hang,) = (e for e in events() if e["ph"] == "i")
    assert (hang["name"], hang["ts"], hang["args"]["detail"]) == ("hang", 700_000.0, ODD)
    cores = {e["args"]["cores"] for e in events() if e["name"] == "cores"}
    assert cores == {0.5}


def test_speedscope_file() -> None:
    value = json.loads(written(write_speedscope))
    assert value["$schema"].endswith("file-format-schema.json")
    frames = value["shared"]["frames"]
    assert {"name": ODD, "file": "a.py", "line": 3} in frames
    assert value["profiles"]
    for profile in value["profiles"]:
        assert profile["type"] == "sampled" and len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] == sum(profile["weights"])
        assert all(0 <= frame < len(frames) for stack in profile["samples"] for frame in stack)


def test_collapsed_stacks() -> None:
    lines = written(write_collapsed).splitlines()
    total = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        assert stack.startswith(
            'train.py:10 fetch, while the loop waited;odd "name" with breaks\\ (a.py:3);g (/lib/b.py:'
        )
        total += int(count)
    one = run()
    waits = attribute(one.loaders[0], one.end)
    waited = sum(any(w.begin <= s.t < w.end for w in waits if w.kind == "batch") for s in one.stacks)
    assert len(lines) == 2 and total == waited * 20_000 > 0


def test_openmetrics_is_read_by_prometheus() -> None:
    parser = pytest.importorskip(
        "prometheus_client.openmetrics.parser", reason="prometheus-client is not installed"
    )
    families = {
        family.name: family for family in parser.text_string_to_metric_families(written(write_openmetrics))
    }
    loops = {s.labels["loader"]: s.value for s in families["dlcheck_loop_seconds"].samples}
    assert loops.keys() == {"train.py:10", "val.py:3"}
    assert families["dlcheck_loop_seconds"].unit == "seconds"
    waits = families["dlcheck_wait_seconds"].samples
    one = run()
    expected = sum(wait.ns for life in one.loaders for wait in attribute(life, one.end)) / 1e9
    assert sum(s.value for s in waits) == pytest.approx(expected)
    assert {s.labels["dataset"] for s in waits} == {"Data", ODD}
    assert [(s.labels["kind"], s.value) for s in families["dlcheck_events"].samples] == [("hang", 1.0)]
    assert {s.labels["worker"]: s.value for s in families["dlcheck_worker_rss_bytes"].samples} == {"0": 1e8}
    assert len(
        {(s.name, tuple(sorted(s.labels.items()))) for f in families.values() for s in f.samples}
    ) == sum(len(f.samples) for f in families.values())


def test_otlp_holds_the_same_figures() -> None:
    one = run()
    dated = replace(one, environment={**one.environment, "begun_at_s": 1_700_000_000.0, "host": "h"})
    (resource,) = json.loads(written(write_otlp, dated))["resourceMetrics"]
    attributes = {a["key"]: a["value"]["stringValue"] for a in resource["resource"]["attributes"]}
    assert attributes == {"service.name": "dlcheck", "host.name": "h", "process.command": "python train.py"}
    found = {metric["name"]: metric for metric in resource["scopeMetrics"][0]["metrics"]}
    points = found["dlcheck_wait_seconds"]["gauge"]["dataPoints"]
    assert found["dlcheck_wait_seconds"]["unit"] == "s"
    text = written(write_openmetrics)
    assert len(points) == text.count("\ndlcheck_wait_seconds{")
    end = str(round((1_700_000_000.0 + (one.end - one.begin) / 1e9) * 1e9))
    assert all(point["timeUnixNano"] == end for point in points)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_of_an_empty_run(name: str) -> None:
    text = written(lambda report, file: write_report(report, name, file), timeline())
    assert bool(text) == (name != "collapsed")
