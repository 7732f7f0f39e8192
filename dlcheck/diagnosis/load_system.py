"""What the operating system said of the processes and of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.load_files import read_lines
from dlcheck.diagnosis.timeline import MachineSample, ProcessSample

# Recordings of earlier versions have less.
_PROCESS_FIELDS = (16, 20)
_MACHINE_FIELDS = (7, 8)
_Kinds = frozenset[type]
_KNOWN: _Kinds = frozenset((int,))
_KNOWN_ANY: _Kinds = frozenset((int, float))
_WHOLE: _Kinds = frozenset((int, type(None)))
_ANY: _Kinds = frozenset((int, float, type(None)))
_WORD: _Kinds = frozenset((str,))
# What kind of value each field holds, in the order of ProcessSample and of MachineSample.
_PROCESS = (_KNOWN, _KNOWN, _KNOWN_ANY, _KNOWN, *[_WHOLE] * 11, _WORD, _ANY, _ANY, _WORD, _WORD)
_MACHINE = (_KNOWN, _KNOWN_ANY, *[_WHOLE] * 3, _ANY, _WHOLE, _ANY)
_THREADS = 9
_MOST_THREADS = 1 << 31


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
    kinds = _PROCESS if fields == _PROCESS_FIELDS else _MACHINE
    read = list(read_lines(path, notes))
    rows = [row for row in read if isinstance(row, list) and len(row) in fields and _is_sample(row, kinds)]
    if len(rows) < len(read):
        notes.append(f"{path.name}: {len(read) - len(rows)} samples are not as they should be: left out")
    return sorted(rows, key=lambda row: row[0])


def _is_sample(row: list[Any], kinds: Sequence[_Kinds]) -> bool:
    """Whether each field holds what it should. Earlier versions have fewer."""
    if not all(type(value) in kind for value, kind in zip(row, kinds, strict=False)):
        return False
    threads = row[_THREADS] if kinds is _PROCESS else None
    return (threads or 0) < _MOST_THREADS and not any(
        value < 0 for value in row if value.__class__ is not str and value is not None
    )
