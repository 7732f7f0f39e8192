"""Diagnoses recordings with many training processes: one process after the other, on all cores where that pays.

Only what is said of a process is kept of it, so that memory is that of a few ranks and not of all.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from dlcheck.diagnosis.diagnose import examine
from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.load_loaders import match_workers
from dlcheck.diagnosis.machine import Usage
from dlcheck.diagnosis.pieces import Piece
from dlcheck.diagnosis.recording import Host, load_processes_of
from dlcheck.lint.finding import Finding

# Starting processes costs less than reading this much of events (about a second).
_WORTH_BYTES = 4_000_000
_MOST_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be diagnosed: the training processes of the recordings, each as (number of its host, its logs)."""

    hosts: tuple[Host, ...]
    usages: tuple[Usage, ...]
    findings: tuple[Finding, ...]
    parts: tuple[tuple[int, tuple[ProcessLog, ...]], ...]

    def piece(self, number: int) -> Piece:
        """The diagnosis of one training process."""
        host, logs = self.parts[number]
        timeline = load_processes_of(self.hosts[host], logs)
        return examine(timeline, self.findings, self.usages[host])


def divide(host: Host) -> list[tuple[ProcessLog, ...]]:
    """The logs of a recording by training process: its own and those of its workers. What belongs to none goes with the
    first.
    """
    if host.manifest.get("attached"):
        return [host.logs]
    place = {id(log): number for number, log in enumerate(host.logs)}
    part = list(range(len(host.logs)))

    def of(number: int) -> int:
        while part[number] != number:
            number = part[number]
        return number

    trainers = [number for number, log in enumerate(host.logs) if any(log.said("loader"))]
    for (pid, opened, _), workers in match_workers(list(host.logs)).items():
        trainer = next(n for n, log in enumerate(host.logs) if (log.pid, log.opened) == (pid, opened))
        trainers.append(trainer)
        for worker in workers:
            if worker.log is not None:
                # A worker may have workers itself: all of them are one part.
                part[of(place[id(worker.log)])] = of(trainer)
    leaders = sorted({of(number) for number in trainers})
    if len(leaders) < 2:
        return [host.logs]
    parts: dict[int, list[ProcessLog]] = {leader: [] for leader in leaders}
    for number, log in enumerate(host.logs):
        parts[leader if (leader := of(number)) in parts else leaders[0]].append(log)
    return [tuple(logs) for logs in parts.values()]


def diagnose_parts(job: Job) -> Iterator[Piece]:
    """The diagnosis of each training process, in order."""
    processes = _processes(job)
    if processes > 1:
        try:
            yield from _on_all_cores(job, processes)
            return
        except (BrokenProcessPool, OSError):
            # Out of memory, or of processes: one after the other takes longer, and less.
            pass
    yield from map(job.piece, range(len(job.parts)))


def _processes(job: Job) -> int:
    """How many processes are worth their start. A process with threads is not forked: a lock of theirs may be held."""
    if threading.active_count() > 1 or "fork" not in multiprocessing.get_all_start_methods():
        return 1
    if sum(map(_size, job.hosts)) < _WORTH_BYTES:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, len(job.parts), _MOST_PROCESSES)


def _size(host: Host) -> int:
    return sum(path.stat().st_size for path in (host.path / "events").glob("*.bin"))


def _on_all_cores(job: Job, processes: int) -> list[Piece]:
    # What is shared is inherited by fork, and not to be copied because the collector looks at it.
    gc.collect()
    gc.freeze()
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(job,)) as pool:
            return list(pool.map(_piece, range(len(job.parts))))
    finally:
        gc.unfreeze()


_job: Job | None = None


def _begin(job: Job) -> None:
    global _job
    _job = job
    # Batches refer to nothing that refers to them.
    gc.disable()


def _piece(number: int) -> Piece:
    assert _job is not None
    piece = _job.piece(number)
    gc.collect()
    return piece
