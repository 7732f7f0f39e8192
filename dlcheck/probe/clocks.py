"""What a stage cost the thread that ran it: CPU time, and time spent ready to run but waiting for a core."""

from __future__ import annotations

import os
import threading
import time

from dlcheck.probe.recording import UNKNOWN

# The delay is read anew when the thread was off its core for so long in all: what is not seen is less than this.
_UNSEEN_NS = 20_000
# A reading serves for so long, as if the thread kept its core: two stages follow each other within less, and each clock is a
# system call (0.2 us, on some virtual machines 4 us).
_SERVES_NS = 20_000

_local = threading.local()


class ThreadClock:
    """Reads the CPU time and the run-queue delay of the calling thread, in nanoseconds.

    The delay is the second field of /proc/self/task/TID/schedstat (kernels with CONFIG_SCHED_INFO; see
    Documentation/scheduler/sched-stats.rst); where there is none it reads as UNKNOWN.
    """

    __slots__ = ("_all", "_all_at", "_at", "_cpu", "_delay", "_fd", "_file", "_off_core")

    def __init__(self) -> None:
        self._at = self._all_at = -_SERVES_NS
        self._cpu = self._all = 0
        self._delay = 0
        self._off_core: int | None = None
        try:
            self._fd = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
            self._file = _file_of(self._fd)
        except OSError:
            self._fd, self._delay = -1, UNKNOWN

    def __del__(self) -> None:
        # The program may have closed all descriptors, and opened a file of its own under this number.
        # At the end of the interpreter the names used here may be gone.
        try:
            if self._fd >= 0 and _file_of(self._fd) == self._file:
                os.close(self._fd)
        except Exception:
            pass

    def read(self) -> tuple[int, int]:
        """CPU time and run-queue delay of this thread so far, to some microseconds."""
        t = time.monotonic_ns()
        if t - self._at < _SERVES_NS:
            return self._cpu + t - self._at, self._delay
        self._at, self._cpu = t, time.thread_time_ns()
        # A thread that did not leave its core did not wait for one: reading the clocks is much cheaper than the file.
        off_core = t - self._cpu
        if self._fd >= 0 and (self._off_core is None or off_core - self._off_core >= _UNSEEN_NS):
            self._off_core = off_core
            self._read_delay()
        return self._cpu, self._delay

    def read_process(self) -> int:
        """CPU time of all threads of the process so far, to some microseconds."""
        t = time.monotonic_ns()
        if t - self._all_at < _SERVES_NS:
            return self._all + t - self._all_at
        self._all_at, self._all = t, time.process_time_ns()
        return self._all

    def _read_delay(self) -> None:
        try:
            self._delay = int(os.pread(self._fd, 64, 0).split()[1])
        except (OSError, ValueError, IndexError):
            self._fd, self._delay = -1, UNKNOWN


def _file_of(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def thread_clock() -> ThreadClock:
    """The clock of the calling thread."""
    clock: ThreadClock | None = getattr(_local, "clock", None)
    if clock is None:
        clock = _local.clock = ThreadClock()
    return clock


def elapsed(begin: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """CPU time and run-queue delay between two readings; UNKNOWN where one of the two was not known."""
    runqueue = UNKNOWN if UNKNOWN in (begin[1], end[1]) else end[1] - begin[1]
    return max(0, end[0] - begin[0]), runqueue


def _after_fork() -> None:
    # The descriptor inherited from the parent reads the parent's thread.
    global _local
    _local = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
