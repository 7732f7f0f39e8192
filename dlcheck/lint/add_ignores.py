"""Put a comment at the line of each finding that suppresses it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dlcheck.facts.text import decode, encoding_of, split_lines
from dlcheck.lint.api import CheckResult
from dlcheck.lint.directives import find_directives, statement_lines
from dlcheck.lint.finding import Finding

_BOM = b"\xef\xbb\xbf"


def add_ignores(result: CheckResult, reason: str) -> tuple[dict[str, tuple[bytes, bytes]], int]:
    """The changed files' content before and after, and how many findings are suppressed. Findings about comments are left."""
    by_file: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if not finding.rule.startswith("DLC00"):
            by_file.setdefault(finding.place.file, []).append(finding)
    changes = {}
    count = 0
    for file, findings in by_file.items():
        before = result.sources[file]
        after = _with_comments(before, findings, " ".join(reason.split()))
        if after != before:
            changes[file] = (before, after)
            count += len(findings)
    return changes, count


def _with_comments(source: bytes, findings: Iterable[Finding], reason: str) -> bytes:
    wanted: dict[int, set[str]] = {}
    ends = statement_lines(source)
    for finding in findings:
        # The first line of the place where a comment fits; else the last of its statement, where one always does.
        line = finding.place.line
        wanted.setdefault(line if line in ends.free else ends.last.get(line, line), set()).add(finding.rule)
    present = {
        directive.line: directive.text
        for directive in find_directives(source)
        if directive.kind == "ignore" and directive.words and directive.covers(directive.line)
    }
    lines = split_lines(decode(source))
    for number, codes in wanted.items():
        lines[number - 1] = _commented(lines[number - 1], sorted(codes), present.get(number), reason)
    head = _BOM if source.startswith(_BOM) else b""
    return head + "".join(lines).encode("utf-8" if head else encoding_of(source))


def _commented(line: str, codes: list[str], present: str | None, reason: str) -> str:
    text = line.rstrip("\r\n")
    end = line[len(text) :]
    if present is not None:
        return line.replace(present, re.sub(r"\]", f", {', '.join(codes)}]", present, count=1), 1)
    comment = f"# dlcheck: ignore[{', '.join(codes)}] {reason}".rstrip()
    return f"{text.rstrip()}  {comment}{end}"
