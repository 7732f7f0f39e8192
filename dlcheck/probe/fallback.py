"""Stack samples from inside a worker, where py-spy may not look at it from outside.

The launcher leaves the file ``sample-inside`` in the recording when it finds that py-spy does not work here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from dlcheck.probe import journal

MARKER = "sample-inside"
_PERIOD_S = 0.1
_MOST_FRAMES = 60
# After so many bytes the period doubles: a worker that runs for ten hours writes some 6 MB.
_BYTES_AT_A_RATE = 500_000
_PR_SET_PTRACER = 0x59616D61
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


def start_if_wanted() -> bool:
    """Sample the calling thread from a daemon thread, if the launcher asked for it; returns whether it did."""
    if not Path(journal.recording(), MARKER).exists() or journal.events() is None:
        return False
    watched = threading.get_ident(), threading.get_native_id()
    threading.Thread(target=_sample, args=watched, name="dlcheck_sampler", daemon=True).start()
    return True


def ptrace_scope() -> str:
    """What Yama lets trace whom (Documentation/admin-guide/LSM/Yama.rst); "" where it is not there."""
    try:
        return _YAMA.read_text().strip()
    except OSError:
        return ""


def allow_tracing() -> None:
    """Under yama ``ptrace_scope=1`` only an ancestor may trace;

    let a sibling of the same user do so (prctl(2)).
    """
    if ptrace_scope() == "1":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1 & 2**64 - 1), 0, 0, 0)


def _sample(ident: int, native: int) -> None:
    path = Path(journal.recording(), "stacks", f"inside-{os.getpid()}-{journal.now()}.jsonl")
    written, cpu_before, before = 0, _cpu_ns(native), journal.now()
    try:
        with path.open("w", encoding="utf-8") as file:
            while True:
                time.sleep(_PERIOD_S * 2 ** (written // _BYTES_AT_A_RATE))
                t, cpu = journal.now(), _cpu_ns(native)
                frame = sys._current_frames().get(ident)
                if frame is None:
                    return
                # The sampled thread waits for the GIL now; whether it worked is told by the CPU that it has
                # used since.
                idle = None if cpu is None or cpu_before is None else (cpu - cpu_before) * 4 < t - before
                line = json.dumps({"t": t, "weight_ns": t - before, "idle": idle, "frames": _frames(frame)})
                del frame
                written += file.write(line + "\n")
                file.flush()
                cpu_before, before = cpu, t
    except OSError:
        return


def _frames(frame: FrameType | None) -> list[tuple[str, int, str]]:
    frames: list[tuple[str, int, str]] = []
    while frame is not None and len(frames) < _MOST_FRAMES and frame.f_code.co_name != "_worker_loop":
        code = frame.f_code
        if not journal.is_own_file(code.co_filename):
            # Python 3.10 knows no qualified names.
            frames.append((code.co_filename, frame.f_lineno, getattr(code, "co_qualname", code.co_name)))
        frame = frame.f_back
    return frames[::-1]


def _cpu_ns(native: int) -> int | None:
    try:
        return int(Path(f"/proc/self/task/{native}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
