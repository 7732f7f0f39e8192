"""The report of a run as text and as JSON."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import batch, cost, epoch, iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import Incident, LoaderLife, Site, StackSample
from dlcheck.lint.finding import Finding, Place
from dlcheck.report.model import Report, read_findings, write_findings
from dlcheck.report.run_json import render_json, report_json
from dlcheck.report.run_text import print_report

FINDING = Finding(
    "DLC102", "container-reopened-per-item", Place("/project/data.py", 12, 5, 12, 30), "[bold]opened[/bold] again",
    "warning", "high", "open it once", (10, 20), (Place("/project/train.py", 10, 1, 10, 9),),
)  # fmt: skip


def report() -> Report:
    slow = loader([iterator([steady(100, 50, 10, workers=2)], 2)])
    quick = replace(
        loader([iterator([steady(100, 5, 20)], 1, serial=2)]),
        created_at=Site("/project/[red]val.py", 3, "main"),
    )
    inline = [
        batch(i, None, asked=100 * i, got=100 * i + 60, fetch=(100 * i, 100 * i + 60), clocks=cost(60, 50))
        for i in range(30)
    ]
    samples = tuple(
        StackSample(ns(1030) + n, 110, "MainThread", True, (Site("/project/data.py", 12, "read"),), 1000)
        for n in range(30)
    )
    incident = Incident(
        "worker-killed", ns(500), 110, "worker 0 was killed", (Site("/project/data.py", 9, "f"),)
    )
    run = timeline(slow, quick, loader([iterator([epoch(inline, end=3000)])]), stacks=samples)
    run = replace(run, incidents=(incident,))
    return Report(diagnose(run, [FINDING]), run, "/project/rec")


def test_json_holds_what_the_schema_asks_for() -> None:
    value = json.loads(render_json(report()))
    text = resources.files("dlcheck.report").joinpath("schema", "report-1.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    _check(value, schema, schema)
    # What ended the run comes first, though the loop waited longer for another loader.
    assert [loader["verdict"] for loader in value["loaders"]] == ["worker-killed", "main-process", "healthy"]
    first = value["loaders"][0]
    assert set(value) == set(schema["properties"])
    assert set(first) == set(schema["$defs"]["loader"]["properties"])
    assert value["schema"] == "dlcheck.report/1"
    assert sum(first["causes"].values()) == pytest.approx(first["wait_s"])
    assert first["created_at"] == {"file": "train.py", "line": 10, "function": "main"}
    assert [(c["file"], c["line"], c["finding"]) for c in first["culprits"]] == [("data.py", 12, "DLC102")]
    assert value["findings"][0]["cost_s"] > 0
    assert value["events"][0]["at_s"] == 0.5


def _check(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "report") -> None:
    """Validate the part of JSON Schema that the schema uses."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for part in schema.get("allOf", ()):
        _check(value, part, root, at)
    if "const" in schema:
        assert value == schema["const"], at
    if "enum" in schema:
        assert value in schema["enum"], f"{at}: {value}"
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(_is(value, kind) for kind in kinds), f"{at}: {value!r} is no {kinds}"
    if "minimum" in schema:
        assert value >= schema["minimum"], at
    if isinstance(value, dict):
        assert not (missing := set(schema.get("required", ())) - set(value)), f"{at} lacks {missing}"
        known = schema.get("properties", {})
        for key, inner in value.items():
            if key in known:
                _check(inner, known[key], root, f"{at}.{key}")
            elif isinstance(schema.get("additionalProperties"), dict):
                _check(inner, schema["additionalProperties"], root, f"{at}.{key}")
            if "propertyNames" in schema:
                _check(key, schema["propertyNames"], root, f"{at}.{key}")
    if isinstance(value, list) and "items" in schema:
        for number, inner in enumerate(value):
            _check(inner, schema["items"], root, f"{at}[{number}]")


def _is(value: Any, kind: str) -> bool:
    types = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
    if kind in ("number", "integer"):
        wanted = int if kind == "integer" else (int, float)
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, types[kind])


def test_text_says_the_verdict_the_line_and_the_change() -> None:
    file = io.StringIO()
    print_report(report(), file)
    text = file.getvalue()
    assert "\x1b" not in text
    assert "train.py:10" in text and "dataset: blocked" in text and "data.py:12" in text
    assert "Set num_workers=" in text and "Predicted" in text
    assert "worker-killed" in text and "after 500 ms" in text
    # Words of the program are shown as they are, and not taken for markup.
    assert "[bold]opened[/bold] again" in text and "[red]val.py:3" in text
    assert max(map(len, text.splitlines())) <= 120


def text_of(*loaders: LoaderLife, **more: Any) -> str:
    run = timeline(*loaders, **more)
    file = io.StringIO()
    print_report(Report(diagnose(run), run, ""), file)
    return file.getvalue()


def test_the_first_line_says_whether_loading_is_to_blame() -> None:
    quick = loader([iterator([steady(100, 5, 20)], 1)])
    slow = loader([iterator([steady(100, 50, 10)], 1)])
    dead = Incident("worker-killed", ns(100), 110, "worker 0 was killed")
    first_lines = [
        text.splitlines()[0]
        for text in (text_of(quick), text_of(slow), text_of(slow, incidents=(dead,)), text_of())
    ]
    assert "does not slow this training" in first_lines[0]
    assert "can be improved" in first_lines[1] and "waited for data" in first_lines[1]
    assert "ended this run" in first_lines[2]
    assert "Nothing is known" in first_lines[3]


def test_a_healthy_loader_takes_few_lines() -> None:
    text = text_of(loader([iterator([steady(100, 5, 20)], 1)]))
    assert "Nothing: a faster loader would not make the run faster." in text
    assert "worker  batches" not in text and "Lines" not in text


def test_the_bar_says_what_the_loop_does_when_it_loads_itself() -> None:
    inline = [
        batch(i, None, asked=100 * i, got=100 * i + 60, fetch=(100 * i, 100 * i + 60), clocks=cost(60, 45))
        for i in range(30)
    ]
    text = text_of(loader([iterator([epoch(inline, end=3000)])]))
    assert "training step 40 %" in text and "dataset: computing 45 %" in text
    assert "dataset: blocked 15 %" in text and "training process" not in text


def test_no_line_ends_in_blanks_and_each_share_is_of_the_loop() -> None:
    text = text_of(
        loader([iterator([steady(100, 50, 10)], 1)]),
        stacks=tuple(
            StackSample(
                ns(1001) + n * 10**6, 110, "MainThread", True, (Site("/project/data.py", 9, "read"),), 10**6
            )
            for n in range(30)
        ),
    )
    assert all(line == line.rstrip() for line in text.splitlines())
    assert any(line.split()[1:4] == ["%", "data.py:9", "read"] for line in text.splitlines())


def test_text_is_plain_where_the_terminal_knows_ascii_only() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    print_report(report(), file)
    file.seek(0)
    assert "dataset: blocked" in file.read()


def test_findings_are_kept_beside_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    write_findings(path, [FINDING])
    assert read_findings(path) == (FINDING,)
    for damaged in ("[{}]", "{", "[1]", '{"a": 1}'):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError):
            read_findings(path)


def test_paths_are_relative_to_the_runs_directory() -> None:
    made = report()
    assert made.shown("/project/a/b.py") == "a/b.py"
    assert made.shown("/projects/a.py") == "/projects/a.py"
    assert report_json(made)["directory"] == "/project"
