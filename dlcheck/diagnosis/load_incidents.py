"""What went wrong in a run: a worker killed, an error of the dataset, a batch that could not be sent, a hang."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.load_hangs import load_hangs
from dlcheck.diagnosis.load_stacks import user_frames
from dlcheck.diagnosis.timeline import Incident, LoaderLife, MachineSample, ProcessSample, WorkerLife
from dlcheck.diagnosis.units import amount

_SHARED_MEMORY = ("shared memory", "/torch_", "/dev/shm", "bus error")
_NO_SPACE = ("no space left", "unable to allocate", "unable to write", "bus error", "cannot allocate memory")
_DESCRIPTORS = ("too many open files", "items of ancdata")
_DOING = {
    "start": "while it was starting",
    "worker_init_fn": "in worker_init_fn",
    "dataset": "while its dataset was being set up",
    "fetch": "while fetching",
    "collate": "while collating",
    "put": "while handing on",
    "idle": "while it had nothing to do",
}
# Memory of which so little is left is used up.
_LITTLE = 0.05


def load_incidents(
    recording: Path,
    logs: list[ProcessLog],
    loaders: tuple[LoaderLife, ...],
    samples: tuple[Sequence[ProcessSample], Sequence[MachineSample]],
    end: int,
    notes: list[str],
) -> tuple[Incident, ...]:
    """All incidents in order of time, one by one. ``end``: when the run ended, on CLOCK_MONOTONIC."""
    by_pid = {log.pid: log for log in logs}
    processes, machine = samples
    incidents = []
    for log in logs:
        incidents += [_dataset_error(log, line, machine) for line in log.said("dataset-error")]
        incidents += [_feeder_error(log, line, loaders, machine) for line in log.said("feeder-error")]
        incidents += _loader_errors(log, processes)
    for loader in loaders:
        for iterator in loader.iterators:
            dead = [worker for worker in iterator.workers if _died(worker)]
            incidents += [_killed(worker, by_pid, processes, machine) for worker in dead]
    dropped = {_trainer(loaders, i.pid) for i in incidents if "never arrives" in i.detail}
    for hang in load_hangs(recording, logs, loaders, end, notes):
        if _trainer(loaders, hang.pid) not in dropped:
            incidents.append(hang)
    return tuple(sorted(incidents, key=lambda incident: incident.t))


def _trainer(loaders: Sequence[LoaderLife], pid: int) -> int:
    """The training process that a worker belongs to; other processes are their own."""
    for loader in loaders:
        for iterator in loader.iterators:
            if any(life.pid == pid for life in iterator.workers):
                return iterator.pid
    return pid


def grouped(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """The first of each kind, saying how many more there were; deaths are told one by one."""
    first: dict[str, Incident] = {}
    more: dict[str, int] = {}
    kept: list[Incident] = []
    for incident in incidents:
        alike = incident.kind in ("dataset-error", "unpicklable-batch", "shared-memory-full")
        if alike and incident.kind in first:
            more[incident.kind] = more.get(incident.kind, 0) + 1
        else:
            first.setdefault(incident.kind, incident)
            kept.append(incident)
    return tuple(
        replace(incident, detail=f"{incident.detail} (and {more[incident.kind]} more like it)")
        if incident is first[incident.kind] and incident.kind in more
        else incident
        for incident in kept
    )


def _is_shared_memory(message: str) -> bool:
    text = message.lower()
    return any(word in text for word in _SHARED_MEMORY) and any(word in text for word in _NO_SPACE)


def _shared_memory(machine: Sequence[MachineSample]) -> str:
    """What is known of /dev/shm, in brackets."""
    totals = [s.shm_total for s in machine if s.shm_total]
    return f" (/dev/shm, {amount(totals[0])} in all)" if totals else " (/dev/shm)"


def _dataset_error(log: ProcessLog, line: dict[str, Any], machine: Sequence[MachineSample]) -> Incident:
    message = f"{line.get('type')}: {line.get('message')}"
    stack = user_frames((str(f), int(n), str(name)) for f, n, name in line.get("stack") or ())
    batch = f"batch {line.get('idx')}"
    if _is_shared_memory(message):
        detail = f"Shared memory{_shared_memory(machine)} is full: {batch} could not be put there ({message})"
        return Incident("shared-memory-full", line["t"], log.pid, detail, stack)
    where = batch
    if line.get("sample") is not None:
        where += f", dataset index {line['sample']}"
    return Incident("dataset-error", line["t"], log.pid, f"{message} ({where})", stack)


def _feeder_error(
    log: ProcessLog, line: dict[str, Any], loaders: Sequence[LoaderLife], machine: Sequence[MachineSample]
) -> Incident:
    """A batch that the worker could not send: torch drops it, and the loop waits for it without end."""
    message = f"{line.get('type')}: {line.get('message')}"
    worker = next(
        (f"worker {w.worker}" for e in loaders for i in e.iterators for w in i.workers if w.pid == log.pid),
        f"process {log.pid}",
    )
    if _is_shared_memory(message):
        why, kind = f"shared memory{_shared_memory(machine)} is full", "shared-memory-full"
    else:
        why, kind = "it cannot be pickled", "unpicklable-batch"
    detail = f"Batch {line.get('idx')} never arrives: {why}, and {worker} has dropped it ({message})"
    return Incident(kind, line["t"], log.pid, detail)


def _loader_errors(log: ProcessLog, processes: Sequence[ProcessSample]) -> list[Incident]:
    incidents = []
    for line in log.said("loader-error"):
        message = str(line.get("message"))
        if "timed out after" in message:
            incidents.append(Incident("hang", line["t"], log.pid, message))
        elif any(word in message.lower() for word in _DESCRIPTORS):
            peak = max((s.fds for s in processes if s.pid == log.pid and s.fds is not None), default=None)
            text = "Too many open files"
            text += f": the training process had {peak} of them" if peak is not None else ""
            text += ". Each tensor that a worker sends holds one open as long as it is kept"
            incidents.append(
                Incident("dataset-error", line["t"], log.pid, f"{text} ({line.get('type')}: {message})")
            )
    return incidents


def _died(worker: WorkerLife) -> bool:
    # 15: torch itself ends workers that do not leave within 5 s of the shutdown.
    return worker.exit_code not in (None, 0, -signal.SIGTERM)


def _killed(
    worker: WorkerLife,
    by_pid: dict[int, ProcessLog],
    processes: Sequence[ProcessSample],
    machine: Sequence[MachineSample],
) -> Incident:
    code = worker.exit_code or 0
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"
    detail = f"Worker {worker.worker} (process {worker.pid}) {how}"
    log = by_pid.get(worker.pid)
    if worker.last_stage in _DOING:
        detail += f" {_DOING[worker.last_stage]}"
        if worker.last_idx is not None and worker.last_stage != "idle":
            detail += f" batch {worker.last_idx}"
    if log is not None and log.current_sample is not None and worker.last_stage == "fetch":
        detail += f", dataset index {log.current_sample[0]}"
    t = log.events[-1].t if log is not None and log.events else worker.process_started or 0
    kind, why = _why_killed(-code, worker.pid, processes, machine)
    return Incident(kind, t, worker.pid, f"{detail}{why}")


def _why_killed(
    number: int, pid: int, processes: Sequence[ProcessSample], machine: Sequence[MachineSample]
) -> tuple[str, str]:
    """The kind of a death by a signal, and what the counters say of its reason."""
    if number == signal.SIGBUS:
        free = min((s.shm_free for s in machine if s.shm_free is not None), default=None)
        total = next((s.shm_total for s in machine if s.shm_total), None)
        if free is not None and total and free < _LITTLE * total:
            return "shared-memory-full", f": shared memory{_shared_memory(machine)} is full"
    if number == signal.SIGKILL:
        kills = [s.cgroup_oom_kills for s in machine if s.cgroup_oom_kills is not None]
        rss = [s.rss for s in processes if s.pid == pid]
        if kills and kills[-1] > kills[0]:
            text = ": the kernel ended it for want of memory (out-of-memory killer)"
            return "worker-killed", text + (f", when it held {amount(rss[-1])}" if rss else "")
        least = min((s.mem_available for s in machine), default=None)
        if least is not None and rss and least < _LITTLE * max(s.mem_available for s in machine):
            return (
                "worker-killed",
                f"; the machine had {amount(least)} of memory left, and it held {amount(rss[-1])}",
            )
    return "worker-killed", ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
