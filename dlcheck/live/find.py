"""Which recording a running process writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dlcheck.probe.recording import ENV_RECORDING


class NotProbed(ValueError):
    """A process that does not run under dlcheck."""


def recording_of(pid: int) -> Path:
    """The recording of a process that runs under ``dlcheck run``, or of dlcheck itself: its children are asked too.

    Raises ValueError where there is none: NotProbed where the process runs without dlcheck.
    """
    if not Path(f"/proc/{pid}").exists():
        raise ValueError(f"there is no process {pid}")
    for one in (pid, *_descendants(pid)):
        name = _variable(one, ENV_RECORDING)
        if name is not None:
            return Path(name)
    raise NotProbed(f"process {pid} does not run under 'dlcheck run'")


def newest(base: Path) -> Path:
    """The newest recording below ``base``/.dlcheck/runs. Raises ValueError where there is none."""
    found = list((base / ".dlcheck" / "runs").glob("*/recording.json"))
    if not found:
        raise ValueError(
            "there is no recording in .dlcheck/runs: give a process id, or the folder of a recording"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def _variable(pid: int, name: str) -> str | None:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    for entry in entries:
        key, _, value = entry.partition(b"=")
        if key == name.encode() and value:
            return os.fsdecode(value)
    return None


def _descendants(pid: int) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)
