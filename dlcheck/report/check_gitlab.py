"""A code quality report for GitLab (docs.gitlab.com, "Code Quality", report format)."""

from __future__ import annotations

import hashlib
import json

from dlcheck.lint.api import CheckResult
from dlcheck.report.check_parts import Spot, error_spot, fingerprints, spot

_SEVERITIES = {"error": "critical", "warning": "major", "info": "info"}


def render(result: CheckResult) -> str:
    """A list of issues."""
    marks = fingerprints(result.findings, result.sources)
    issues = [
        _issue(f.rule, _text(f.message, f.help), _SEVERITIES[f.severity], mark, spot(f.place, result.sources))
        for f, mark in zip(result.findings, marks, strict=True)
    ]
    for error in result.errors:
        mark = hashlib.sha256(f"{error.file}\0{error.message}".encode("utf-8", "surrogatepass")).hexdigest()
        issues.append(_issue("dlcheck", error.message, "blocker", mark, error_spot(error, result.sources)))
    return json.dumps(issues, indent=2) + "\n"


def _text(message: str, advice: str) -> str:
    return f"{message} ({advice})" if advice else message


def _issue(check: str, text: str, severity: str, mark: str, shown: Spot) -> dict[str, object]:
    place = shown.in_file
    cell = f"cell {shown.cell}, line {shown.line}: " if shown.cell else ""
    return {
        "type": "issue",
        "check_name": check,
        "description": f"{cell}{text}",
        "categories": ["Performance"],
        "severity": severity,
        "fingerprint": mark,
        "location": {"path": place.file, "lines": {"begin": place.line, "end": place.end_line}},
    }
