"""What the server says about a checked document: diagnostics, pages, code actions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lsprotocol import types

from dlcheck.facts.text import decode
from dlcheck.lint.add_ignores import add_ignores
from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.lint.registry import find_rule
from dlcheck.report.check_edits import Replacement, differences, replacements
from dlcheck.report.rule_page import rule_page
from dlcheck.server.documents import Document

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "info": types.DiagnosticSeverity.Information,
}
_CODE = re.compile(r"\b[A-Z]{2,}\d{3}\b")


@dataclass(frozen=True, slots=True)
class Checked:
    """A document as it was when it was checked, and what was found."""

    document: Document
    result: CheckResult

    def findings_at(self, uri: str, range: types.Range) -> list[Finding]:
        """The findings that overlap a range of one of the document's texts."""
        first, last = (self.document.line_of(uri, position) for position in (range.start, range.end))
        if first is None or last is None:
            return []
        return [f for f in self.result.findings if f.place.line <= last and first <= f.place.end_line]


def diagnostics(checked: Checked) -> dict[str, list[types.Diagnostic]]:
    """The diagnostics by the text that they belong to; a text without any has an empty list."""
    out: dict[str, list[types.Diagnostic]] = {part.uri: [] for part in checked.document.parts}
    for finding in checked.result.findings:
        part, place = checked.document.range_of(finding.place)
        out[part.uri].append(_diagnostic(finding, place, checked.document))
    for error in checked.result.errors:
        if Path(error.file) == checked.document.path:
            part = checked.document.part_at(error.line)
            at = types.Position(max(0, error.line - part.before - 1), error.column - 1)
            severity = types.DiagnosticSeverity.Error
            out[part.uri].append(
                types.Diagnostic(types.Range(at, at), error.message, severity, source="dlcheck")
            )
    return out


def _diagnostic(finding: Finding, place: types.Range, document: Document) -> types.Diagnostic:
    message = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    related = [
        types.DiagnosticRelatedInformation(_location(other.file, other.line, document), "see")
        for other in finding.also
    ]
    unused = finding.rule == "DLC001"
    return types.Diagnostic(
        place,
        message,
        _SEVERITIES[finding.severity],
        finding.rule,
        source="dlcheck",
        related_information=related,
        tags=[types.DiagnosticTag.Unnecessary] if unused else None,
    )


def _location(file: str, line: int, document: Document) -> types.Location:
    at = types.Position(line - 1, 0)
    if Path(file) == document.path:
        part = document.part_at(line)
        at = types.Position(line - part.before - 1, 0)
        return types.Location(part.uri, types.Range(at, at))
    return types.Location(Path(file).as_uri(), types.Range(at, at))


def page_at(checked: Checked, uri: str, position: types.Position) -> str | None:
    """The pages of the rules that found something at a position, or whose code stands there."""
    document = checked.document
    line = document.line_of(uri, position)
    part = document.part_of(uri)
    if line is None or part is None or position.line >= len(part.lines):
        return None
    at = document.codec.position_from_client_units(part.lines, position).character + 1
    codes = [
        match.group()
        for match in _CODE.finditer(part.lines[position.line])
        if match.start() < at <= match.end() + 1
    ]
    for finding in checked.result.findings:
        place = finding.place
        if (place.line, place.column) <= (line, at) and (line, at) <= (place.end_line, place.end_column):
            codes.append(finding.rule)
    rules = [rule for rule in map(find_rule, dict.fromkeys(codes)) if rule is not None]
    return "\n\n---\n\n".join(rule_page(rule) for rule in rules) or None


def quick_fixes(checked: Checked, uri: str, range: types.Range) -> list[types.CodeAction]:
    """The fixes of the findings in a range, and the comments that would suppress them."""
    actions = []
    for finding in checked.findings_at(uri, range):
        _, place = checked.document.range_of(finding.place)
        diagnostic = _diagnostic(finding, place, checked.document)
        changes = replacements(finding, checked.result.sources)
        if changes and finding.fix is not None:
            note = "" if finding.fix.safe else " (may change what the program computes)"
            title = f"{finding.rule}: {finding.fix.title}{note}"
            actions.append(_action(title, changes, checked.document, diagnostic, preferred=finding.fix.safe))
        suppressed, _ = add_ignores(replace(checked.result, findings=(finding,)), "")
        for before, after in suppressed.values():
            changes = differences(decode(before), decode(after))
            actions.append(
                _action(f"{finding.rule}: Suppress it here", changes, checked.document, diagnostic)
            )
    return actions


def fix_all(document: Document, after: bytes) -> list[types.CodeAction]:
    """One action that makes the source what it is after all safe fixes."""
    changes = differences(decode(document.source), decode(after))
    if not changes:
        return []
    kind = types.CodeActionKind.SourceFixAll
    return [types.CodeAction("Fix all that dlcheck can fix safely", kind, edit=_edit(changes, document))]


def _action(
    title: str,
    changes: Iterable[Replacement],
    document: Document,
    diagnostic: types.Diagnostic,
    preferred: bool = False,
) -> types.CodeAction:
    return types.CodeAction(
        title,
        types.CodeActionKind.QuickFix,
        [diagnostic],
        is_preferred=preferred,
        edit=_edit(changes, document),
    )


def _edit(changes: Iterable[Replacement], document: Document) -> types.WorkspaceEdit:
    by_uri: dict[
        tuple[str, int | None], list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]
    ] = {}
    for change in changes:
        part, edit = document.edit(change)
        by_uri.setdefault((part.uri, part.version), []).append(edit)
    return types.WorkspaceEdit(
        document_changes=[
            types.TextDocumentEdit(types.OptionalVersionedTextDocumentIdentifier(uri, version), edits)
            for (uri, version), edits in by_uri.items()
        ]
    )
