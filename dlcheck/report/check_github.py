"""Annotations of GitHub Actions (docs.github.com, "Workflow commands for GitHub Actions")."""

from __future__ import annotations

from dlcheck.lint.api import CheckResult
from dlcheck.report.check_parts import Spot, error_spot, spot

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(result: CheckResult) -> str:
    """One workflow command per line."""
    lines = []
    for finding in result.findings:
        message = f"{finding.message}\n{finding.help}" if finding.help else finding.message
        title = f"dlcheck {finding.rule} {finding.name}"
        lines.append(
            _command(_COMMANDS[finding.severity], spot(finding.place, result.sources), title, message)
        )
    for error in result.errors:
        lines.append(_command("error", error_spot(error, result.sources), "dlcheck", error.message))
    return "".join(f"{line}\n" for line in lines)


def _command(name: str, shown: Spot, title: str, message: str) -> str:
    place = shown.in_file
    properties = {"title": title, "file": place.file, "line": place.line, "endLine": place.end_line}
    if place.line == place.end_line:
        # GitHub shows no columns for a range of several lines, and rejects them.
        properties |= {"col": place.column, "endColumn": place.end_column}
    listed = ",".join(f"{key}={_escape(str(value), in_property=True)}" for key, value in properties.items())
    cell = f"cell {shown.cell}, line {shown.line}: " if shown.cell else ""
    return f"::{name} {listed}::{_escape(cell + message)}"


def _escape(text: str, in_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
