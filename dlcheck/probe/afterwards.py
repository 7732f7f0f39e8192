"""Finds what goes on when the command has ended: a daemon, a program that was started in the background."""

from __future__ import annotations

import os
import time
from collections.abc import Container
from pathlib import Path

from dlcheck.probe.procfs import read_stat
from dlcheck.probe.recording import ENV_RECORDING

# Some end a moment after the command; and what becomes a daemon forks a second time.
_GRACE_S = 0.3


def going_on(recording: Path, workers: Container[int]) -> list[int]:
    """The processes of a run that still have torch in their memory, but for ``workers``, which were seen to."""
    if not _look(recording, workers):
        return []
    time.sleep(_GRACE_S)
    return _look(recording, workers)


def _look(recording: Path, workers: Container[int]) -> list[int]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []
    return [pid for pid in pids if pid not in workers and _is_of(pid, recording)]


def _is_of(pid: int, recording: Path) -> bool:
    stat = read_stat(pid)
    if stat is None or stat.state in "ZX":
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if os.fsencode(f"{ENV_RECORDING}={recording}") not in environment:
            return False
        return b"/libtorch" in Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False
