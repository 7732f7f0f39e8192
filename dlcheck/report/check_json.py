"""Findings as JSON: ``{"schema", "findings": [...], "errors": [...], "files", "hidden"}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dlcheck.lint.api import CheckResult, FileError
from dlcheck.lint.finding import Finding
from dlcheck.report.check_parts import error_spot, spot


def render(result: CheckResult) -> str:
    """The whole result."""
    value = {
        "schema": "dlcheck.check/1",
        "findings": [finding_json(finding, result.sources) for finding in result.findings],
        "errors": [error_json(error, result.sources) for error in result.errors],
        "files": result.files,
        "hidden": result.hidden,
    }
    return json.dumps(value, indent=2) + "\n"


def finding_json(finding: Finding, sources: Mapping[str, bytes]) -> dict[str, Any]:
    """One finding. Lines and columns count from 1, the end is exclusive; in a notebook lines count within the cell."""
    shown = spot(finding.place, sources)
    also = [spot(place, sources) for place in finding.also]
    return {
        "rule": finding.rule,
        "name": finding.name,
        "file": shown.file,
        "cell": shown.cell or None,
        "line": shown.line,
        "column": shown.column,
        "end_line": shown.end_line,
        "end_column": shown.end_column,
        "message": finding.message,
        "help": finding.help,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "fix": None if finding.fix is None else {"title": finding.fix.title, "safe": finding.fix.safe},
        "also": [{"file": s.file, "cell": s.cell or None, "line": s.line, "column": s.column} for s in also],
    }


def error_json(error: FileError, sources: Mapping[str, bytes]) -> dict[str, Any]:
    """A problem with a file."""
    shown = error_spot(error, sources)
    return {
        "file": shown.file,
        "cell": shown.cell or None,
        "line": shown.line,
        "column": shown.column,
        "message": error.message,
    }
