"""What ``dlcheck tune`` has found, for a person at a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlcheck.diagnosis.units import duration, share
from dlcheck.tuning.edit import in_words
from dlcheck.tuning.tune import Tried, Tuning

_PLAIN_WIDTH = 110
_SETTINGS = ("num_workers", "prefetch_factor", "in_order", "persistent_workers", "pin_memory")
_GOOD, _NEUTRAL = "bold green", "bold"
_CAUTIONS = {
    "in_order": "in_order=False: batches come in another order in each run (--keep-order leaves that alone).",
    "num_workers": "num_workers: random numbers that workers draw differ with their number.",
}


def print_tuning(tuning: Tuning, diff: str, written: bool, file: TextIO) -> None:
    """Print the result to ``file``. ``diff``: of the edit to make; ``written``: it was made."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        _print(tuning, diff, written, console)
        return
    text = io.StringIO()
    _print(tuning, diff, written, Console(file=text, highlight=False, markup=False, width=_PLAIN_WIDTH))
    for line in text.getvalue().splitlines():
        file.write(line.rstrip() + "\n")


def _print(tuning: Tuning, diff: str, written: bool, console: Console) -> None:
    console.print(_title(tuning))
    settings = ", ".join(f"{name}={tuning.settings.get(name)}" for name in _SETTINGS)
    where = Text("\nLoader ", "bold").append(tuning.target.shown(), "bold cyan")
    console.print(where.append(f"  {tuning.target.dataset.rpartition('.')[2]}", "dim"))
    first = f"{tuning.batches} batches in {duration(tuning.loop_s * 1e9)}, waiting {share(tuning.wait_share)} of it"
    console.print(Padding(Text(f"now {settings}\nfirst run: {first}", "dim"), (0, 0, 0, 2)))
    if tuning.tried:
        console.print(Padding(_table(tuning), (1, 0, 0, 2)))
    for line in _ran(tuning):
        console.print(Padding(Text(line, "dim"), (0, 0, 0, 2)))
    winner = tuning.winner
    if winner is not None:
        place = Text("\nMade: " if written else "\nEdit to make: ", "bold").append(
            tuning.target.shown(), "bold cyan"
        )
        console.print(place.append(f"  {in_words(winner.choice.change)}", _GOOD))
        if tuning.plan is not None and tuning.plan.fix is None:
            console.print(Text(f"It has to be made by hand: {tuning.plan.why_not}."))
        console.print(Text(diff.rstrip("\n"), "dim"), end="\n" if diff else "")
        cautions = [text for name, text in _CAUTIONS.items() if name in winner.choice.change]
        for text in cautions + _beside(tuning):
            console.print(Text(text, "dim"))
    for why in tuning.why:
        console.print(Text(f"note: {why}", "dim"))


def _title(tuning: Tuning) -> Text:
    text = Text("dlcheck tune  ", "bold")
    winner = tuning.winner
    if winner is not None and winner.ratio is not None:
        text.append(
            f"{in_words(winner.choice.change)} makes the loop {_measured(winner)} times as fast.", _GOOD
        )
    elif tuning.outcome is None or tuning.outcome.word == "none":
        text.append("No other setting makes this loop faster: leave it as it is.", _NEUTRAL)
    else:
        text.append(
            "It is not clear yet whether another setting is faster: leave it, or give more --budget.",
            _NEUTRAL,
        )
    return text


def _table(tuning: Tuning) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("setting", "predicted", "measured, 95 %", "a batch", "runs", ""):
        table.add_column(heading, justify="left" if heading in ("setting", "") else "right")
    for number, tried in enumerate(tuning.tried):
        best = tuning.outcome is not None and tuning.outcome.winner == number
        prediction = tried.choice.prediction
        predicted = (
            ""
            if prediction is None
            else f"{prediction.speedup:.2f} ({prediction.low:.2f} to {prediction.high:.2f})"
        )
        mean = sum(tried.batch_s) / len(tried.batch_s) if tried.batch_s else None
        table.add_row(
            Text(in_words(tried.choice.change) or "as it is", _GOOD if best else ""),
            "1" if number == 0 else predicted or "not predicted",
            "1" if number == 0 else _measured(tried),
            "" if mean is None else duration(mean * 1e9),
            str(len(tried.batch_s)),
            Text(tried.out, "dim"),
        )
    return table


def _measured(tried: Tried) -> str:
    if tried.ratio is None:
        return "not measured"
    if tried.ratio.interval is None:
        return f"{tried.ratio.value:.2f}"
    low, high = tried.ratio.interval
    return f"{tried.ratio.value:.2f} ({low:.2f} to {high:.2f})"


def _ran(tuning: Tuning) -> Iterator[str]:
    found = tuning.search
    if found.refusal:
        yield f"Nothing could be predicted: {found.refusal}."
    else:
        gain = "" if found.best else "; none of them promises a gain of 5 %"
        yield f"Replayed {found.replayed} settings in simulation{gain}."
    if found.crowded:
        yield f"More workers, or more batches held ready, were left out: no room for them ({', '.join(found.crowded)})."
    if tuning.tried:
        first, last = tuning.window
        yield (
            f"The program was started {tuning.runs} times, and ended after {last} batches (of which {first} were not"
            f" timed), the first time by --seconds; {duration(tuning.spent_s * 1e9)} in all."
        )
    else:
        yield f"The program was started once; {duration(tuning.spent_s * 1e9)} in all."


def _beside(tuning: Tuning) -> list[str]:
    if not tuning.also:
        return []
    names = ", ".join(name.rpartition(".")[2] for name in tuning.also)
    return [f"Loaders over {names} are made at the same place, and change too."]
