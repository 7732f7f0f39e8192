"""Finds what goes on when the command has ended: a daemon, a program that was started in the background."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterable
from pathlib import Path

from dlcheck.probe.procfs import WORKER_NAME, name_of, read_stat
from dlcheck.probe.recording import ENV_RECORDING
from dlcheck.probe.roster import WorkerProcess

# Some end a moment after the command; and what becomes a daemon forks a second time.
_GRACE_S = 0.3
# On a busy machine there is always another new process.
_MOST_LISTS = 10


def going_on(recording: Path, workers: Container[int]) -> list[int]:
    """The processes of a run that still have torch in their memory, but for ``workers``, which were seen to."""
    if not _look(recording, workers):
        return []
    time.sleep(_GRACE_S)
    return _look(recording, workers)


def left_alone(recording: Path, pids: Iterable[int]) -> list[WorkerProcess]:
    """Those of ``pids`` that are workers whose training process has ended before it could say that it had started them.

    torch's worker asks who its parent is when its dataset is ready, and ends when that changes: one whose parent is killed
    before does not end at all.
    """
    found = []
    for pid in pids:
        stat = read_stat(pid)
        if stat is not None and name_of(pid) == WORKER_NAME and not _is_of(stat.parent, recording):
            found.append(WorkerProcess(pid, stat.start_ticks, 0))
    return found


def _look(recording: Path, workers: Container[int]) -> list[int]:
    """All of them, though they fork and end while we look.

    A process that ends before its turn comes has begun its children before: a second list has them.
    """
    found: list[int] = []
    seen: set[int] = set()
    for _ in range(_MOST_LISTS):
        new = _processes() - seen
        if not new:
            break
        seen |= new
        found += [pid for pid in sorted(new) if pid not in workers and _is_of(pid, recording)]
    return found


def _processes() -> set[int]:
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208
    except OSError:
        return set()


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
