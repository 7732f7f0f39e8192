"""Samples the stacks of training processes and their workers with py-spy, in windows, within a budget."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlcheck.probe.chrometrace import compact, innermost_lines, read_events
from dlcheck.probe.environment import cpu_quota
from dlcheck.probe.procfs import idle_s, is_running, may_be_read
from dlcheck.probe.pyspy import die_with_parent, try_on
from dlcheck.probe.roster import TrainingProcess

# Of a core, on average: where cores are free, and where sampling takes what loading would have used.
_BUDGET, _SCARCE_BUDGET = 0.025, 0.01
_FREE_CORES = 0.5
_WHILE_IT_RUNS = 0.05
_FIRST_RATE = 24.0
_RATES = (1.0, 25.0)
# Seconds, and whether idle threads are in it. py-spy does not mark them: a line that is often seen with them
# and seldom without is one that waits. The two kinds follow each other directly, so that both see the same.
_WINDOWS = ((4, True), (3, False), (5, True), (5, False), (15, True), (8, False), (30, True))
# The first windows are taken at once, and two more for each of the next loaders: a short run, and a short loop, have lines too.
_MOST_LOADERS = 4
_MOST_BYTES = 64_000_000
_MOST_WINDOW_BYTES = 128_000_000


@dataclass
class _Window:
    """py-spy at work on one training process and its children."""

    child: subprocess.Popen[bytes]
    output: Path
    begun_ns: int
    rate: float
    trainer: int
    with_idle: bool


class Stacks:
    """Runs windows of py-spy for each training process. Its own cost decides their rate, and when the next one begins.

    A window is written by py-spy when it ends, so that one that is cut short by the end of the run is kept
    too. The processes that have ended since are in it. ``trouble``: why a training process cannot be read, if so.
    """

    def __init__(self, executable: str, recording: Path) -> None:
        self._executable = executable
        self._directory = recording / "stacks"
        self._windows: dict[int, _Window] = {}
        self._rate: dict[int, float] = {}
        self._count: dict[int, int] = {}
        self._begun_ns = 0
        self._cores, self._around = _Cores(), _Cores()
        self._failures = 0
        self._written = 0
        self.trouble: str | None = None
        self.cpu_s = 0.0
        self.windows = 0

    def tick(self, trainers: list[TrainingProcess], loaders: Mapping[int, int]) -> None:
        """Collect the windows that have ended, and begin new ones. ``loaders``: how many each process has iterated."""
        for pid, window in list(self._windows.items()):
            if window.child.returncode is None:
                self._collect(pid, window, block=False)
        if self._failures < 5 and self._written < _MOST_BYTES:
            affordable = self._affordable()
            for trainer in trainers:
                owed = self._owed(trainer.pid, loaders.get(trainer.pid, 1))
                if trainer.pid not in self._windows and (owed or affordable) and trainer.is_running():
                    self._begin(trainer.pid, len(trainers))

    def close(self) -> None:
        """End the windows that still run, and keep what they have."""
        for window in self._windows.values():
            window.child.send_signal(2)
        for pid, window in list(self._windows.items()):
            self._collect(pid, window, block=True)

    def _owed(self, pid: int, loaders: int) -> bool:
        """Whether the next window is taken whatever it costs."""
        count = self._count.get(pid, 0)
        return count < 2 * min(loaders, _MOST_LOADERS) - 1 or _kind(count)[1]

    def _affordable(self) -> bool:
        """Whether what was spent so far is within what the time since the first window allows."""
        elapsed_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        if self._windows or self.cpu_s > _BUDGET * elapsed_s:
            return False
        scarce = max(self._count.values(), default=0) > 1 and self.cpu_s > _SCARCE_BUDGET * elapsed_s
        return not scarce or self._cores.free() >= _FREE_CORES

    def _begin(self, pid: int, trainers: int) -> None:
        count = self._count.get(pid, 0)
        self._count[pid] = count + 1
        # A window that fails would say the same, seconds later: a short run would have no lines.
        if not count and self.trouble is None and not may_be_read(pid):
            self.trouble = try_on(self._executable, pid)
            if self.trouble is not None:
                self._failures += 1
                return
        rate = self._rate.setdefault(pid, max(_RATES[0], _FIRST_RATE / (2 + trainers)))
        seconds, with_idle = _kind(count)
        output = self._directory / f"{'window' if with_idle else 'active'}-{pid}-{count}.raw"
        form = ["-i", "-t", "-f", "chrometrace"] if with_idle else ["--full-filenames", "-f", "raw"]
        command = [self._executable, "record", "--pid", str(pid), "-s", *form]
        command += ["-r", str(round(rate)), "-d", str(seconds), "-o", str(output)]
        if self._around.free() < _FREE_CORES:
            # What is stopped to be read waits for as long as py-spy waits for a core then, and looks blocked. Rather a
            # stack that is torn at times.
            command.append("--nonblocking")
        begun = time.monotonic_ns()
        self._begun_ns = self._begun_ns or begun
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent(),
                start_new_session=True,
            )
        except OSError:
            self._failures += 1
            return
        self._windows[pid] = _Window(child, output, begun, rate, pid, with_idle)

    def _collect(self, pid: int, window: _Window, block: bool) -> None:
        try:
            ended, status, usage = os.wait4(window.child.pid, 0 if block else os.WNOHANG)
        except ChildProcessError:
            ended, status, usage = window.child.pid, 1, None
        if not ended:
            return
        window.child.returncode = os.waitstatus_to_exitcode(status)
        del self._windows[pid]
        end = time.monotonic_ns()
        if usage is not None:
            cpu_s = usage.ru_utime + usage.ru_stime
            self.cpu_s += cpu_s
            share = cpu_s * 1e9 / max(1, end - window.begun_ns) / _WHILE_IT_RUNS
            self._rate[pid] = min(_RATES[1], max(_RATES[0], window.rate / min(max(share, 0.5), 2.0)))
        if not self._keep(window, end):
            self._failures += 1
            if self.trouble is None and not block and is_running(pid, None):
                self.trouble = try_on(self._executable, pid)

    def _keep(self, window: _Window, end_ns: int) -> bool:
        try:
            if window.output.stat().st_size > _MOST_WINDOW_BYTES:
                return False
            if window.with_idle:
                events = read_events(window.output)
                table = compact(events, window.begun_ns, end_ns, int(1e9 / round(window.rate)))
            else:
                with window.output.open(encoding="utf-8", errors="replace") as lines:
                    table = {"leaves": innermost_lines(line.rstrip("\n") for line in lines)}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        finally:
            window.output.unlink(missing_ok=True)
        table |= {
            "trainer": window.trainer,
            "rate": round(window.rate),
            "begin": window.begun_ns,
            "end": end_ns,
        }
        text = json.dumps(table)
        self._written += window.output.with_suffix(".json").write_text(text, encoding="utf-8")
        self.windows += 1
        return True


def _kind(count: int) -> tuple[int, bool]:
    """Of the window that follows so many others of a process."""
    last = len(_WINDOWS) - 1
    return _WINDOWS[count if count <= last else last - (count - last) % 2]


class _Cores:
    """How many of the cores that this process may use are idle."""

    def __init__(self) -> None:
        self._limited = cpu_quota() is not None
        idle = idle_s(os.sched_getaffinity(0))
        self._before = None if idle is None else (idle, time.monotonic())

    def free(self) -> float:
        """On average since it was asked before; 0 where that is not known, or a quota makes idle cores no free ones."""
        if self._limited:
            return 0.0
        idle, now, before = idle_s(os.sched_getaffinity(0)), time.monotonic(), self._before
        if idle is None:
            return 0.0
        self._before = idle, now
        return (idle - before[0]) / max(0.01, now - before[1]) if before else 0.0
