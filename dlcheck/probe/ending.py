"""Waits for a run that is bounded (``dlcheck.probe.stopping``), and ends it from outside where it does not end itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from dlcheck.probe.outside import children_by_parent, descendants
from dlcheck.probe.procfs import is_running, read_stat
from dlcheck.probe.stopping import STOPPED

_PERIOD_S = 0.1
_GRACE_S = 15.0
"""How long a program may take for what it does when it is stopped, such as writing a checkpoint."""
_TERM_S = 5.0


def wait(child: subprocess.Popen[bytes], recording: Path, deadline_s: float | None) -> tuple[int, str]:
    """The exit code of ``child``, and a note where it had to be ended.

    It is ended ``_GRACE_S`` after it should have stopped, or ``deadline_s`` after now.
    """
    begun, stopped = time.monotonic(), None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_PERIOD_S), ""
        t = time.monotonic()
        if stopped is None and (recording / STOPPED).exists():
            stopped = t
        if stopped is not None and t - stopped > _GRACE_S:
            return _end(child), f"the program went on for {_GRACE_S:.0f} s after it was stopped: it was ended"
        if deadline_s is not None and t - begun > deadline_s:
            return _end(child), f"the program was ended after {deadline_s:.0f} s"


def _end(child: subprocess.Popen[bytes]) -> int:
    """End the process and all below it: politely, then for good."""
    pids = descendants(child.pid, children_by_parent())
    below = [(pid, stat.start_ticks) for pid in pids if (stat := read_stat(pid)) is not None]
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_TERM_S)
    for pid, start_ticks in below:
        if is_running(pid, start_ticks):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    if child.poll() is None:
        child.kill()
    return child.wait()
