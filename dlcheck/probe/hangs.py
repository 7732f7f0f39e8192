"""Looks at a loop that has waited for a batch for very long: the stacks of it and of its workers."""

from __future__ import annotations

import json
import time
from pathlib import Path

from dlcheck.probe import pyspy
from dlcheck.probe.procfs import wait_channel
from dlcheck.probe.recording import HANG_S
from dlcheck.probe.roster import Roster, TrainingProcess

_LOOK_AFTER_S = (HANG_S, 60.0, 600.0)
_MOST_WORKERS = 16


class Hangs:
    """Leaves stacks/hang-PID-N.json for each look at a loop that waits:

    after 10 s, a minute, and ten minutes.
    """

    def __init__(self, executable: str, recording: Path) -> None:
        self._executable = executable
        self._directory = recording / "stacks"
        self._looks: dict[tuple[int, int], int] = {}

    def tick(self, roster: Roster) -> None:
        """Look at each training process that has waited for longer than at the last look."""
        for trainer in roster.trainers.values():
            since = trainer.waiting_since()
            if since is None or not trainer.is_running():
                continue
            looks = self._looks.get((trainer.pid, since), 0)
            waited_s = (time.monotonic_ns() - since) / 1e9
            if looks < len(_LOOK_AFTER_S) and waited_s >= _LOOK_AFTER_S[looks]:
                self._looks[trainer.pid, since] = looks + 1
                self._look(trainer, since, roster)

    def _look(self, trainer: TrainingProcess, since: int, roster: Roster) -> None:
        workers = [w.pid for w in roster.workers if w.trainer == trainer.pid and w.is_running()]
        dumps = {pid: pyspy.dump(self._executable, pid) for pid in [trainer.pid, *workers[-_MOST_WORKERS:]]}
        for pid, threads in dumps.items():
            for thread in threads:
                thread["waits"] = wait_channel(pid, thread["tid"])
        look = {"t": time.monotonic_ns(), "asked": since, "trainer": trainer.pid, "dumps": dumps}
        path = self._directory / f"hang-{trainer.pid}-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(look), encoding="utf-8")
