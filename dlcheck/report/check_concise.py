"""Findings in one line each."""

from __future__ import annotations

from collections.abc import Mapping

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.report.ansi import SEVERITY_STYLES, Paint
from dlcheck.report.check_parts import spot


def render(result: CheckResult, paint: Paint) -> str:
    """``file:line:column: CODE message``."""
    return "".join(f"{headline(finding, result.sources, paint)}\n" for finding in result.findings)


def headline(finding: Finding, sources: Mapping[str, bytes], paint: Paint) -> str:
    """The line of one finding."""
    shown = spot(finding.place, sources)
    place = shown.text.removeprefix(shown.file)
    code = paint(finding.rule, SEVERITY_STYLES[finding.severity])
    return f"{paint(shown.file, 'bold')}{paint(f'{place}:', 'dim')} {code}{_mark(finding)} {finding.message}"


def _mark(finding: Finding) -> str:
    """A star where ``--fix`` helps, as ruff has it."""
    return " [*]" if finding.fix is not None and finding.fix.safe else ""
