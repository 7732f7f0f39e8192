"""The source lines that a report shows around a place, kept beside the recording.

They are read where and when the run has just ended: sources may change afterwards, and a recording that comes
from elsewhere must not make a report show files of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlcheck.diagnosis import guard
from dlcheck.diagnosis.timeline import Site

_AROUND = 3
_MOST_PLACES = 200
_MOST_CHARACTERS = 300
_MOST_FILE_BYTES = 4_000_000
_MOST_KEPT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a file, of which the first is number ``first``."""

    first: int
    lines: tuple[str, ...]


Excerpts = Mapping[tuple[str, int], Excerpt]
"""By file and the line in its middle."""


def take_excerpts(sites: Iterable[Site]) -> dict[tuple[str, int], Excerpt]:
    """The lines around each site, of files that can be read."""
    taken: dict[tuple[str, int], Excerpt] = {}
    texts: dict[str, list[str]] = {}
    for site in sites:
        if len(taken) == _MOST_PLACES:
            break
        lines = texts.setdefault(site.file, _lines(site.file))
        if 0 < site.line <= len(lines):
            first = max(1, site.line - _AROUND)
            shown = lines[first - 1 : site.line + _AROUND]
            lines_shown = tuple(line.expandtabs(4)[:_MOST_CHARACTERS] for line in shown)
            taken[site.file, site.line] = Excerpt(first, lines_shown)
    return taken


def write_excerpts(path: Path, excerpts: Excerpts) -> None:
    """Keep excerpts as JSON."""
    entries = [[file, line, e.first, list(e.lines)] for (file, line), e in excerpts.items()]
    path.write_text(json.dumps(entries), encoding="utf-8")


def read_excerpts(path: Path) -> dict[tuple[str, int], Excerpt]:
    """What ``write_excerpts`` kept. Raises OSError, or ValueError where the file is damaged or too large."""
    entries = guard.read_json(path, _MOST_KEPT_BYTES)
    excerpts = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case [str(file), int(line), int(first), [*lines]] if all(isinstance(text, str) for text in lines):
                excerpts[file, line] = Excerpt(first, tuple(lines[: 2 * _AROUND + 1]))
            case _:
                raise ValueError(f"{path.name} holds no excerpts")
    return excerpts


def _lines(file: str) -> list[str]:
    try:
        path = Path(file)
        if path.stat().st_size > _MOST_FILE_BYTES:
            return []
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return []
