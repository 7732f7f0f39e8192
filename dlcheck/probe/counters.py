"""Samples the counters of the run's processes and of the machine, within a budget."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from dlcheck.probe.environment import cgroup_path
from dlcheck.probe.procfs import sample_machine, sample_process

_PERIOD_S = 0.5
_BUDGET = 0.005
_MEMORY_AGES_S = (0.5, 2.0, 4.0, 6.0, 10.0, 20.0)
_MEMORY_PERIOD_S = 30.0
# Seconds of CPU for reading memory: at once, and per second of the run.
_MEMORY_START_S = 0.1
_MEMORY_BUDGET = 0.01
_MOST_BYTES = 256_000_000


class Counters:
    """Appends to samples/*.jsonl.

    Reading USS and PSS is slow on large processes: early, then rarely, one at a time.
    """

    def __init__(self, recording: Path, root: int, period_s: float = _PERIOD_S) -> None:
        self._period_s = period_s
        self._processes = (recording / "samples" / "processes.jsonl").open("a", encoding="utf-8")
        self._machine = (recording / "samples" / "machine.jsonl").open("a", encoding="utf-8")
        self._groups = cgroup_path("cpu", root), cgroup_path("memory", root)
        self._begun = time.monotonic()
        self._seen: dict[int, float] = {}
        self._memory_due: dict[int, float] = {}
        self._memory_spent_s = 0.0
        self._written = 0
        self._due = 0.0
        self.samples = 0

    def tick(self, pids: Iterable[int], workers: Container[int] = ()) -> None:
        """Sample the processes ``pids``, if it is time to. The memory of ``workers`` is read before that of the others."""
        begun = time.monotonic()
        if begun < self._due or self._written > _MOST_BYTES:
            return
        current = set(pids)
        for pid in self._seen.keys() - current:
            del self._seen[pid], self._memory_due[pid]
        for pid in current - self._seen.keys():
            self._seen[pid], self._memory_due[pid] = begun, begun + _MEMORY_AGES_S[0]
        cpu = time.thread_time()
        memory_pid = self._memory_turn(begun, workers)
        for pid in current - {memory_pid}:
            self._write(self._processes, sample_process(pid, with_memory=False))
        self._write(self._machine, sample_machine(*self._groups))
        self._due = begun + max(self._period_s, (time.thread_time() - cpu) / _BUDGET)
        if memory_pid is not None:
            cpu = time.thread_time()
            self._write(self._processes, sample_process(memory_pid, with_memory=True))
            self._memory_spent_s += time.thread_time() - cpu
        self.samples += 1

    def close(self) -> None:
        """Close the files."""
        self._processes.close()
        self._machine.close()

    def _memory_turn(self, now: float, workers: Container[int]) -> int | None:
        """The process whose memory is to be read closely now: of those that are due, a worker, and the one that has been due
        for longest.
        """
        if self._memory_spent_s > _MEMORY_START_S + _MEMORY_BUDGET * (now - self._begun):
            return None
        due = [(pid not in workers, at, pid) for pid, at in self._memory_due.items() if at <= now]
        if not due:
            return None
        pid = min(due)[2]
        age = now - self._seen[pid]
        following = next((wanted - age for wanted in _MEMORY_AGES_S if wanted > age), _MEMORY_PERIOD_S)
        self._memory_due[pid] = now + following
        return pid

    def _write(self, file: Any, sample: list[Any] | None) -> None:
        if sample is not None:
            self._written += file.write(json.dumps([time.monotonic_ns(), *sample]) + "\n")
            file.flush()
