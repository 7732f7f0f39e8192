"""``docs/everyday.md`` says what is true."""

from __future__ import annotations

import re
from pathlib import Path

from dlcheck.config.options import OPTIONS
from dlcheck.config.read import read_values
from dlcheck.config.settings import OUTPUT_FORMATS
from dlcheck.config.toml import loads

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "everyday.md").read_text()


def test_every_setting_is_listed_with_its_meaning() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", TEXT.partition("## Suppressions")[0], re.MULTILINE)
    assert dict(rows) == {name: option.meaning for name, option in OPTIONS.items()}
    assert [name for name, _ in rows] == list(OPTIONS)


def test_the_example_of_settings_is_right() -> None:
    block = re.search(r"```toml\n(\[tool.dlcheck\].*?)```", TEXT, re.DOTALL)
    assert block is not None
    _, wrong = read_values(loads(block[1])["tool"]["dlcheck"], ROOT)
    assert not wrong


def test_every_format_is_named() -> None:
    assert all(f"`{name}`" in TEXT for name in OUTPUT_FORMATS)


def test_every_test_that_is_named_exists() -> None:
    table = TEXT.partition("## Beside ruff")[2]
    named = set(re.findall(r"`(test_\w+)`", table))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 30
    assert named <= there


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((\.\./[^)#]+)\)", TEXT)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
