"""How loading goes in a training that was started without dlcheck: seen from outside, a few seconds at a time."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.model import LoaderDiagnosis, WorkerUse
from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.units import share
from dlcheck.live.state import LiveState, LoaderState, WorkerState, machine_cores
from dlcheck.probe import outside

WATCH_S = 4.0
"""For how long each look watches."""


class Attached:
    """A process that trains, or one that started it."""

    def __init__(self, pid: int) -> None:
        """Raises ``outside.AttachError`` where it cannot be watched."""
        self._pid = pid
        self._executable = outside.usable_pyspy()
        self._begun = time.monotonic()
        outside.find_jobs(pid, self._executable)

    def look(self) -> LiveState:
        """Watch for WATCH_S seconds. Raises ``outside.AttachError`` when the process has ended, or ends meanwhile."""
        # Workers come and go with the epochs.
        jobs = outside.find_jobs(self._pid, self._executable)
        with tempfile.TemporaryDirectory(prefix="dlcheck-top-") as folder:
            outside.watch(jobs, Path(folder), WATCH_S, self._executable)
            timeline = load(Path(folder))
        said = diagnose(timeline)
        machine = timeline.machine
        return LiveState(
            running=self.is_running(),
            seconds=time.monotonic() - self._begun,
            machine_cores=machine_cores(machine),
            shm_free_bytes=machine[-1].shm_free if machine else None,
            loaders=tuple(map(_loader, said.loaders)),
            incidents=(),
        )

    def is_running(self) -> bool:
        """Whether it is still there."""
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def _loader(said: LoaderDiagnosis) -> LoaderState:
    return LoaderState(
        place=f"process {said.key.partition(':')[0]}",
        dataset=said.dataset,
        rank=said.rank,
        batches=None,
        batches_per_s=None,
        wait_share=said.wait_s / said.wall_s if said.wall_s else None,
        now=said.dataset,
        ready=None,
        verdict=said.verdict,
        sentence=said.sentence,
        workers=tuple(map(_worker, said.workers)),
    )


def _worker(use: WorkerUse) -> WorkerState:
    doing = "" if use.busy_share is None else f"busy {share(use.busy_share)} of the time"
    return WorkerState(use.worker, use.pids[-1] if use.pids else 0, doing, use.cpu_share, use.rss_bytes)
