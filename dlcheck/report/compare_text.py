"""A comparison for a person at a terminal."""

from __future__ import annotations

import io
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlcheck.comparison.model import Change, Comparison, LoaderChange
from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.report.plain import write_plain

_PLAIN_WIDTH = 110
_MOST_CAUSES = 6
_MOST_FINDINGS = 10
_STYLES = {"better": "bold green", "worse": "bold red", "same": "dim", "unclear": "yellow"}


def print_comparison(comparison: Comparison, file: TextIO) -> None:
    """Print to ``file``, in colour where that is a terminal."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        _print(comparison, console)
        return
    text = io.StringIO()
    _print(comparison, Console(file=text, highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH))
    write_plain(text.getvalue(), file)


def _print(comparison: Comparison, console: Console) -> None:
    console.print(Text("A  ", "bold").append(", ".join(comparison.a), "default"))
    console.print(Text("B  ", "bold").append(", ".join(comparison.b), "default"))
    for loader in comparison.loaders:
        console.print()
        _print_loader(console, loader, comparison.margin)
    for name, only in (("A", comparison.only_a), ("B", comparison.only_b)):
        for loader_name in only:
            console.print(Text(f"\nOnly in {name}: loader {loader_name}"))
    if comparison.environment:
        console.print(Text("\nThe ground", "bold"))
        for value in comparison.environment:
            console.print(Text(f"  {value.name}: {value.a} -> {value.b}"))
    for title, findings in (("cured", comparison.cured), ("introduced", comparison.introduced)):
        if findings:
            console.print(Text(f"\nFindings {title}: {len(findings)}", "bold"))
        for finding in findings[:_MOST_FINDINGS]:
            where = f"  {finding['file']}:{finding['line']} "
            console.print(Text(where, "cyan").append(f"{finding['rule']} {finding['message']}", "default"))
    for note in comparison.notes:
        console.print(Text(f"note: {note}", "dim"))
    for regression in comparison.regressions:
        console.print(Text(f"regression: {regression}", "bold red"))


def _print_loader(console: Console, loader: LoaderChange, margin: float) -> None:
    here, there = (f"{at.file}:{at.line}" for at in (loader.at_a, loader.at_b))
    text = Text("Loader ", "bold").append(here, "bold cyan")
    if there != here:
        text.append(" -> ", "dim").append(there, "bold cyan")
    console.print(text.append("  " + " -> ".join(dict.fromkeys(loader.datasets)), "dim"))
    console.print(Text("  ").append(_headline(loader.speed, margin), _STYLES[loader.speed.word]))
    before, after = (", ".join(words) for words in loader.verdicts)
    console.print(Text(f"  verdict {before}" + (f" -> {after}" if after != before else ", as before")))
    if loader.settings:
        console.print(Text("  settings " + ", ".join(f"{v.name} {v.a} -> {v.b}" for v in loader.settings)))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for heading in ("A", "B", "change", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for change in (loader.speed, *loader.measures):
        table.add_row(change.name, *_row(change))
    for change in loader.causes[:_MOST_CAUSES]:
        table.add_row(f"waiting per batch: {change.name}", *_row(change))
    console.print(Padding(table, (0, 0, 0, 2)))
    for line in loader.lines:
        seconds = [("not seen" if s is None else duration(s * 1e9)) for s in (line.a, line.b)]
        where = f"  {line.file} {line.function} ({line.stage})"
        console.print(
            Text(where, "cyan").append(f"  {seconds[0]} -> {seconds[1]} of waiting per batch", "default")
        )


def _headline(speed: Change, margin: float) -> str:
    if speed.change is None or speed.low is None or speed.high is None:
        return "cannot be told apart: too few batches"
    size = f"{speed.change:.2f} times as fast ({speed.low:.2f} to {speed.high:.2f})"
    return {
        "better": f"better: {size}",
        "worse": f"worse: {size}",
        "same": f"no difference, within {share(margin)}: {size}",
        "unclear": f"cannot be told apart: {size}",
    }[speed.word]


def _row(change: Change) -> tuple[str | Text, ...]:
    values = [_value(value, change.unit) for value in (change.a, change.b)]
    if change.change is None or change.low is None or change.high is None:
        return (*values, "", "", Text("cannot be told apart", _STYLES["unclear"]))
    if change.is_ratio:
        found, bounds = f"{change.change:.2f}x", f"{change.low:.2f} to {change.high:.2f}"
    else:
        found = _signed(change.change, change.unit)
        bounds = f"{_signed(change.low, change.unit)} to {_signed(change.high, change.unit)}"
    word = {"same": "same", "unclear": "cannot be told apart"}.get(change.word, change.word)
    return (*values, found, bounds, Text(word, _STYLES[change.word]))


def _value(value: float, unit: str) -> str:
    if unit == "1/s":
        return f"{value:.4g}"
    if unit == "B":
        return amount(value)
    return duration(value * 1e9) if unit == "s" else share(value)


def _signed(value: float, unit: str) -> str:
    text = _value(abs(value), unit) if unit else f"{100 * abs(value):.0f} points"
    return ("-" if value < 0 else "+") + text
