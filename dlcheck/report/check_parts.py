"""What the reporters of ``dlcheck check`` share: where a finding is shown to stand, its text, its fingerprint, the sum."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dlcheck.lint.api import CheckResult, FileError
from dlcheck.lint.finding import Finding, Place
from dlcheck.lint.lines import line_text
from dlcheck.lint.sources import is_notebook
from dlcheck.report.words import plural

if TYPE_CHECKING:
    from dlcheck.facts.notebook import CellMap


@dataclass(frozen=True, slots=True)
class Spot:
    """A place as it is shown. In a notebook lines count within ``cell``, which counts from 1; else ``cell`` is 0."""

    file: str
    cell: int
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def text(self) -> str:
        """``file:line:column``, in a notebook ``file:cell 3:line:column``."""
        cell = f"cell {self.cell}:" if self.cell else ""
        return f"{self.file}:{cell}{self.line}:{self.column}"

    @property
    def in_file(self) -> Spot:
        """The place for those who know lines of files only: the first line of a notebook, which has no lines of its own."""
        return Spot(self.file, 0, 1, 1, 1, 1) if self.cell else self


def spot(place: Place, sources: Mapping[str, bytes]) -> Spot:
    """Where a place is shown."""
    file = shown_path(place.file)
    if not is_notebook(place.file) or place.file not in sources:
        return Spot(file, 0, place.line, place.column, place.end_line, place.end_column)
    cells = _cell_map(sources[place.file])
    (cell, line), (_, end_line) = cells.place(place.line), cells.place(place.end_line)
    return Spot(file, cell, line, place.column, end_line, place.end_column)


def error_spot(error: FileError, sources: Mapping[str, bytes]) -> Spot:
    """Where a problem with a file is shown."""
    return spot(Place(error.file, error.line, error.column, error.line, error.column), sources)


@lru_cache(maxsize=8)
def _cell_map(source: bytes) -> CellMap:
    from dlcheck.facts.notebook import CellMap

    return CellMap(source)


def shown_path(file: str) -> str:
    """A path relative to the working directory where it lies below it, else as it is."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def fingerprints(findings: Iterable[Finding], sources: Mapping[str, bytes]) -> list[str]:
    """For each finding a text that stays the same while its line does, wherever that line moves in its file.

    It is made of rule, path and the text of the line; those of which there are several in a file are numbered.
    """
    seen: Counter[str] = Counter()
    out = []
    for finding in findings:
        path = shown_path(finding.place.file).replace(os.sep, "/")
        parts = (finding.rule, path, " ".join(line_text(finding, sources).split()))
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        seen[digest] += 1
        out.append(f"{digest}:{seen[digest]}")
    return out


def summary(result: CheckResult) -> str:
    """How much was found, in a line or two."""
    hidden = [f"{plural(count, 'finding')} {why}" for why, count in result.hidden.items() if count]
    tail = f" Not shown: {', '.join(hidden)}." if hidden else ""
    broken = f" {plural(len(result.errors), 'problem')} with files." if result.errors else ""
    if not result.findings:
        return f"No findings in {plural(result.files, 'file')}.{broken}{tail}"
    count = Counter[str](finding.severity for finding in result.findings)
    kinds = [
        f"{count[name]} {name}{'s' * (count[name] != 1 and name != 'info')}"
        for name in ("error", "warning", "info")
        if count[name]
    ]
    fixes = [finding.fix for finding in result.findings if finding.fix is not None]
    safe = sum(fix.safe for fix in fixes)
    hints = [f"{safe} can be fixed with --fix"] * bool(safe)
    hints += [f"{len(fixes) - safe} {'more ' * bool(safe)}with --unsafe-fixes"] * (len(fixes) > safe)
    hints.append("'dlcheck explain CODE' tells more")
    found = f"Found {plural(len(result.findings), 'finding')} ({', '.join(kinds)})."
    return f"{found} {', '.join(hints)}.{broken}{tail}"
