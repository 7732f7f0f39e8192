"""Findings for a person at a terminal: place, code, message, the line with a mark under it, and what to write instead."""

from __future__ import annotations

import sys
from collections import Counter

from rich.console import Console
from rich.text import Text

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.report.check_json import shown_path

_COLOURS = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}


def print_text(result: CheckResult, *, concise: bool) -> None:
    """Print findings to stdout and problems with files to stderr."""
    for error in result.errors:
        print(f"{shown_path(error.file)}:{error.line}:{error.column}: {error.message}", file=sys.stderr)
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    for finding in result.findings:
        console.print(_headline(finding))
        if not concise:
            source = result.sources.get(finding.place.file, b"")
            console.print(_excerpt(finding, source))
    console.print(_summary(result))


def _headline(finding: Finding) -> Text:
    place = finding.place
    line = Text()
    line.append(shown_path(place.file), "bold")
    line.append(f":{place.line}:{place.column}: ", "dim")
    line.append(finding.rule, _COLOURS[finding.severity])
    line.append(f" {finding.message}")
    return line


def _excerpt(finding: Finding, source: bytes) -> Text:
    lines = source.decode("utf-8", "replace").split("\n")
    place = finding.place
    width = len(str(place.line))
    text = Text(f"{'':{width}} |\n", "blue")
    if 0 < place.line <= len(lines):
        code = lines[place.line - 1].rstrip("\r").replace("\t", " ")
        end = place.end_column if place.end_line == place.line else len(code) + 1
        text.append(f"{place.line} | ", "blue")
        text.append(f"{code}\n")
        text.append(f"{'':{width}} | ", "blue")
        text.append(
            " " * (place.column - 1) + "^" * max(1, end - place.column) + "\n", _COLOURS[finding.severity]
        )
    for other in finding.also:
        text.append(f"{'':{width}} = ", "blue")
        text.append(f"see {shown_path(other.file)}:{other.line}\n", "dim")
    if finding.help:
        text.append(f"{'':{width}} = ", "blue")
        text.append("help: ", "bold")
        text.append(f"{finding.help}\n")
    return text


def _summary(result: CheckResult) -> Text:
    if not result.findings:
        checked = f"No findings in {result.files} file{'s' * (result.files != 1)}."
        return Text(checked if not result.errors else f"{checked} {len(result.errors)} could not be checked.")
    count = Counter[str](finding.severity for finding in result.findings)
    kinds = ", ".join(f"{count[s]} {s}{'s' * (count[s] != 1 and s != 'info')}" for s in _COLOURS if count[s])
    total = len(result.findings)
    fixes = [finding.fix for finding in result.findings if finding.fix is not None]
    safe = sum(fix.safe for fix in fixes)
    hints = [f"{safe} can be fixed with --fix"] * bool(safe)
    hints += [f"{len(fixes) - safe} more with --unsafe-fixes"] * (len(fixes) > safe)
    hints.append("'dlcheck explain CODE' tells more")
    return Text(f"Found {total} finding{'s' * (total != 1)} ({kinds}). {', '.join(hints)}.")
