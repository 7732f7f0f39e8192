"""Every rule's own examples: what it must find, on the line that says so, and what it must leave alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rule_examples import examples

from dlcheck.lint.examples import run_example
from dlcheck.lint.registry import all_rules
from dlcheck.lint.rule import Rule

_FOUND = [
    pytest.param(r, e, id=f"{r.code}-{n}") for r in all_rules() for n, e in enumerate(examples(r, "found"), 1)
]
_CLEAN = [
    pytest.param(r, e, id=f"{r.code}-{n}") for r in all_rules() for n, e in enumerate(examples(r, "clean"), 1)
]


@pytest.mark.parametrize(("rule", "example"), _FOUND)
def test_found(rule: Rule, example: str, tmp_path: Path) -> None:
    expected, found = run_example(example, rule.code, tmp_path)
    assert expected, "the example marks no line"
    assert found == expected


@pytest.mark.parametrize(("rule", "example"), _CLEAN)
def test_left_alone(rule: Rule, example: str, tmp_path: Path) -> None:
    _, found = run_example(example, rule.code, tmp_path)
    assert found == set()


@pytest.mark.parametrize("rule", all_rules(), ids=lambda r: r.code)
def test_rule_is_whole(rule: Rule) -> None:
    assert re.fullmatch(r"DLC\d{3}", rule.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert len(rule.found) >= 4
    assert len(rule.clean) >= 4
    assert len(rule.page.strip().splitlines()) > 3
