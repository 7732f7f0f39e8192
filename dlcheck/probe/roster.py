"""Which processes belong to the run, as their side files say it while the run goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.probe.procfs import is_running
from dlcheck.probe.recording import PAIR, PROGRESS_OFFSET


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A DataLoader worker, and the training process that started it."""

    pid: int
    start_ticks: int | None
    trainer: int

    def is_running(self) -> bool:
        return is_running(self.pid, self.start_ticks)


@dataclass(frozen=True, slots=True)
class TrainingProcess:
    """A process that iterates a loader. ``events``: its event file."""

    pid: int
    start_ticks: int | None
    events: Path

    def is_running(self) -> bool:
        return is_running(self.pid, self.start_ticks)

    def waiting_since(self) -> int | None:
        """When the loop asked for the batch that it has not got yet, on CLOCK_MONOTONIC;

        None: it does not wait.
        """
        try:
            with self.events.open("rb") as file:
                file.seek(PROGRESS_OFFSET)
                asked, got = PAIR.unpack(file.read(PAIR.size))
        except (OSError, ValueError):
            return None
        return int(asked) if asked > got else None


class Roster:
    """Reads what is new in the side files of a recording.

    ``loaders``: how many each training process has iterated, by its id.
    ``dropped``: batches that a worker (its process id, and what it said) could not send. ``size_bytes`` and ``files``:
    of events and stacks.
    """

    def __init__(self, recording: Path) -> None:
        self._directories = recording / "events", recording / "stacks"
        self._offsets: dict[str, int] = {}
        self._started: dict[str, dict[str, Any]] = {}
        self.trainers: dict[str, TrainingProcess] = {}
        self.workers: list[WorkerProcess] = []
        self.loaders: Counter[int] = Counter()
        self.size_bytes = self.files = 0
        self.dropped: list[tuple[int, dict[str, Any]]] = []

    def update(self) -> None:
        """Read on.

        Ended processes are dropped by ``forget_ended``, not here: who is left over matters at the end.
        """
        size = files = 0
        for directory in self._directories:
            try:
                entries = list(os.scandir(directory))
            except OSError:
                continue
            for entry in entries:
                try:
                    length = entry.stat().st_size
                except OSError:
                    continue
                size, files = size + length, files + 1
                words = directory is self._directories[0] and entry.name.endswith(".jsonl")
                if words and length > self._offsets.get(entry.name, 0):
                    self._read(Path(entry.path))
        self.size_bytes, self.files = size, files

    def forget_ended(self) -> None:
        """Drop the workers that have ended, so that a run of many epochs does not make the roster grow."""
        self.workers = [worker for worker in self.workers if worker.is_running()]

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path.name, 0))
            data = file.read()
        complete = data.rfind(b"\n") + 1
        self._offsets[path.name] = self._offsets.get(path.name, 0) + complete
        for raw in data[:complete].splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            self._take(path, line)

    def _take(self, path: Path, line: dict[str, Any]) -> None:
        if line.get("kind") == "process":
            self._started[path.stem] = line
        elif line.get("kind") == "worker":
            self._trainer(path)
            self.workers.append(WorkerProcess(line["pid"], line.get("ticks"), self.trainers[path.stem].pid))
        elif line.get("kind") == "loader":
            self._trainer(path)
            self.loaders[self.trainers[path.stem].pid] += 1
        elif line.get("kind") == "feeder-error":
            self.dropped.append((int(path.stem.partition("-")[0]), line))

    def _trainer(self, path: Path) -> None:
        if path.stem not in self.trainers:
            pid = int(path.stem.partition("-")[0])
            ticks = self._started.get(path.stem, {}).get("ticks")
            self.trainers[path.stem] = TrainingProcess(pid, ticks, path.with_suffix(".bin"))
