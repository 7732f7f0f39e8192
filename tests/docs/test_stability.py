"""What ``docs/stability.md`` lists as public is there."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import dlcheck
from dlcheck.lint.rule import Report, Rule
from dlcheck.probe.notebook import Report as RunReport
from dlcheck.probe.recording import VERSION
from dlcheck.program.program import Program
from dlcheck.testing.probe import LoaderProbe

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")


def test_schemas() -> None:
    written = {
        name
        for path in (ROOT / "dlcheck" / "report").glob("*.py")
        for name in re.findall(r'"(dlcheck\.\w+/\d+)"', path.read_text(encoding="utf-8"))
    }
    assert written == set(re.findall(r"`(dlcheck\.\w+/\d+)`", TEXT))


def test_recordings() -> None:
    assert f"| recordings | format {VERSION} |" in TEXT


def test_probe() -> None:
    probe = dlcheck.probe()
    assert list(inspect.signature(type(probe)).parameters) == ["output", "stacks"]
    for name in ("start", "stop", "report", "__enter__", "__exit__"):
        assert callable(getattr(probe, name))
    for name in ("__str__", "to_dict", "save_html"):
        assert callable(getattr(RunReport, name))


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (LoaderProbe, ["must_reach", "must_fit", "must_repeat", "must_not_duplicate"]),
        (Program, ["scopes", "values", "role", "datasets"]),
    ],
)
def test_methods(owner: Any, names: list[str]) -> None:
    for name in names:
        assert hasattr(owner, name)
        assert f"`{name}" in TEXT


def test_rules_of_a_projects_own() -> None:
    assert {"code", "name", "severity", "check", "page", "found", "clean"} <= {f.name for f in fields(Rule)}
    assert {"scope", "at", "message", "help"} <= {f.name for f in fields(Report)}


def test_ids_of_hooks_are_those_of_the_page_on_everyday_use() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == ["dlcheck", "dlcheck-fix"]
