"""Watches a training that was started without dlcheck: stacks by py-spy, counters by the kernel, nothing injected.

Leaves a recording (``dlcheck.probe.recording``) without events. Its manifest has ``attached``: a list with one
entry per training process: ``trainer`` and ``workers`` (process ids), ``started`` (those of children that were seen
later), ``command``, ``queued_s``, the seconds for
which the main thread of each of them waited for a core meanwhile, and ``waits``, what it waited for at the end (the
kernel's word).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.probe import pyspy
from dlcheck.probe.chrometrace import compact, read_events
from dlcheck.probe.counters import Counters
from dlcheck.probe.environment import describe_environment
from dlcheck.probe.procfs import WORKER_NAME, name_of, read_stat, wait_channel
from dlcheck.probe.recording import ENV_RECORDING, VERSION

_RATE = 40
_PERIOD_S = 0.25
_LIST_S = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """A process that trains, and its DataLoader workers."""

    trainer: int
    workers: tuple[int, ...]


class AttachError(Exception):
    """Why a process cannot be watched, in one line."""


def usable_pyspy() -> str:
    """The py-spy to use. Raises AttachError, with the remedy, where there is none or it may not trace."""
    executable = pyspy.find()
    if executable is None:
        raise AttachError("py-spy is not installed (pip install py-spy)")
    trouble = pyspy.try_out(executable)
    if trouble is not None:
        raise AttachError(trouble.replace(f": {pyspy.INSTEAD}", ""))
    return executable


def find_jobs(pid: int, executable: str) -> list[Job]:
    """The training processes at or below ``pid``: those that have workers, else ``pid`` itself.

    Workers are known by their name; under older torch by their stack. Raises AttachError.
    """
    if read_stat(pid) is None:
        raise AttachError(f"there is no process {pid}")
    children = children_by_parent()
    below = [pid, *descendants(pid, children)]
    workers = {p for p in below if name_of(p) == WORKER_NAME}
    if not workers:
        workers = {p for p in below[1:] if _is_worker(executable, p)}
    if pid in workers:
        raise AttachError(f"process {pid} is a DataLoader worker: give its parent")
    trainers: dict[int, list[int]] = {}
    for worker in sorted(workers):
        stat = read_stat(worker)
        if stat is not None:
            trainers.setdefault(_trainer_of(stat.parent), []).append(worker)
    return [Job(trainer, tuple(own)) for trainer, own in trainers.items()] or [Job(pid, ())]


def watch(jobs: list[Job], recording: Path, seconds: float, executable: str) -> None:
    """Watch ``jobs`` for so long, and leave a recording. Raises AttachError where their stacks cannot be read."""
    for name in ("events", "samples", "stacks"):
        (recording / name).mkdir(parents=True, exist_ok=True)
    pids = [pid for job in jobs for pid in (job.trainer, *job.workers)]
    counters = Counters(recording, jobs[0].trainer, period_s=_PERIOD_S)
    began, queued = time.monotonic_ns(), {pid: _queued_s(pid) for pid in pids}
    records = [_Record(executable, recording, job, seconds) for job in jobs]
    try:
        listed = began
        while time.monotonic_ns() - began < seconds * 1e9 and any(record.is_running() for record in records):
            counters.tick(pids)
            if time.monotonic_ns() - listed > _LIST_S * 1e9:
                # Workers may have been started meanwhile, for a new epoch.
                children, listed = children_by_parent(), time.monotonic_ns()
                pids = [p for job in jobs for p in (job.trainer, *descendants(job.trainer, children))]
            time.sleep(_PERIOD_S / 2)
        counters.tick(pids)
    finally:
        end = time.monotonic_ns()
        counters.close()
        troubles = [record.finish(end) for record in records]
    if all(troubles):
        raise AttachError(f"py-spy cannot read the stacks of process {jobs[0].trainer}: {troubles[0]}")
    manifest = {
        "version": VERSION,
        "command": _command(jobs[0].trainer),
        "directory": _directory(jobs[0].trainer),
        "begin": began,
        "end": end,
        "exit_code": None,
        "environment": describe_environment() | {"main": _script(jobs[0].trainer)},
        "attached": [_entry(job, queued, record.seen) for job, record in zip(jobs, records, strict=True)],
    }
    (recording / "recording.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _entry(job: Job, queued: dict[int, float], seen: set[int]) -> dict[str, Any]:
    pids = [pid for pid in (job.trainer, *job.workers) if read_stat(pid) is not None]
    return {
        "trainer": job.trainer,
        "workers": job.workers,
        "started": sorted(seen - {job.trainer, *job.workers}),
        "command": _command(job.trainer),
        "queued_s": {pid: _queued_s(pid) - queued[pid] for pid in pids},
        "waits": {pid: wait_channel(pid, None) for pid in pids},
    }


class _Record:
    """py-spy at work on one training process and its children."""

    def __init__(self, executable: str, recording: Path, job: Job, seconds: float) -> None:
        self._job = job
        self._output = recording / "stacks" / f"window-{job.trainer}-0.raw"
        self._begun = time.monotonic_ns()
        self.seen: set[int] = set()
        command = [executable, "record", "--pid", str(job.trainer), "-s", "-i", "-t", "-f", "chrometrace"]
        command += ["-r", str(_RATE), "-d", str(max(1, round(seconds))), "-o", str(self._output)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=pyspy.die_with_parent(),
            start_new_session=True,
        )

    def is_running(self) -> bool:
        return self._child.poll() is None

    def finish(self, end_ns: int) -> str:
        """Keep what was seen; returns what went wrong, if anything."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2)
        if self.is_running():
            self._child.send_signal(2)
        _, errors = self._child.communicate()
        try:
            table = compact(read_events(self._output), self._begun, end_ns, int(1e9 / _RATE))
        except (OSError, ValueError, KeyError, TypeError):
            lines = [line for line in errors.splitlines() if line.strip()]
            return lines[-1].strip() if lines else "no message"
        finally:
            self._output.unlink(missing_ok=True)
        self.seen = {sample[1] for sample in table["samples"]}
        table |= {"trainer": self._job.trainer, "rate": _RATE, "begin": self._begun, "end": end_ns}
        self._output.with_suffix(".json").write_text(json.dumps(table), encoding="utf-8")
        return ""


def children_by_parent() -> dict[int, list[int]]:
    """The ids of all processes, by that of their parent."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        stat = read_stat(int(entry)) if entry.isdecimal() else None
        if stat is not None:
            children.setdefault(stat.parent, []).append(int(entry))
    return children


def descendants(pid: int, children: dict[int, list[int]]) -> list[int]:
    """All processes below ``pid``."""
    found = []
    left = list(children.get(pid, ()))
    while left:
        child = left.pop()
        found.append(child)
        left += children.get(child, ())
    return found


def _trainer_of(parent: int) -> int:
    """The parent of a worker; with the start method forkserver, the parent of the server."""
    stat = read_stat(parent)
    served = "multiprocessing.forkserver" in " ".join(_command(parent))
    return stat.parent if served and stat is not None else parent


def _is_worker(executable: str, pid: int) -> bool:
    threads = pyspy.dump(executable, pid)
    return any(
        frame[2].rpartition(".")[2] == "_worker_loop" for thread in threads for frame in thread["frames"]
    )


def _command(pid: int) -> list[str]:
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode("utf-8", "replace") for word in data.split(b"\0") if word]


def _directory(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None


def _script(pid: int) -> str | None:
    """The script that a Python process runs, from its command line."""
    for word in _command(pid)[1:]:
        if word.endswith(".py"):
            path = Path(_directory(pid) or "/", word)
            return str(path) if path.exists() else None
    return None


def _queued_s(pid: int) -> float:
    """Seconds that the main thread of a process has waited for a core."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def recording_of(jobs: Iterable[Job]) -> str:
    """The recording of a job that runs under dlcheck already; "" where none does."""
    for job in jobs:
        try:
            environment = Path(f"/proc/{job.trainer}/environ").read_bytes()
        except OSError:
            continue
        for entry in environment.split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == ENV_RECORDING.encode():
                return value.decode("utf-8", "replace")
    return ""
