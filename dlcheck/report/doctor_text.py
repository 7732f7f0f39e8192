"""The doctor's remarks for a person at a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlcheck.doctor.model import Remark

SCHEMA = "dlcheck.doctor/1"

_PLAIN_WIDTH = 110
_STYLES = {"good": "green", "note": "bold yellow", "bad": "bold red", "unknown": "dim"}


def print_remarks(remarks: Sequence[Remark], file: TextIO) -> None:
    """Print to ``file``, in colour where that is a terminal."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)
    for remark in remarks:
        line = Text(f"{remark.status:<8}", _STYLES[remark.status])
        console.print(line.append(remark.topic, "bold").append(f"  {remark.found}", "default"))
        if remark.means:
            console.print(Padding(Text(remark.means, "dim"), (0, 0, 0, 8)))
        if remark.remedy and remark.status != "good":
            console.print(Padding(Text("-> ", "bold").append(remark.remedy, "default"), (0, 0, 0, 8)))
    bad, notes = (sum(remark.status == status for remark in remarks) for status in ("bad", "note"))
    console.print(Text(f"\n{bad} bad, {notes} to note, of {len(remarks)} things looked at.", "bold"))


def render_remarks(remarks: Sequence[Remark]) -> str:
    """The remarks as JSON, with a line break at its end."""
    return json.dumps({"schema": SCHEMA, "remarks": [asdict(remark) for remark in remarks]}, indent=2) + "\n"
