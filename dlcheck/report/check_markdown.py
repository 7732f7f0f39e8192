"""Findings as Markdown, worst first: at most a page, the rest folded."""

from __future__ import annotations

from dlcheck.lint.api import CheckResult
from dlcheck.lint.compare import worst_first
from dlcheck.report.check_parts import error_spot
from dlcheck.report.markdown import NO_RECORDING, code, entry, folded, title
from dlcheck.report.words import plural

_MOST_OPEN = 3
_MOST_FOLDED = 50


def render(result: CheckResult) -> str:
    """A report."""
    findings = list(worst_first(result.findings, lambda finding: None))
    blocks = [f"## dlcheck: {plural(len(findings), 'finding')} in {plural(result.files, 'file')}"]
    for finding in findings[:_MOST_OPEN]:
        blocks += ["---", *entry(finding, result.sources, NO_RECORDING)]
    for finding in findings[_MOST_OPEN:_MOST_FOLDED]:
        head = title(finding, result.sources).replace("*", "").replace("`", "")
        blocks.append(folded(head, entry(finding, result.sources, NO_RECORDING)))
    if len(findings) > _MOST_FOLDED:
        lines = "\n".join(f"- {title(finding, result.sources)}" for finding in findings[_MOST_FOLDED:])
        blocks.append(folded(f"{len(findings) - _MOST_FOLDED} more", [lines]))
    if result.errors:
        lines = "\n".join(f"- {code(error_spot(e, result.sources).text)} {e.message}" for e in result.errors)
        blocks.append(folded(f"{plural(len(result.errors), 'file')} could not be checked", [lines]))
    return "\n\n".join(blocks) + "\n"
