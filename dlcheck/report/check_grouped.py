"""Findings in one line each, below the name of their file."""

from __future__ import annotations

from itertools import groupby

from dlcheck.lint.api import CheckResult
from dlcheck.report.ansi import SEVERITY_STYLES, Paint
from dlcheck.report.check_parts import shown_path, spot


def render(result: CheckResult, paint: Paint) -> str:
    """Every file with its findings."""
    out = []
    for file, findings in groupby(result.findings, key=lambda finding: finding.place.file):
        rows = [
            (spot(f.place, result.sources).text.removeprefix(f"{shown_path(file)}:"), f) for f in findings
        ]
        width = max(len(place) for place, _ in rows)
        out.append(f"{paint(shown_path(file), 'bold')}:\n")
        for place, finding in rows:
            code = paint(finding.rule, SEVERITY_STYLES[finding.severity])
            out.append(f"  {paint(f'{place:<{width}}', 'dim')} {code} {finding.message}\n")
        out.append("\n")
    return "".join(out)
