"""How loading goes at this moment, as a value."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcheck.diagnosis.by_process import by_process
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.timeline import (
    Batch,
    IteratorLife,
    LoaderLife,
    MachineSample,
    Site,
    Timeline,
)
from dlcheck.live.window import recent
from dlcheck.report.chart_rows import ready

WINDOW_S = 20.0
"""How much of the past the figures speak of."""

_DOING = {"idle": "nothing to do", "put": "hands on", "dataset": "sets the dataset up", "ended": "has ended"}


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker: what it does, on which batch, and what its process used. None: not known."""

    worker: int
    pid: int
    doing: str
    cores: float | None
    rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class LoaderState:
    """One loop over a loader. Shares and rates are of the last WINDOW_S seconds; ``batches`` of the whole run. None: not known,
    as in a process that is seen from outside.
    """

    place: str
    dataset: str
    rank: int | None
    batches: int | None
    batches_per_s: float | None
    wait_share: float | None
    now: str
    ready: int | None
    verdict: str
    sentence: str
    workers: tuple[WorkerState, ...]


@dataclass(frozen=True, slots=True)
class LiveState:
    """A run as it stands: seconds since it began, cores that the whole machine uses, shared memory left."""

    running: bool
    seconds: float
    machine_cores: float | None
    shm_free_bytes: int | None
    loaders: tuple[LoaderState, ...]
    incidents: tuple[str, ...]


def look(recording: Path) -> LiveState:
    """Read a recording that is being written. Raises FileNotFoundError or ValueError where there is none."""
    whole = load(recording)
    running = whole.exit_code is None
    now = max(time.monotonic_ns() if running else whole.end, whole.begin)
    window = recent(whole, now, WINDOW_S)
    said = {loader.key: loader for loader in diagnose(window).loaders}
    lives = {life.key: life for life in whole.loaders}
    groups: dict[tuple[Site, str, int | None], list[_Loop]] = {}
    for life in window.loaders:
        loop = _Loop(lives[life.key], life, said[life.key])
        groups.setdefault(_place(life), []).append(loop)
    loaders = [_loader(whole, loops, now) for loops in groups.values()]
    machine = window.machine
    return LiveState(
        running=running,
        seconds=(now - whole.begin) / 1e9,
        machine_cores=machine_cores(machine),
        shm_free_bytes=machine[-1].shm_free if machine else None,
        loaders=tuple(sorted(loaders, key=lambda loader: -(loader.batches_per_s or 0.0))),
        incidents=tuple(f"{incident.kind}: {incident.detail}" for incident in whole.incidents),
    )


@dataclass(frozen=True, slots=True)
class _Loop:
    """A loader in all of the run, and in the last seconds, and what is to be said of it then."""

    life: LoaderLife
    window: LoaderLife
    said: LoaderDiagnosis


def _loader(whole: Timeline, loops: Sequence[_Loop], now: int) -> LoaderState:
    """The loops over loaders made at one place, as in every epoch; the last one tells what is going on, and the longest
    one why.
    """
    last, longest = loops[-1], max(loops, key=lambda loop: loop.said.wall_s)
    life, iterator = last.life, last.life.iterators[-1]
    got = sum(map(_got, (loop.window for loop in loops)))
    span = min(WINDOW_S, (now - whole.begin) / 1e9)
    wall_s = sum(loop.said.wall_s for loop in loops)
    directory = str(whole.environment.get("directory") or "").rstrip("/") + "/"
    same = [one for one in whole.loaders if _place(one) == _place(life)]
    return LoaderState(
        place=f"{life.created_at.file.removeprefix(directory)}:{life.created_at.line}",
        dataset=life.dataset,
        rank=life.rank,
        batches=sum(map(_got, same)),
        batches_per_s=got / span if span > 0 else 0.0,
        wait_share=sum(loop.said.wait_s for loop in loops) / wall_s if wall_s else None,
        now=_now(iterator, now),
        ready=_ready(iterator) if iterator.workers else None,
        verdict=longest.said.verdict,
        sentence=longest.said.sentence,
        workers=tuple(_workers(whole, iterator)),
    )


def _place(life: LoaderLife) -> tuple[Site, str, int | None]:
    return life.created_at, life.dataset, life.rank


def _got(life: LoaderLife) -> int:
    return sum(b.got is not None for i in life.iterators for e in i.epochs for b in e.batches)


def _now(iterator: IteratorLife, now: int) -> str:
    """What the loop does at this moment."""
    epoch = iterator.epochs[-1]
    if epoch.end is not None:
        return f"between loops, {(now - epoch.end) / 1e9:.1f} s"
    waiting = [b for b in epoch.batches if b.asked is not None and b.got is None]
    if waiting:
        batch = waiting[-1]
        by = f" of worker {batch.worker}" if batch.worker is not None else ""
        return f"waits {(now - (batch.asked or now)) / 1e9:.1f} s for batch {batch.idx}{by}"
    last = max((b.got for b in epoch.batches if b.got is not None), default=None)
    return "starts" if last is None else f"in its step, {(now - last) / 1e9:.1f} s"


def _ready(iterator: IteratorLife) -> int:
    def lies(batch: Batch) -> bool:
        return batch.got is None and ready(batch) is not None

    return sum(lies(batch) for batch in iterator.epochs[-1].batches)


def _workers(whole: Timeline, iterator: IteratorLife) -> list[WorkerState]:
    samples = by_process(whole.processes)
    states = []
    for life in iterator.workers:
        own = samples.get(life.pid, [])[-3:]
        doing = _DOING.get(life.last_stage, life.last_stage or "starts")
        if life.last_stage in ("fetch", "collate", "put") and life.last_idx is not None:
            doing += f" batch {life.last_idx}"
        cores = None
        if len(own) > 1 and own[-1].t > own[0].t:
            cores = max(0.0, own[-1].cpu_s - own[0].cpu_s) * 1e9 / (own[-1].t - own[0].t)
        states.append(WorkerState(life.worker, life.pid, doing, cores, own[-1].rss if own else None))
    return states


def machine_cores(samples: tuple[MachineSample, ...]) -> float | None:
    """Cores that everything on the machine uses, of late."""
    own = samples[-5:]
    if len(own) < 2 or own[-1].t <= own[0].t:
        return None
    return (own[-1].cpu_busy_s - own[0].cpu_busy_s) * 1e9 / (own[-1].t - own[0].t)
