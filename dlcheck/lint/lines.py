"""The lines of sources as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from dlcheck.lint.finding import Finding
from dlcheck.lint.sources import is_notebook


def lines_of(file: str, sources: Mapping[str, bytes]) -> list[str]:
    """The lines of a file as they are shown, without line ends."""
    return _lines(file, sources.get(file, b""))


@lru_cache(maxsize=8)
def _lines(file: str, source: bytes) -> list[str]:
    from dlcheck.facts.text import decode

    lines = decode(source).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if is_notebook(file):
        from dlcheck.facts.notebook import shown_line

        return [shown_line(line) for line in lines]
    return lines


def line_text(finding: Finding, sources: Mapping[str, bytes]) -> str:
    """The line that a finding starts on, without the space around it."""
    lines = lines_of(finding.place.file, sources)
    return lines[finding.place.line - 1].strip() if 0 < finding.place.line <= len(lines) else ""


def dedented(lines: Iterable[str]) -> str:
    """Lines without the space that the first of them begins with."""
    lines = list(lines)
    first = next((line for line in lines if line.strip()), "")
    margin = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(margin) for line in lines)
