"""What a run with cached batches (``dlcheck run --replay``) has measured, for a person and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from dlcheck.diagnosis.units import duration
from dlcheck.report.ansi import Paint, wants_colour
from dlcheck.tuning.ceiling import Ceiling

SCHEMA = "dlcheck.replay/1"
_REACHED = 1.05


def ceiling_json(ceilings: Sequence[Ceiling]) -> str:
    """As JSON: schema dlcheck.replay/1. Times in seconds per batch; null: not known."""
    return (
        json.dumps({"schema": SCHEMA, "loaders": [_loader(ceiling) for ceiling in ceilings]}, indent=2) + "\n"
    )


def print_ceilings(ceilings: Sequence[Ceiling], file: TextIO) -> None:
    """Print what was measured to ``file``."""
    paint = Paint(wants_colour(file))
    file.write(
        f"{paint('dlcheck', 'bold')}  A replay: after some real batches the loop got cached ones, so that loading cost"
        " nothing.\n         What was trained is of no use: results and checkpoints of this run should be deleted.\n"
    )
    for ceiling in ceilings:
        where = paint(ceiling.target.shown(), "bold cyan")
        workers = f"{ceiling.workers or 'no'} worker{'' if ceiling.workers == 1 else 's'}"
        file.write(
            f"\n{paint('Loader', 'bold')} {where}  {ceiling.target.dataset.rpartition('.')[2]}, {workers}\n"
        )
        for line in _lines(ceiling):
            file.write(f"  {line}\n")
    if not ceilings:
        file.write("\nNo DataLoader was iterated in this run.\n")


def _lines(ceiling: Ceiling) -> list[str]:
    if ceiling.real_s is None or ceiling.replayed_s is None:
        return [
            f"too few batches to compare: {ceiling.real_batches} real ones, {ceiling.replayed_batches} cached ones"
        ]
    lines = [
        f"as it is             {duration(ceiling.real_s * 1e9)} a batch  ({ceiling.real_batches} batches)",
        f"with cached batches  {duration(ceiling.replayed_s * 1e9)} a batch  ({ceiling.replayed_batches} batches)",
    ]
    measured, predicted = ceiling.measured, ceiling.predicted
    if measured is not None:
        gain = f"{measured.value:.2f} times as fast ({measured.low:.2f} to {measured.high:.2f})"
        lines.append(f"ceiling, measured    {gain}")
    if predicted is not None:
        lines.append(
            f"ceiling, predicted   {predicted:.2f} times as fast, from the waits of the real batches"
        )
    if measured is not None and measured.value < _REACHED:
        lines.append("No loader, however fast, would make this loop faster: the step is the limit.")
    return lines


def _loader(ceiling: Ceiling) -> dict[str, Any]:
    measured, site = ceiling.measured, ceiling.target.site
    return {
        "created_at": {"file": site.file, "line": site.line, "function": site.function},
        "dataset": ceiling.target.dataset,
        "num_workers": ceiling.workers,
        "real_batches": ceiling.real_batches,
        "replayed_batches": ceiling.replayed_batches,
        "real_batch_s": ceiling.real_s,
        "replayed_batch_s": ceiling.replayed_s,
        "ceiling_predicted": ceiling.predicted,
        "ceiling_measured": measured
        and {"value": measured.value, "low": measured.low, "high": measured.high},
    }
