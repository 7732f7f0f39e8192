"""Patterns of paths, in the manner of ``.gitignore`` files, each counted from the folder of the file that it stands in.

``build`` and ``*_pb2.py`` fit at any depth, ``src/old`` and ``/setup.py`` from that folder on, and what fits a folder
fits all below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern and the folder that it counts from."""

    folder: Path
    text: str


def matcher(patterns: Iterable[Pattern]) -> Callable[[str], bool | None]:
    """A test of absolute paths: whether they fit, are taken back by ``!``, or neither. A folder ends in ``/``."""
    groups: list[tuple[str, list[str]]] = []
    for pattern in patterns:
        folder = f"{pattern.folder.as_posix().rstrip('/')}/"
        if not groups or groups[-1][0] != folder:
            groups.append((folder, []))
        groups[-1][1].append(pattern.text)
    if not groups:
        return lambda path: None
    specs = [(folder, compiled(tuple(texts))) for folder, texts in reversed(groups)]

    def matches(path: str) -> bool | None:
        for folder, spec in specs:
            if path.startswith(folder):
                found = spec.check_file(path[len(folder) :]).include
                if found is not None:
                    return found
        return None

    return matches


@lru_cache
def compiled(texts: tuple[str, ...]) -> GitIgnoreSpec:
    """Patterns of one folder, ready to match. Raises ``ValueError`` where one cannot be read."""
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(texts)
