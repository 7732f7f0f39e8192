"""The report that a reviewer wants in a pull request: what a change introduces and what it cures, worst first."""

from __future__ import annotations

from dlcheck.lint.compare import Comparison, worst_first
from dlcheck.lint.finding import Finding
from dlcheck.report.markdown import NO_RECORDING, Cost, Costs, entry, folded, title
from dlcheck.report.words import plural

_MOST_OPEN = 3
# GitHub takes 65 536 characters in a comment.
_MOST_CHARACTERS = 60_000


def render_review(comparison: Comparison, base: str, costs: Costs | None) -> str:
    """The report. ``costs``: what a recorded run measured, ``None`` where there is no recording."""

    def cost(finding: Finding) -> Cost:
        if costs is None:
            return NO_RECORDING
        return costs.get(finding, Cost(None, None, "the recording does not speak of this line"))

    def order(findings: tuple[Finding, ...]) -> list[Finding]:
        return list(worst_first(findings, lambda finding: cost(finding).seconds))

    introduced, cured = order(comparison.introduced), order(comparison.cured)
    now, before = comparison.now, comparison.before
    blocks = [f"## dlcheck: {_headline(comparison)}"]
    for finding in introduced[:_MOST_OPEN]:
        blocks += ["---", *entry(finding, now.sources, cost(finding))]
    for finding in introduced[_MOST_OPEN:]:
        head = title(finding, now.sources).replace("*", "").replace("`", "")
        blocks.append(folded(head, entry(finding, now.sources, cost(finding))))
    if cured:
        lines = [f"- {title(f, before.sources)}: {f.message}{_saved(cost(f))}" for f in cured]
        blocks.append(folded(f"Cured: {plural(len(cured), 'finding')}", ["\n".join(lines)]))
    old = len(now.findings) - len(introduced)
    asking = (
        ""
        if costs is not None
        else " A recording (`dlcheck run`, `--recording DIR`) tells what findings cost."
    )
    blocks.append(f"<sub>Compared with {base}. {_rest(old, len(now.errors))}{asking}</sub>")
    return _cut(blocks)


def _headline(comparison: Comparison) -> str:
    introduced, cured = len(comparison.introduced), len(comparison.cured)
    if not introduced and not cured:
        return "this change introduces nothing"
    return f"{plural(introduced, 'finding')} introduced, {cured} cured"


def _saved(cost: Cost) -> str:
    return f" ({cost.text})" if cost.seconds is not None else ""


def _rest(old: int, errors: int) -> str:
    text = f"{plural(old, 'finding')} from before {'are' if old != 1 else 'is'} not shown; `dlcheck check` lists them."
    if not old:
        text = "There is nothing else to find."
    return f"{text} {plural(errors, 'file')} could not be checked." if errors else text


def _cut(blocks: list[str]) -> str:
    """As many blocks as a comment can hold, the last one always."""
    *body, end = blocks
    size = len(end)
    kept: list[str] = []
    for block in body:
        size += len(block) + 2
        if size > _MOST_CHARACTERS:
            kept.append(f"{len(body) - len(kept)} more parts do not fit here; `dlcheck review` shows them.")
            break
        kept.append(block)
    return "\n\n".join([*kept, end]) + "\n"
