"""Findings as JSON: ``{"schema", "findings": [...], "errors": [...], "files"}``."""

from __future__ import annotations

import json
import os
from typing import Any

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding as a JSON object; lines and columns count from 1, the end is exclusive."""
    place = finding.place
    return {
        "rule": finding.rule,
        "name": finding.name,
        "file": shown_path(place.file),
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
        "message": finding.message,
        "help": finding.help,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "fix": None if finding.fix is None else {"title": finding.fix.title, "safe": finding.fix.safe},
        "also": [{"file": shown_path(p.file), "line": p.line, "column": p.column} for p in finding.also],
    }


def render_json(result: CheckResult) -> str:
    """The whole result, with a line break at its end."""
    errors = [
        {"file": shown_path(e.file), "line": e.line, "column": e.column, "message": e.message}
        for e in result.errors
    ]
    value = {
        "schema": "dlcheck.check/1",
        "findings": [finding_json(f) for f in result.findings],
        "errors": errors,
        "files": result.files,
    }
    return json.dumps(value, indent=2) + "\n"


def shown_path(file: str) -> str:
    """A path relative to the working directory where it lies below it, else as it is."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
