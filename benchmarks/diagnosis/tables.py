"""Results as lines and as Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.measure import Result

_WORDS = {True: "right", False: "WRONG", None: "-"}


def load(path: Path) -> list[Result]:
    """Results that were kept in a file."""
    lists = ("expected", "also", "predicted", "pairs", "others")
    values = json.loads(path.read_text(encoding="utf-8"))
    return [
        Result(**{k: tuple(v) if k in lists and v is not None else v for k, v in value.items()})
        for value in values
    ]


def line(result: Result) -> str:
    """One result, for a terminal."""
    rest = (result.others_right, result.also_right, result.harmless, result.exit_right)
    flaws = [
        name for name, value in zip(("others", "also", "advice", "exit"), rest, strict=True) if value is False
    ]
    text = f"{result.name:30} {result.verdict:20} {_WORDS[result.right]:6} {_WORDS[result.culprit_right]:6}"
    if result.predicted:
        text += " {:5.2f} ({:.2f}-{:.2f})".format(*result.predicted)
    if result.measured:
        text += f" measured {result.measured:.2f}"
    if result.off is not None:
        text += f" {result.off:+.0%}"
    if result.others:
        text += f"  [others {' '.join(f'{cores:.1f}' for cores in result.others)}]"
    return text + (f"  WRONG: {', '.join(flaws)}" if flaws else "")


def summary(results: Sequence[Result]) -> str:
    """The totals."""
    lines = [r.culprit_right for r in results if r.culprit_right is not None]
    offs = [abs(r.off) for r in results if r.off is not None]
    steady = [abs(r.off) for r in results if r.off is not None and r.steady]
    held = [r.holds for r in results if r.holds is not None]
    healthy = [r for r in results if r.expected[0] == "healthy"]
    blamed = [r for r in healthy if not r.right]
    advised = [r.harmless for r in results if r.harmless is not None]
    others = [r.others_right for r in results if r.others_right is not None]
    return (
        f"verdict right: {sum(r.right for r in results)} of {len(results)};"
        f" healthy and blamed: {len(blamed)} of {len(healthy)};"
        f" other loaders right: {sum(others)} of {len(others)};"
        f" culprit in the right function: {sum(lines)} of {len(lines)};"
        f" no useless advice: {sum(advised)} of {len(advised)};"
        f" prediction within 15 %: {sum(off <= 0.15 for off in offs)} of {len(offs)},"
        f" under a steady load {sum(off <= 0.15 for off in steady)} of {len(steady)};"
        f" measured within the interval: {sum(held)} of {len(held)}"
    )


def markdown(runs: Sequence[tuple[str, Sequence[Result]]]) -> str:
    """A row per pipeline with a column per run, the totals, and a confusion matrix of all."""
    names = list(dict.fromkeys(r.name for _, results in runs for r in results))
    by_name = [{r.name: r for r in results} for _, results in runs]
    rows = ["| pipeline | right | " + " | ".join(title for title, _ in runs) + " |"]
    rows.append("| --- " * (2 + len(runs)) + "|")
    for name in names:
        expected = next(found[name].expected for found in by_name if name in found)
        cells = [_cell(found.get(name)) for found in by_name]
        rows.append(f"| {name} | {' or '.join(expected)} | {' | '.join(cells)} |")
    totals = [f"{title}: {summary(results)}." for title, results in runs]
    return "\n".join([*rows, "", *totals, "", confusion([r for _, results in runs for r in results])])


def confusion(results: Sequence[Result]) -> str:
    """Right verdicts down, given ones across. Where several are right, the one that was given counts as it."""
    pairs: dict[tuple[str, str], int] = {}
    for result in results:
        truth = result.verdict if result.right else result.expected[0]
        pairs[truth, result.verdict] = pairs.get((truth, result.verdict), 0) + 1
    down = sorted({truth for truth, _ in pairs}, key=lambda name: (name != "healthy", name))
    across = down + sorted({given for _, given in pairs} - set(down))
    rows = ["| right \\ given | " + " | ".join(across) + " |", "| --- " * (1 + len(across)) + "|"]
    for truth in down:
        counts = [pairs.get((truth, given), 0) for given in across]
        cells = [
            f"**{n}**" if given == truth and n else str(n or "")
            for given, n in zip(across, counts, strict=True)
        ]
        rows.append(f"| {truth} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    text = result.verdict if result.right else f"**{result.verdict}**"
    if result.culprit_right is False:
        text += ", wrong line"
    if result.predicted and result.measured:
        text += f"; {result.predicted[0]:.2f}, measured {result.measured:.2f}"
    elif result.measured:
        text += f"; cured {result.measured:.2f}"
    return text
