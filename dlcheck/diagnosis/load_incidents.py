"""What went wrong in a run:

a worker killed, an error of the dataset, a batch that could not be sent, a hang.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.load_stacks import read_dump, user_frames
from dlcheck.diagnosis.timeline import Incident, LoaderLife, Site, WorkerLife
from dlcheck.probe.recording import HANG_S

_SHARED_MEMORY = ("shared memory", "/torch_", "/dev/shm", "bus error")
_NO_SPACE = ("no space left", "unable to allocate", "unable to write", "bus error", "cannot allocate memory")
_DOING = {
    "start": "while it was starting",
    "worker_init_fn": "in worker_init_fn",
    "dataset": "while its dataset was being set up",
    "fetch": "while fetching",
    "collate": "while collating",
    "put": "while handing on",
    "idle": "while it had nothing to do",
}


def load_incidents(
    recording: Path, logs: list[ProcessLog], loaders: tuple[LoaderLife, ...], end: int, notes: list[str]
) -> tuple[Incident, ...]:
    """All incidents in order of time. ``end``: when the run ended, on CLOCK_MONOTONIC."""
    by_pid = {log.pid: log for log in logs}
    incidents = []
    for log in logs:
        incidents += [_dataset_error(log, line) for line in log.said("dataset-error")]
        incidents += [_feeder_error(log, line) for line in log.said("feeder-error")]
        incidents += [
            Incident("hang", line["t"], log.pid, str(line.get("message")))
            for line in log.said("loader-error")
            if "timed out after" in str(line.get("message"))
        ]
    for loader in loaders:
        for iterator in loader.iterators:
            incidents += [_killed(worker, by_pid) for worker in iterator.workers if _died(worker)]
    incidents += _hangs(recording, logs, end, notes)
    return tuple(sorted(incidents, key=lambda incident: incident.t))


def _is_shared_memory(message: str) -> bool:
    text = message.lower()
    return any(word in text for word in _SHARED_MEMORY) and any(word in text for word in _NO_SPACE)


def _dataset_error(log: ProcessLog, line: dict[str, Any]) -> Incident:
    message = str(line.get("message"))
    kind = "shared-memory-full" if _is_shared_memory(message) else "dataset-error"
    where = f"batch {line.get('idx')}"
    if line.get("sample") is not None:
        where += f", dataset index {line['sample']}"
    stack = user_frames((str(f), int(n), str(name)) for f, n, name in line.get("stack") or ())
    return Incident(kind, line["t"], log.pid, f"{line.get('type')}: {message} ({where})", stack)


def _feeder_error(log: ProcessLog, line: dict[str, Any]) -> Incident:
    message = str(line.get("message"))
    kind = "shared-memory-full" if _is_shared_memory(message) else "unpicklable-batch"
    detail = (
        f"{line.get('type')}: {message} (batch {line.get('idx')} was dropped: the loop waits for it forever)"
    )
    return Incident(kind, line["t"], log.pid, detail)


def _died(worker: WorkerLife) -> bool:
    # 15: torch itself ends workers that do not leave within 5 s of the shutdown.
    return worker.exit_code not in (None, 0, -signal.SIGTERM)


def _killed(worker: WorkerLife, by_pid: dict[int, ProcessLog]) -> Incident:
    code = worker.exit_code or 0
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"
    detail = f"worker {worker.worker} (process {worker.pid}) {how}"
    log = by_pid.get(worker.pid)
    if worker.last_stage in _DOING:
        detail += f" {_DOING[worker.last_stage]}"
        if worker.last_idx is not None and worker.last_stage != "idle":
            detail += f" batch {worker.last_idx}"
    if log is not None and log.current_sample is not None and worker.last_stage == "fetch":
        detail += f", dataset index {log.current_sample[0]}"
    t = log.events[-1].t if log is not None and log.events else worker.process_started or 0
    return Incident("worker-killed", t, worker.pid, detail)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hangs(recording: Path, logs: list[ProcessLog], end: int, notes: list[str]) -> Iterator[Incident]:
    looks: dict[int, dict[str, Any]] = {}
    for path in sorted((recording / "stacks").glob("hang-*.json")):
        try:
            look = read_dump(path)
            looks[int(look["trainer"])] = look
        except (OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"{path.name} is damaged ({type(error).__name__}): its stacks are left out")
    for log in logs:
        asked, got = log.asked_got
        if asked <= got or end - asked < HANG_S * 1e9:
            continue
        waited_s = (end - asked) / 1e9
        detail = f"the loop waited {waited_s:.0f} s for a batch that never came"
        last_look = looks.get(log.pid, {})
        pid, stack = _stuck(last_look) if last_look.get("asked") == asked else (log.pid, ())
        if pid != log.pid:
            detail += f": worker process {pid} did not finish it"
        yield Incident("hang", asked, pid, detail, stack)


def _stuck(look: dict[str, Any]) -> tuple[int, tuple[Site, ...]]:
    """The process to blame for a hang, and its stack:

    a worker that is in the dataset, else the loop itself.
    """
    trainer = int(look["trainer"])
    own: tuple[Site, ...] = ()
    for pid, threads in look["dumps"].items():
        for thread in threads:
            frames = [(str(f), int(line), str(name)) for f, line, name in thread.get("frames") or ()]
            names = [name.rpartition(".")[2] for _, _, name in frames]
            if int(pid) == trainer:
                own = own or (user_frames(frames) if "__next__" in names else ())
            elif "_worker_loop" in names and "fetch" in names[names.index("_worker_loop") :]:
                return int(pid), user_frames(frames)
    return trainer, own
