"""Reads the files of a recording as they are, damaged ones included. The format is that of
``dlcheck.probe.recording``.

Nothing that a recording holds is executed, and no file is read beyond a limit: a recording may come from
anywhere (``dlcheck.diagnosis.guard``).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dlcheck.diagnosis import guard
from dlcheck.diagnosis.shapes import LINES, MANIFEST, NEEDED
from dlcheck.probe import recording as k
from dlcheck.probe.recording import (
    ASK,
    BEGIN,
    GOT,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_OFFSET,
    MAGIC,
    MAX_PAGES,
    PAGE_BYTES,
    PAIR,
    PROGRESS_OFFSET,
    RECORD,
    SAMPLE_OFFSET,
    STUCK_OFFSET,
    VERSION,
)

_MOST_TEXT_BYTES = 256_000_000
_MOST_MANIFEST_BYTES = 4_000_000
_MOST_FILES = 200_000
_MOST_STEM = 40
_MOST_EVENT_BYTES = 16_000_000_000
_FEW = 1 << 20
"""Of anything: so many are possible, and no more workers."""
_PACKED = frozenset((k.ASK, k.GOT, k.PICKLED, k.DATASET_READY))
"""Events whose ``b`` is a cost, see ``pack_cost``: any number is one."""
_SINCE = frozenset((k.INDEX, k.GOT, k.STOP, k.ERROR, k.FETCH, k.PICKLED, k.SENT))
"""Events whose ``a`` is an earlier time, or 0."""
_AMOUNTS = frozenset((k.COLLATE, k.COLLATED, k.PUT, k.SAMPLE))
"""Events whose ``a`` and ``b`` are amounts, or UNKNOWN."""
_SMALL = frozenset((k.INDEX, k.RECEIVED, k.SENT))
"""Events whose ``b`` is an amount, or a time."""


class Event(NamedTuple):
    """One record of an event file."""

    kind: int
    serial: int
    idx: int
    t: int
    a: int
    b: int


@dataclass
class ProcessLog:
    """What one process recorded: its events in order of time, and its lines."""

    pid: int
    opened: int
    events: list[Event] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    current_sample: tuple[int, int] | None = None
    asked_got: tuple[int, int] = (0, 0)
    histogram: tuple[int, ...] = ()
    stem: str = ""

    def said(self, kind: str) -> Iterator[dict[str, Any]]:
        """The lines of one kind."""
        return (line for line in self.lines if line["kind"] == kind)


def read_manifest(recording: Path, notes: list[str]) -> dict[str, Any]:
    """The manifest, or an empty one with a note.

    Raises ValueError for a format that this version cannot read.
    """
    try:
        manifest = guard.read_json(recording / "recording.json", _MOST_MANIFEST_BYTES)
    except (OSError, ValueError) as error:
        notes.append(f"recording.json cannot be read ({_why(error)}): command and environment are not known")
        return {}
    if not isinstance(manifest, dict):
        notes.append("recording.json does not hold an object: command and environment are not known")
        return {}
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{recording}: format {manifest.get('version')!r}; this dlcheck reads format {VERSION}"
        )
    gone = guard.prune(manifest, MANIFEST)
    if gone:
        notes.append(f"recording.json is damaged: left out are {', '.join(gone)}")
    return manifest


def read_lines(path: Path, notes: list[str]) -> Iterator[Any]:
    """The values of a file of JSON lines;

    a line that is cut or damaged is left out, and counted in a note.
    """
    damaged = 0
    try:
        data = guard.read(path, _MOST_TEXT_BYTES)
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {_why(error)}")
        return
    if len(data) == _MOST_TEXT_BYTES:
        notes.append(f"{path.name} is larger than {_MOST_TEXT_BYTES} bytes: the rest is left out")
    for value in guard.parse_lines(data):
        if value is guard.DAMAGED:
            damaged += 1
        else:
            yield value
    if damaged:
        notes.append(f"{path.name}: {damaged} damaged lines left out")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def read_processes(recording: Path, notes: list[str]) -> list[ProcessLog]:
    """The logs of all processes of a recording, in the order in which they were opened."""
    logs = read_words(recording, notes)
    for log in logs:
        read_events(recording, log, notes)
    return logs


def read_words(recording: Path, notes: list[str]) -> list[ProcessLog]:
    """The same without their events: only what they said in words, which is little."""
    logs: dict[str, ProcessLog] = {}
    paths = sorted((recording / "events").glob("*"))
    if len(paths) > _MOST_FILES:
        notes.append(f"{len(paths)} event files; only {_MOST_FILES} are read")
    size = 0
    for path in paths[:_MOST_FILES]:
        pid, _, opened = path.stem.partition("-")
        if path.suffix not in (".bin", ".jsonl") or not pid.isdecimal() or len(path.stem) > _MOST_STEM:
            continue
        number = int(opened) if opened.isdecimal() else 0
        log = logs.setdefault(path.stem, ProcessLog(int(pid), number, stem=path.stem))
        if path.suffix == ".jsonl":
            log.lines += _read_words(path, notes)
        else:
            size += min(path.lstat().st_size, MAX_PAGES * PAGE_BYTES)
            if size > _MOST_EVENT_BYTES:
                notes.append(f"{path.name} and later files are left out: the recording is too large")
                break
    return sorted(logs.values(), key=lambda log: log.opened)


def _read_words(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The lines of a process that are whole, without the fields that are damaged."""
    damaged = 0
    for line in read_lines(path, notes):
        kind = line.get("kind") if isinstance(line, dict) else None
        try:
            if not isinstance(kind, str) or not guard.fits(line.get("t"), guard.Number()):
                raise ValueError("neither kind nor time")
            damaged += bool(guard.prune(line, LINES.get(kind, {}), NEEDED.get(kind, ())))
        except ValueError:
            damaged += 1
        else:
            yield line
    if damaged:
        notes.append(f"{path.name}: {damaged} lines are not as they should be: left out, or parts of them")


def read_events(recording: Path, log: ProcessLog, notes: list[str]) -> None:
    """Add its events to what a process said in words. One that only said something has none."""
    path = recording / "events" / f"{log.stem}.bin"
    if path.exists():
        _read_events(path, log, notes)


def _read_events(path: Path, log: ProcessLog, notes: list[str]) -> None:
    try:
        data = guard.read(path, MAX_PAGES * PAGE_BYTES)
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {_why(error)}")
        return
    if len(data) < PAGE_BYTES:
        notes.append(f"{path.name} is cut: its events are not known")
        return
    kind, version, _, _, magic = RECORD.unpack_from(data, 0)
    if (kind, version, magic) != (BEGIN, VERSION, MAGIC):
        notes.append(f"{path.name} is not an event file of format {VERSION}: its events are not known")
        return
    index, begun = PAIR.unpack_from(data, SAMPLE_OFFSET)
    log.current_sample = (index - 1, begun) if index else None
    log.asked_got = PAIR.unpack_from(data, PROGRESS_OFFSET)
    log.histogram = tuple(array("Q", data[HISTOGRAM_OFFSET : HISTOGRAM_OFFSET + 8 * HISTOGRAM_BUCKETS]))
    stuck, number = PAIR.unpack_from(data, STUCK_OFFSET)
    if stuck:
        notes.append(
            f"process {log.pid} could not go on recording ({_reason(number)}): its later events are missing"
        )
    if len(data) % RECORD.size:
        notes.append(f"{path.name} is cut: its last events are not known")
        data = data[: len(data) - len(data) % RECORD.size]
    if len(data) == MAX_PAGES * PAGE_BYTES:
        notes.append(f"process {log.pid} wrote more events than are kept: the middle of its run is missing")
    records = RECORD.iter_unpack(memoryview(data)[PAGE_BYTES:])
    lost: list[int] = []
    few, most, packed = _FEW, guard.MOST_NUMBER, _PACKED
    log.events = [
        Event(head & 255, head >> 8, idx, t, a, b)
        for head, idx, t, a, b in records
        if head
        and (
            (a <= t <= most and (b < few or head & 255 in packed)) or _is_possible(head & 255, t, a, b, lost)
        )
    ]
    if lost:
        notes.append(f"{path.name} is damaged: {len(lost)} events are left out")
    log.events.sort(key=lambda event: event.t)
    if stuck:
        # What the loop asked for last was answered, but that is not recorded: it is no wait until the end.
        answered = max((event.t for event in log.events if event.kind == GOT), default=0)
        log.events = [event for event in log.events if event.kind != ASK or event.t <= answered]


def _is_possible(kind: int, t: int, a: int, b: int, lost: list[int]) -> bool:
    """Whether an event's times are in order, and its amounts such as can be; else it is counted in ``lost``."""
    most = guard.MOST_NUMBER
    possible = t <= most
    if kind in _SINCE:
        possible &= a <= t
    if kind in _SMALL:
        possible &= b <= most
    if kind == k.INDEX:
        possible &= b < _FEW
    if kind in _AMOUNTS:
        possible &= (a <= most or a == k.UNKNOWN) and (b <= most or b == k.UNKNOWN)
    if not possible:
        lost.append(kind)
    return possible


def _reason(number: int) -> str:
    try:
        return os.strerror(number)
    except (OverflowError, ValueError):
        return "the disk is full"
