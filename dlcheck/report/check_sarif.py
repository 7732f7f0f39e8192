"""SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), with what GitHub's code scanning asks for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dlcheck import __version__
from dlcheck.lint.api import CheckResult, FileError
from dlcheck.lint.finding import Finding
from dlcheck.lint.registry import find_rule
from dlcheck.report.check_edits import replacements
from dlcheck.report.check_parts import Spot, error_spot, fingerprints, spot

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_PRECISION = {"high": "high", "medium": "medium", "low": "low"}


def render(result: CheckResult) -> str:
    """One run. Files below the working directory are named from it (``%SRCROOT%``)."""
    codes = sorted({finding.rule for finding in result.findings})
    marks = fingerprints(result.findings, result.sources)
    run = {
        "tool": {
            "driver": {
                "name": "dlcheck",
                "semanticVersion": __version__,
                "rules": [_rule(code, result) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"uri": Path.cwd().as_uri().rstrip("/") + "/"}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [_notification(e, result.sources) for e in result.errors],
            }
        ],
        "results": [
            _result(finding, codes.index(finding.rule), mark, result.sources)
            for finding, mark in zip(result.findings, marks, strict=True)
        ],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str, result: CheckResult) -> dict[str, Any]:
    found = next(finding for finding in result.findings if finding.rule == code)
    rule = find_rule(code)
    if rule is None:
        return {"id": code, "name": found.name, "defaultConfiguration": {"level": _LEVELS[found.severity]}}
    from dlcheck.report.rule_page import rule_page

    page = rule_page(rule)
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": _plain(rule.summary)},
        "fullDescription": {"text": _plain(rule.summary)},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["pytorch", "data-loading"],
            "precision": _PRECISION[rule.confidence],
            "problem.severity": {"info": "recommendation"}.get(rule.severity, rule.severity),
        },
    }


def _result(finding: Finding, index: int, mark: str, sources: Mapping[str, bytes]) -> dict[str, Any]:
    shown = spot(finding.place, sources)
    text = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    cell = f"cell {shown.cell}, line {shown.line}: " if shown.cell else ""
    out: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{cell}{text}"},
        "locations": [{"physicalLocation": _location(shown)}],
        # The second is the name that GitHub's upload reads; without it, it would work out its own.
        "partialFingerprints": {"dlcheckFinding/v1": mark, "primaryLocationLineHash": mark},
        "properties": {"confidence": finding.confidence},
    }
    if finding.also:
        out["relatedLocations"] = [
            {"id": number, "physicalLocation": _location(spot(place, sources)), "message": {"text": "see"}}
            for number, place in enumerate(finding.also, 1)
        ]
    changes = [] if shown.cell else replacements(finding, sources)
    if changes and finding.fix is not None:
        replaced = [
            {
                "deletedRegion": {
                    "startLine": change.first, "startColumn": 1, "endLine": change.last + 1, "endColumn": 1,
                },
                "insertedContent": {"text": change.text},
            }
            for change in changes
        ]  # fmt: skip
        artifact = {"artifactLocation": _artifact(shown.file), "replacements": replaced}
        out["fixes"] = [{"description": {"text": finding.fix.title}, "artifactChanges": [artifact]}]
    return out


def _notification(error: FileError, sources: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": error.message},
        "locations": [{"physicalLocation": _location(error_spot(error, sources))}],
    }


def _location(shown: Spot) -> dict[str, Any]:
    place = shown.in_file
    region = {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    }
    return {"artifactLocation": _artifact(place.file), "region": region}


def _artifact(file: str) -> dict[str, str]:
    if os.path.isabs(file):  # noqa: PTH117
        return {"uri": Path(file).as_uri()}
    return {"uri": quote(file.replace(os.sep, "/"), errors="surrogatepass"), "uriBaseId": "%SRCROOT%"}


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")
