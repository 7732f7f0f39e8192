"""What the operating system said of the processes and of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlcheck.diagnosis.load_files import read_lines
from dlcheck.diagnosis.timeline import MachineSample, ProcessSample

# Recordings of earlier versions have less.
_PROCESS_FIELDS = (16, 20)
_MACHINE_FIELDS = (7, 8)
# Fields of a process that are words: the state, the wait channel and the affinity.
_WORDS = (15, 18, 19)


def load_processes(recording: Path, notes: list[str]) -> tuple[ProcessSample, ...]:
    """The samples of all processes, in order of time."""
    rows = _rows(recording / "samples" / "processes.jsonl", _PROCESS_FIELDS, notes)
    return tuple(ProcessSample(*row) for row in rows)


def load_machine(recording: Path, notes: list[str]) -> tuple[MachineSample, ...]:
    """The samples of the host and the control group, in order of time."""
    rows = _rows(recording / "samples" / "machine.jsonl", _MACHINE_FIELDS, notes)
    return tuple(MachineSample(*row) for row in rows if row[2] is not None)


def _rows(path: Path, fields: tuple[int, ...], notes: list[str]) -> list[list[Any]]:
    if not path.exists():
        notes.append(f"{path.name} is missing: counters are not known")
        return []
    rows = [row for row in read_lines(path, notes) if isinstance(row, list) and len(row) in fields]
    return sorted((row for row in rows if _is_sample(row)), key=lambda row: row[0])


def _is_sample(row: list[Any]) -> bool:
    """Whether a row has its time, and holds numbers in all fields but those that are words."""
    is_process = len(row) in _PROCESS_FIELDS
    numbers = [value for at, value in enumerate(row) if not (is_process and at in _WORDS)]
    known = 4 if is_process else 2
    return (
        isinstance(row[0], int)
        and None not in row[:known]
        and all(value is None or isinstance(value, (int, float)) for value in numbers)
    )
