"""Loops that waited for a batch that never came: for which batch, whose it was, and where that worker stood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.diagnosis import guard
from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.load_stacks import read_dump, user_frames
from dlcheck.diagnosis.timeline import Batch, Incident, IteratorLife, LoaderLife, Site, WorkerLife
from dlcheck.diagnosis.units import duration
from dlcheck.probe.recording import ERROR, HANG_S

# What the kernel calls the place where a thread sleeps (/proc/PID/task/TID/wchan), by how it begins or what it
# holds, and what that is.
_WAITS = (
    ("futex", "a lock"),
    ("hrtimer_nanosleep", "a sleep"),
    ("do_sys_poll", "a pipe or socket"),
    ("poll_schedule", "a pipe or socket"),
    ("ep_poll", "a pipe or socket"),
    ("pipe_", "a pipe"),
    ("unix_stream", "a socket"),
    ("sk_wait", "the network"),
    ("wait_woken", "the network"),
    ("inet_", "the network"),
    ("nfs", "a network file system"),
    ("rpc_", "a network file system"),
    ("fuse", "a file system"),
    ("io_schedule", "a disk"),
    ("folio_wait", "a disk"),
    ("do_wait", "a process"),
)


@dataclass(frozen=True, slots=True)
class _Stuck:
    """Where a thread stood. ``waits``: the kernel's word for what it waits for; ``active``: it was on a core."""

    pid: int
    stack: tuple[Site, ...]
    waits: str
    active: bool


def load_hangs(
    recording: Path, logs: Sequence[ProcessLog], loaders: Sequence[LoaderLife], end: int, notes: list[str]
) -> Iterator[Incident]:
    """A "hang" for each loop that waited for over HANG_S when the run ended. ``end``: on CLOCK_MONOTONIC."""
    looks = _read_looks(recording, notes)
    by_pid = {log.pid: log for log in logs}
    for log in logs:
        asked, got = log.asked_got
        waited = _given_up(log, asked, end) - asked
        if asked <= got or waited < HANG_S * 1e9:
            continue
        look = looks.get(log.pid, {})
        if look.get("asked") != asked:
            look = {}
        iterator, batch = _awaited(loaders, log.pid, asked)
        lives = {life.worker: life for life in iterator.workers} if iterator is not None else {}
        owner = lives.get(batch.worker) if batch is not None and batch.worker is not None else None
        stuck = _stuck(look, owner.pid if owner is not None else None)
        pid = stuck.pid if stuck is not None else owner.pid if owner is not None else log.pid
        which = "a batch" if batch is None else f"batch {batch.idx}"
        detail = f"The loop waited {duration(waited)} for {which}, which never came"
        life = next((life for life in lives.values() if life.pid == pid), None)
        if iterator is not None and batch is not None and life is not None:
            detail += f": {_doing(iterator, life, batch.idx, by_pid.get(life.pid))}"
        if stuck is not None:
            detail += _waiting_for(stuck)
        yield Incident("hang", asked, pid, detail, stuck.stack if stuck is not None else ())


def _given_up(log: ProcessLog, asked: int, end: int) -> int:
    """When the loop was stopped waiting (Ctrl-C), else the end of the recording: ending workers may take long, too."""
    return min((e.t for e in log.events if e.kind == ERROR and e.a == asked), default=end)


def _read_looks(recording: Path, notes: list[str]) -> dict[int, dict[str, Any]]:
    """The last look at each training process."""
    looks: dict[int, dict[str, Any]] = {}
    for path in sorted((recording / "stacks").glob("hang-*.json")):
        try:
            look = read_dump(path)
            looks[int(look["trainer"])] = look
        except guard.DAMAGE as error:
            notes.append(f"{path.name} is damaged ({type(error).__name__}): its stacks are left out")
    return looks


def _awaited(loaders: Sequence[LoaderLife], pid: int, asked: int) -> tuple[IteratorLife | None, Batch | None]:
    """The iterator that the loop asked, and the batch that it waits for."""
    for loader in loaders:
        for iterator in loader.iterators if loader.pid == pid else ():
            for epoch in iterator.epochs:
                for batch in epoch.batches:
                    if batch.asked == asked and batch.got is None:
                        return iterator, batch
    return None, None


def _doing(iterator: IteratorLife, life: WorkerLife, awaited: int, log: ProcessLog | None) -> str:
    """What a worker was at: the batch that it began and did not hand on."""
    who = f"worker {life.worker} (process {life.pid})"
    own = [b for epoch in iterator.epochs for b in epoch.batches if b.worker == life.worker]
    begun = [b for b in own if b.fetch_begin is not None and b.put is None]
    if not begun:
        ready = life.dataset_ready if life.dataset_ready is not None else life.ready
        return f"{who} " + ("has nothing to do" if ready is not None else "is still starting")
    batch = max(begun, key=lambda b: b.fetch_begin or 0)
    which = "it" if batch.idx == awaited else f"batch {batch.idx}, before it"
    if batch.collate_begin is not None:
        return f"{who} is {'collating' if batch.collate_end is None else 'handing on'} {which}"
    index = f", dataset index {log.current_sample[0]}" if log is not None and log.current_sample else ""
    return f"{who} is making {which}{index}"


def _stuck(look: Mapping[str, Any], owner: int | None) -> _Stuck | None:
    """Who is to blame: the worker that had to make the batch if it is in the dataset, else any that is, else the
    loop itself.
    """
    if not look:
        return None
    trainer = int(look["trainer"])
    found: list[_Stuck] = []
    for pid, threads in look["dumps"].items():
        for thread in threads:
            frames = [(str(f), int(line), str(name)) for f, line, name in thread.get("frames") or ()]
            names = [name.rpartition(".")[2] for _, _, name in frames]
            loading = "_worker_loop" in names and _LOADING & set(names[names.index("_worker_loop") :])
            if loading or (int(pid) == trainer and "__next__" in names):
                waits, active = str(thread.get("waits") or ""), bool(thread.get("active"))
                found.append(_Stuck(int(pid), user_frames(frames), waits, active))
    order = sorted(found, key=lambda stuck: (stuck.pid != owner, stuck.pid == trainer))
    return order[0] if order else None


_LOADING = {"fetch", "init_fn", "worker_init_fn", "create_fetcher"}


def _waiting_for(stuck: _Stuck) -> str:
    if stuck.active:
        return ", and is on the CPU"
    for begin, meaning in _WAITS:
        if begin in stuck.waits:
            return f", and waits for {meaning}"
    return ""
