"""Reviewdog's diagnostics (github.com/reviewdog/reviewdog, proto/rdf, rdjson), with suggested changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.report.check_edits import replacements
from dlcheck.report.check_parts import Spot, error_spot, spot

_SEVERITIES = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}


def render(result: CheckResult) -> str:
    """A DiagnosticResult."""
    diagnostics = [_diagnostic(finding, result.sources) for finding in result.findings]
    for error in result.errors:
        location = _location(error_spot(error, result.sources))
        diagnostics.append({"message": error.message, "location": location, "severity": "ERROR"})
    value = {"source": {"name": "dlcheck"}, "severity": "WARNING", "diagnostics": diagnostics}
    return json.dumps(value, indent=2) + "\n"


def _diagnostic(finding: Finding, sources: Mapping[str, bytes]) -> dict[str, Any]:
    shown = spot(finding.place, sources)
    text = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    cell = f"cell {shown.cell}, line {shown.line}: " if shown.cell else ""
    out: dict[str, Any] = {
        "message": f"{cell}{text}",
        "location": _location(shown),
        "severity": _SEVERITIES[finding.severity],
        "code": {"value": finding.rule},
    }
    related = [{"message": "see", "location": _location(spot(place, sources))} for place in finding.also]
    if related:
        out["related_locations"] = related
    suggestions = [
        {
            "range": {
                "start": {"line": change.first, "column": 1},
                "end": {"line": change.last + 1, "column": 1},
            },
            "text": change.text,
        }
        for change in ([] if shown.cell else replacements(finding, sources))
    ]
    if suggestions:
        out["suggestions"] = suggestions
    return out


def _location(shown: Spot) -> dict[str, Any]:
    place = shown.in_file
    return {
        "path": place.file,
        "range": {
            "start": {"line": place.line, "column": place.column},
            "end": {"line": place.end_line, "column": place.end_column},
        },
    }
