"""What runs beside the user's command: samplers, the watch for a hang, and the clearing up after it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcheck.probe import fallback, pyspy
from dlcheck.probe.afterwards import going_on, left_alone
from dlcheck.probe.counters import Counters
from dlcheck.probe.hangs import Hangs
from dlcheck.probe.notices import Notices
from dlcheck.probe.roster import Roster, WorkerProcess
from dlcheck.probe.space import Space
from dlcheck.probe.stacks import Stacks

_PERIOD_S = 0.5
_BUDGET = 0.01
_MOST_RECORDING_BYTES = 2_000_000_000
_MOST_FILES = 50_000
_FULL = "the recording has reached its size limit: processes started later are not in it"
# torch's workers look for their parent every 5 s (MP_STATUS_CHECK_INTERVAL), and then end by themselves.
_GRACE_S = 6.5
_TERM_S = 1.0


class Monitor:
    """A thread of the launcher. ``start`` when the command runs, ``stop`` when it has ended."""

    def __init__(
        self, recording: Path, root: int, sample_stacks: bool, notify: Callable[[str], None] | None = None
    ) -> None:
        self.notes: list[str] = []
        self._notices = Notices(notify)
        self._recording = recording
        self._root = root
        self._sample_stacks = sample_stacks
        self._roster = Roster(recording)
        self._space = Space(recording)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlcheck_monitor", daemon=True)
        self._cost: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """End the samplers and clear up; returns what the probe itself has cost."""
        self._done.set()
        self._thread.join()
        self._roster.update()
        self._reap()
        self._look_at_disk()
        left = going_on(self._recording, {worker.pid for worker in self._roster.workers})
        alone = left_alone(self._recording, left)
        if alone:
            self._roster.workers += alone
            self._reap()
        for pid in set(left).difference(worker.pid for worker in alone):
            self._note(
                f"process {pid} went on after the command had ended: what it loaded from then on was not sampled"
            )
        self._space.release()
        return self._cost

    def _run(self) -> None:
        begun, cpu_begun = time.monotonic(), time.thread_time()
        if not Path("/proc/self/stat").exists():
            self.notes.append("processes and machine are not sampled: there is no /proc on this system")
        counters: Counters | None = None
        stacks: Stacks | None = None
        try:
            counters = Counters(self._recording, self._root)
            executable = self._usable_pyspy()
            stacks = Stacks(executable, self._recording) if executable else None
            hangs = Hangs(executable, self._recording) if executable else None
            while not self._done.is_set():
                spent = time.thread_time()
                self._tick(counters, stacks, hangs)
                spent = time.thread_time() - spent
                self._done.wait(max(_PERIOD_S, spent / _BUDGET))
        except Exception as error:
            self._note(f"the samplers stopped: {type(error).__name__}: {error}")
        finally:
            for sampler in (counters, stacks):
                if sampler is not None:
                    self._attempt(sampler.close)
        self._cost = {
            "monitor_cpu_s": time.thread_time() - cpu_begun,
            "stacks_cpu_s": stacks.cpu_s if stacks else 0.0,
            "stack_windows": stacks.windows if stacks else 0,
            "counter_samples": counters.samples if counters else 0,
            "wall_s": time.monotonic() - begun,
        }

    def _tick(self, counters: Counters, stacks: Stacks | None, hangs: Hangs | None) -> None:
        roster = self._roster
        self._attempt(roster.update)
        trainers = [trainer for trainer in roster.trainers.values() if trainer.is_running()]
        pids = {self._root, *(trainer.pid for trainer in trainers)}
        alive = {trainer.pid for trainer in trainers}
        workers = {worker.pid for worker in roster.workers if worker.trainer in alive}
        self._attempt(counters.tick, pids | workers, workers)
        if stacks is not None:
            self._attempt(stacks.tick, trainers, roster.loaders)
            if stacks.trouble is not None and stacks.trouble not in self.notes:
                self._sample_inside(stacks.trouble)
        if hangs is not None:
            self._attempt(hangs.tick, roster)
        self._notices.tick(roster)
        roster.forget_ended()
        self._look_at_disk()
        if roster.size_bytes > _MOST_RECORDING_BYTES or roster.files > _MOST_FILES:
            self._attempt((self._recording / "full").touch)
            self._note(_FULL)

    def _attempt(self, step: Callable[..., Any], *args: Any) -> None:
        """Do one thing; that it fails does not keep the others from being done, nor it from being tried again."""
        try:
            step(*args)
        except OSError as error:
            # Which file it was does not matter, and differs from try to try.
            self._note(f"the samplers failed: {error.strerror or error}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _look_at_disk(self) -> None:
        trouble = self._space.trouble()
        if trouble is not None:
            self._note(trouble)

    def _usable_pyspy(self) -> str | None:
        if not self._sample_stacks:
            return None
        executable = pyspy.find()
        if executable is None:
            trouble: str | None = f"py-spy is not installed: {pyspy.INSTEAD} (remedy: pip install py-spy)"
        else:
            trouble = pyspy.try_out(executable)
        if trouble is None:
            return executable
        self._sample_inside(trouble)
        return None

    def _sample_inside(self, trouble: str) -> None:
        self._note(trouble)
        self._attempt((self._recording / fallback.MARKER).touch)

    def _reap(self) -> None:
        """End the workers that have outlived their training process and do not notice it themselves.

        A worker that hangs in its dataset never looks for its parent. Only recorded workers are touched,
        known by process id and start time, and only once their training process has ended.
        """
        deadline = time.monotonic() + _GRACE_S
        while (left := self._orphans()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for worker in left:
            self.notes.append(f"worker process {worker.pid} outlived its training process: ended by dlcheck")
        for number, seconds in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, _TERM_S)):
            for worker in self._orphans():
                with contextlib.suppress(OSError):
                    os.kill(worker.pid, number)
            deadline = time.monotonic() + seconds
            while self._orphans() and time.monotonic() < deadline:
                time.sleep(0.02)

    def _orphans(self) -> list[WorkerProcess]:
        running = {trainer.pid for trainer in self._roster.trainers.values() if trainer.is_running()}
        return [w for w in self._roster.workers if w.trainer not in running and w.is_running()]
