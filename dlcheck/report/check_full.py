"""Findings for a person at a terminal: place, code, message, the line with a mark under it, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.lint.lines import lines_of
from dlcheck.report.ansi import SEVERITY_STYLES, Paint
from dlcheck.report.check_concise import headline
from dlcheck.report.check_parts import spot


def render(result: CheckResult, paint: Paint) -> str:
    """Every finding with its line."""
    return "".join(
        f"{headline(finding, result.sources, paint)}\n{_excerpt(finding, result.sources, paint)}\n"
        for finding in result.findings
    )


def _excerpt(finding: Finding, sources: Mapping[str, bytes], paint: Paint) -> str:
    place, shown = finding.place, spot(finding.place, sources)
    lines = lines_of(place.file, sources)
    width = len(str(shown.line))
    bar = paint(f"{'':{width}} |", "blue")
    edge = paint(f"{'':{width}} =", "blue")
    out = [bar]
    if 0 < place.line <= len(lines):
        code = lines[place.line - 1].replace("\t", " ")
        end = place.end_column if place.end_line == place.line else len(code) + 1
        mark = "^" * max(1, min(end, len(code) + 1) - place.column)
        out.append(f"{paint(f'{shown.line} |', 'blue')} {code}".rstrip())
        out.append(f"{bar} {' ' * (place.column - 1)}{paint(mark, SEVERITY_STYLES[finding.severity])}")
    for other in finding.also:
        seen = spot(other, sources).text.rpartition(":")[0]
        out.append(f"{edge} {paint(f'see {seen}', 'dim')}")
    if finding.help:
        out.append(f"{edge} {paint('help:', 'bold')} {finding.help}")
    if finding.fix is not None:
        option = "--fix" if finding.fix.safe else "--fix --unsafe-fixes"
        out.append(f"{edge} {paint('fix:', 'bold')} {finding.fix.title} ({option})")
    return "".join(f"{line}\n" for line in out)
