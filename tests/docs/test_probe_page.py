"""``docs/probe.md`` says what is true."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "probe.md").read_text()
PROBE = ROOT / "tests" / "probe"


def functions() -> dict[str, str]:
    """The tests of the probe by their names, each with its decorators and its body."""
    found = {}
    for path in PROBE.glob("test_*.py"):
        parts = re.split(r"^(?=@pytest|def |class )", path.read_text(), flags=re.MULTILINE)
        pending = ""
        for part in parts:
            pending += part
            name = re.match(r"def (test_\w+)", part)
            if name:
                found[name[1]] = pending
            if not part.startswith("@"):
                pending = ""
    return found


def test_every_test_that_is_named_exists() -> None:
    there, named = functions(), 0
    for line in TEXT.splitlines():
        test = ""
        for word in re.findall(r"`(test_\w+(?:\[\w+\])?|\[\w+\])`", line):
            name, _, case = word.partition("[")
            test = name or test
            named += 1
            assert test in there, word
            assert not case or f'"{case.rstrip("]")}"' in there[test], word
    assert named > 30


def test_every_way_of_the_programs_is_in_the_table() -> None:
    """A way of loading that has a test is not forgotten here."""
    cases = re.findall(
        r'^        \("(\w+)", \d+, ', functions()["test_every_batch_is_seen_with_every_stage"], re.MULTILINE
    )
    assert len(cases) > 10
    # Those about signs of life and warnings have rows with tests of their own.
    elsewhere = {"spawned", "forkserver", "warned"}
    assert {case for case in cases if f"[{case}]" not in TEXT} == elsewhere


def test_every_row_names_a_test() -> None:
    rows = TEXT.partition("## What it sees")[2].partition("\n## ")[0].splitlines()
    rows = [row for row in rows if row.startswith("|")][2:]
    assert len(rows) > 20
    assert all("`test_" in row for row in rows)
