"""What a rule reports: a place in a file, what is wrong there, and how sure we are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dlcheck.lint.fix import Fix

Severity = Literal["error", "warning", "info"]
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Place:
    """A range of one file. Lines and columns count from 1; ``end_column`` is one past the last character."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule has to say.

    ``scope`` holds the first and last line of the function that the place lies in (the whole statement at
    module level), so that a measured line of the same function can be joined with the finding.
    ``also`` names other places that belong to the evidence (the dataset behind a loader, the loop that consumes it).
    """

    rule: str
    name: str
    place: Place
    message: str
    severity: Severity
    confidence: Confidence
    help: str = ""
    scope: tuple[int, int] = (0, 0)
    also: tuple[Place, ...] = ()
    fix: Fix | None = None
