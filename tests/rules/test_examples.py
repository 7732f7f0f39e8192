"""Every rule's own examples: what it must find, on the line that says so, and what it must leave alone."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from dlcheck.config.resolve import Resolver
from dlcheck.lint.checker import check
from dlcheck.lint.registry import all_rules
from dlcheck.lint.rule import Rule

_MARK = re.compile(r"# <- (DLC\d+)")


def _files(example: str) -> dict[str, str]:
    """The files of an example: one, or several that are each headed by ``# file: name.py``."""
    text = textwrap.dedent(example).strip("\n") + "\n"
    if not text.startswith("# file: "):
        return {"example.py": text}
    pieces = re.split(r"^# file: (\S+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _check(example: str, code: str, folder: Path) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """(expected, found) places of one rule, as (file, line)."""
    expected = set()
    for name, text in _files(example).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for number, line in enumerate(text.splitlines(), 1):
            if any(mark == code for mark in _MARK.findall(line)):
                expected.add((name, number))
    result = check([folder], Resolver([{"select": (code,)}], isolated=True), root=folder)
    assert not result.errors
    found = {(Path(f.place.file).relative_to(folder).as_posix(), f.place.line) for f in result.findings}
    return expected, found


_FOUND = [pytest.param(r, e, id=f"{r.code}-{n}") for r in all_rules() for n, e in enumerate(r.found, 1)]
_CLEAN = [pytest.param(r, e, id=f"{r.code}-{n}") for r in all_rules() for n, e in enumerate(r.clean, 1)]


@pytest.mark.parametrize(("rule", "example"), _FOUND)
def test_found(rule: Rule, example: str, tmp_path: Path) -> None:
    expected, found = _check(example, rule.code, tmp_path)
    assert expected, "the example marks no line"
    assert found == expected


@pytest.mark.parametrize(("rule", "example"), _CLEAN)
def test_left_alone(rule: Rule, example: str, tmp_path: Path) -> None:
    _, found = _check(example, rule.code, tmp_path)
    assert found == set()


@pytest.mark.parametrize("rule", all_rules(), ids=lambda r: r.code)
def test_rule_is_whole(rule: Rule) -> None:
    assert re.fullmatch(r"DLC\d{3}", rule.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert len(rule.found) >= 4
    assert len(rule.clean) >= 4
    assert len(rule.page.strip().splitlines()) > 3
