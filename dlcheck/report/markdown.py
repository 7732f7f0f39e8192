"""Findings as Markdown for a review: the line, why it matters, what it costs, and the edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dlcheck.lint.finding import Finding
from dlcheck.lint.lines import dedented, lines_of
from dlcheck.lint.registry import find_rule
from dlcheck.report.check_edits import Replacement, replacements
from dlcheck.report.check_parts import spot

_MOST_LINES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What a finding was measured to cost, in seconds of waiting and as a share of the loop; or ``None``, and why."""

    seconds: float | None
    share: float | None
    why: str

    @property
    def text(self) -> str:
        """One sentence."""
        if self.seconds is None:
            return f"not known: {self.why}"
        share = f", {self.share:.0%} of the loop" if self.share is not None else ""
        return f"{self.seconds:.2g} s of waiting{share} in the recorded run ({self.why})"


Costs = Mapping[Finding, Cost]
NO_RECORDING = Cost(None, None, "there is no recording of a run")


def entry(finding: Finding, sources: Mapping[str, bytes], cost: Cost) -> list[str]:
    """All that is to be said of one finding, as blocks."""
    blocks = [
        f"{title(finding, sources)}",
        fenced(_lines_at(finding, sources), "python"),
        sentence(finding.message),
    ]
    why = two_sentences(finding.rule)
    if why:
        blocks.append(f"**Why:** {why}")
    if not finding.rule.startswith("DLC0"):
        blocks.append(f"**Cost:** {cost.text}.")
    return [*blocks, *_edit(finding, sources)]


def title(finding: Finding, sources: Mapping[str, bytes]) -> str:
    """Place, rule and severity, in bold."""
    shown = spot(finding.place, sources)
    place = shown.text.rpartition(":")[0]
    return f"**{code(place)} {finding.rule} {finding.name}** ({finding.severity})"


def two_sentences(rule: str) -> str:
    """The first two sentences of a rule's page after its summary."""
    found = find_rule(rule)
    if found is None:
        return ""
    _, _, rest = found.page.strip().partition("\n\n")
    paragraph = " ".join(rest.partition("\n\n")[0].split())
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`*])", paragraph)
    return " ".join(sentences[:2]) if paragraph and not paragraph.startswith("**") else ""


def fenced(text: str, language: str = "") -> str:
    """A block of code, in a fence that nothing in it can end."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def code(text: str) -> str:
    """Text as code within a line."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{marks}{space}{text}{space}{marks}"


def folded(summary: str, blocks: Iterable[str]) -> str:
    """Blocks behind a line that opens them."""
    inside = "\n\n".join(blocks)
    escaped = summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<details>\n<summary>{escaped}</summary>\n\n{inside}\n\n</details>"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + "." * (not text.endswith((".", "?", "!")))


def _lines_at(finding: Finding, sources: Mapping[str, bytes]) -> str:
    lines = lines_of(finding.place.file, sources)
    first, last = finding.place.line, min(finding.place.end_line, finding.place.line + _MOST_LINES_SHOWN - 1)
    text = lines[first - 1 : last]
    if last < finding.place.end_line:
        text.append("...")
    return dedented(text)


def _edit(finding: Finding, sources: Mapping[str, bytes]) -> list[str]:
    changes = replacements(finding, sources)
    if not changes or finding.fix is None:
        return [f"**Edit:** {sentence(finding.help)}"] if finding.help else []
    how = "`dlcheck check --fix`"
    if not finding.fix.safe:
        how = (
            "`dlcheck check --fix --unsafe-fixes`; look at it first: it may change what the program computes"
        )
    blocks = [f"**Edit:** {sentence(finding.fix.title)[:-1]} ({how})."]
    lines = lines_of(finding.place.file, sources)
    for change in changes:
        blocks.append(_suggestion(change, lines, finding, sources))
    return blocks


def _suggestion(change: Replacement, lines: list[str], finding: Finding, sources: Mapping[str, bytes]) -> str:
    """The lines as they are to be. Where lines are put in, the line that they stand before is named with them."""
    first, last, text = change.first, change.last, change.text
    if last < first:
        neighbour = lines[first - 1] if first <= len(lines) else ""
        text, last = f"{text}{neighbour}", first
    where = f"line {_number(first, finding, sources)}"
    if last > first:
        where = f"lines {_number(first, finding, sources)} to {_number(last, finding, sources)}"
    if not text:
        return f"Without {where}:\n\n{fenced('', 'suggestion')}"
    return f"In place of {where}:\n\n{fenced(text.rstrip(), 'suggestion')}"


def _number(line: int, finding: Finding, sources: Mapping[str, bytes]) -> int:
    from dataclasses import replace

    return spot(replace(finding.place, line=line, end_line=line), sources).line
