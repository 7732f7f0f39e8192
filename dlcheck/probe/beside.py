"""The samplers beside a process that probes itself: a process of their own, which takes no time from it.

Started by ``dlcheck.probe.notebook`` as ``beside.main(recording, pid, stacks)``. It ends when a line with the exit
status to record comes on standard input, or when the probed process has ended.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from dlcheck.probe import manifest
from dlcheck.probe.monitor import Monitor
from dlcheck.probe.procfs import is_running, read_stat

_LOOK_S = 1.0


def main(folder: str, pid: int, sample_stacks: bool) -> None:
    """Sample the process ``pid``, and write the end of the manifest."""
    recording = Path(folder)
    stat = read_stat(pid)
    monitor = Monitor(recording, pid, sample_stacks)
    monitor.start()
    line = ""
    while stat is None or is_running(pid, stat.start_ticks):
        # Forked workers hold the other end of the pipe too: it is not closed when the probed process ends.
        if select.select([sys.stdin], [], [], _LOOK_S)[0]:
            line = sys.stdin.readline().strip()
            break
    end, end_wall_s = time.monotonic_ns(), time.time()
    cost = monitor.stop()
    contents = json.loads((recording / "recording.json").read_text(encoding="utf-8"))
    contents |= {
        "end": end,
        "end_wall_s": end_wall_s,
        "exit_code": int(line) if line else None,
        "pid": pid,
        "overhead": cost,
        "notes": monitor.notes,
    }
    manifest.write(recording, contents)
