"""What a rule is: its code and page, its examples, and the query that finds it in a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcheck.lint.finding import Confidence, Severity
from dlcheck.lint.fix import Fix

if TYPE_CHECKING:
    from dlcheck.facts.model import At
    from dlcheck.program.program import Program
    from dlcheck.program.scope import Scope


@dataclass(frozen=True, eq=False)
class Report:
    """What a rule yields: a place, why it is wrong there, and where this case differs from the rule's usual one."""

    scope: Scope
    at: At
    message: str
    help: str = ""
    severity: Severity | None = None
    confidence: Confidence | None = None
    also: tuple[tuple[Scope, At], ...] = ()
    fix: Fix | None = None


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule. ``found`` and ``clean`` are sources that it must report, and must leave alone; both are tests.

    An example is the source of one file, or of several, each headed by a line ``# file: name.py``. A line that must be
    reported ends in ``# <- DLC102``. ``causes`` names the causes of waiting (of a diagnosis) that the fault shows as.
    """

    code: str
    name: str
    severity: Severity
    check: Callable[[Program], Iterator[Report]]
    page: str
    found: tuple[str, ...]
    clean: tuple[str, ...]
    confidence: Confidence = "high"
    causes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of the page."""
        return self.page.strip().splitlines()[0]
