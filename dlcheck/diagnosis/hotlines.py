"""The lines that workers spent their time in: stack samples joined with what each process was doing at that
moment.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.attribution import Wait
from dlcheck.diagnosis.loops import merged
from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import Batch, IteratorLife, LoaderLife, Site, StackSample, Timeline

FEWEST_SAMPLES = 12
"""Fewer samples of a stage say where it was seen, and not what share each line has."""

STAGES = ("fetch", "collate", "sampler", "worker_init_fn")
BESIDE = "thread"
"""Not a stage of loading, but what other threads of the training process compute."""

_LIBRARY_PARTS = frozenset(("site-packages", "dist-packages"))


@dataclass(frozen=True, slots=True)
class HotLine:
    """A line of the user's project and its share of a stage's time.

    ``stage``: one of ``STAGES``, or "thread" (``BESIDE``). ``calls``: the function of a library that it was in most of
    the time, "" where it was none. ``samples``: how many stack samples lie on it, 0 where the line is the
    stage's entry point, named for want of samples. ``waited``: the share is of the time for which the loop
    waited, not of all of the stage's time.
    """

    site: Site
    stage: str
    share: float
    samples: int
    calls: str
    waited: bool


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage that a process was in, and whose it was."""

    begin: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class StageStacks:
    """The stack samples of one stage, cut to the loading code. ``waited``: only those taken while the loop
    waited.
    """

    stage: str
    samples: tuple[StackSample, ...]
    waited: bool

    @property
    def weight_ns(self) -> int:
        """The time for which the samples stand."""
        return sum(sample.weight_ns for sample in self.samples)


def stage_stacks(timeline: Timeline, loader: LoaderLife, waits: Sequence[Wait]) -> tuple[StageStacks, ...]:
    """The samples of each stage; where there are enough of them, only those taken while the loop waited for a
    batch.
    """
    stages = {pid: sorted(own, key=lambda s: s.begin) for pid, own in _stages(loader).items()}
    begins = {pid: [stage.begin for stage in own] for pid, own in stages.items()}
    waiting = merged([(wait.begin, wait.end) for wait in waits if wait.kind == "batch"])
    every: dict[str, list[StackSample]] = {name: [] for name in STAGES}
    awaited: dict[str, list[StackSample]] = {name: [] for name in STAGES}
    for sample in timeline.stacks:
        own = stages.get(sample.pid)
        if own is None or not _is_loading(sample, loader):
            continue
        position = bisect_right(begins[sample.pid], sample.t) - 1
        if position >= 0 and sample.t < own[position].end:
            cut = replace(sample, frames=_below_loader(sample.frames))
            # The clocks of the sampler are a little off; the stack is not.
            name = sample.stage or own[position].name
            every[name].append(cut)
            if _inside(waiting, sample.t):
                awaited[name].append(cut)
    return tuple(
        StageStacks(name, tuple(awaited[name] if waited else every[name]), waited)
        for name in STAGES
        for waited in [len(awaited[name]) >= FEWEST_SAMPLES]
    )


def beside_loop(timeline: Timeline, loader: LoaderLife, waits: Sequence[Wait]) -> StageStacks:
    """What threads of the training process other than the loop's computed while the loop waited."""
    own = [sample for sample in timeline.stacks if sample.pid == loader.pid]
    loops = {sample.thread for sample in own if _is_loading(sample, loader)} | {"", "MainThread"}
    waiting = merged([(wait.begin, wait.end) for wait in waits if wait.kind == "batch"])
    computing = (s for s in own if s.thread not in loops and not s.idle and _inside(waiting, s.t))
    return StageStacks(BESIDE, tuple(computing), True)


def hot_lines(stacks: Sequence[StageStacks], project: Project, loader: LoaderLife) -> tuple[HotLine, ...]:
    """The lines of each stage, hottest first; the entry point of a fetch that has no samples."""
    # A few samples of a thread say nothing of what keeps the loop.
    stacks = [each for each in stacks if each.stage != BESIDE or len(each.samples) >= FEWEST_SAMPLES]
    return tuple(
        line for stage in stacks for line in _lines(stage, project) or _entry_point(stage.stage, loader)
    )


def share_within(stacks: StageStacks, project: Project, file: str, first: int, last: int) -> float:
    """The part of a stage that was spent in lines ``first`` to ``last`` of ``file``, or in what these lines
    call.
    """
    weight = stacks.weight_ns
    if not weight:
        return 0.0
    within = sum(
        sample.weight_ns
        for sample in stacks.samples
        if any(first <= f.line <= last and project.absolute(f.file) == file for f in sample.frames)
    )
    return within / weight


class Project:
    """Tells the user's own files from those of libraries and of the interpreter."""

    def __init__(self, environment: dict[str, Any]) -> None:
        self._directory = str(environment.get("directory") or "")
        version = ".".join(str(environment.get("python") or "").split(".")[:2])
        self._standard = f"{os.sep}lib{os.sep}python{version}{os.sep}" if version else None

    def owns(self, file: str) -> bool:
        """Whether a file is the project's: Python source that no installer has put there."""
        if not file.endswith(".py") or file.startswith("<"):
            return False
        path = self.absolute(file)
        if not _LIBRARY_PARTS.isdisjoint(Path(path).parts):
            return False
        return not (self._standard and self._standard in path)

    def absolute(self, file: str) -> str:
        """The path as the run saw it."""
        return os.path.normpath(os.path.join(self._directory, file))  # noqa: PTH118


def _stages(loader: LoaderLife) -> dict[int, list[_Stage]]:
    stages: dict[int, list[_Stage]] = {}
    for iterator in loader.iterators:
        pids = {life.worker: life.pid for life in iterator.workers}
        for life in iterator.workers:
            if life.init_begin is not None and life.init_end is not None:
                stage = _Stage(life.init_begin, life.init_end, "worker_init_fn")
                stages.setdefault(life.pid, []).append(stage)
        for epoch in iterator.epochs:
            for batch in epoch.batches:
                pid = iterator.pid if batch.worker is None else pids.get(batch.worker)
                if pid is not None:
                    stages.setdefault(pid, []).extend(_stages_of(batch))
                stages.setdefault(iterator.pid, []).extend(_drawing(batch, iterator))
    return stages


def _stages_of(batch: Batch) -> Iterable[_Stage]:
    if batch.fetch_begin is not None:
        # A fetch that never ended lasts for ever: the samples of a hang lie in it.
        end = next((t for t in (batch.collate_begin, batch.put) if t is not None), 1 << 62)
        yield _Stage(batch.fetch_begin, end, "fetch")
    if batch.collate_begin is not None and batch.collate_end is not None:
        yield _Stage(batch.collate_begin, batch.collate_end, "collate")


def _drawing(batch: Batch, iterator: IteratorLife) -> Iterable[_Stage]:
    if batch.index_begin is not None and batch.index_sent is not None:
        yield _Stage(batch.index_begin, batch.index_sent, "sampler")
    elif not iterator.workers and batch.asked is not None and batch.fetch_begin is not None:
        yield _Stage(batch.asked, batch.fetch_begin, "sampler")


def _is_loading(sample: StackSample, loader: LoaderLife) -> bool:
    """Service threads (feeder, resource sharer, pin memory, the loop's other threads) are never loading."""
    if sample.pid != loader.pid:
        return sample.thread in ("", "MainThread") or sample.thread.startswith("pt_data_worker")
    return any(frame.function.rpartition(".")[2] == "__next__" for frame in sample.frames) or any(
        frame.function.endswith("_try_put_index") for frame in sample.frames
    )


def _lines(stacks: StageStacks, project: Project) -> list[HotLine]:
    weight = stacks.weight_ns
    if not weight:
        return []
    own: dict[tuple[str, int, str], list[tuple[StackSample, str]]] = {}
    for sample in stacks.samples:
        culprit, calls = innermost(sample.frames, project)
        if culprit is not None:
            key = (project.absolute(culprit.file), culprit.line, culprit.function)
            own.setdefault(key, []).append((sample, calls))
    lines = []
    for (file, line, function), hits in own.items():
        called: dict[str, int] = {}
        for sample, calls in hits:
            called[calls] = called.get(calls, 0) + sample.weight_ns
        share = sum(sample.weight_ns for sample, _ in hits) / weight
        most = max(called, key=lambda name: called[name])
        lines.append(HotLine(Site(file, line, function), stacks.stage, share, len(hits), most, stacks.waited))
    return sorted(lines, key=lambda line: (-line.share, line.site.file, line.site.line))


def _below_loader(frames: tuple[Site, ...]) -> tuple[Site, ...]:
    """The frames of loading alone: in the process that trains, the loop that asked is no culprit, nor is it in a worker
    that was forked from it, whose stack begins with the loop's.
    """
    for position in range(len(frames) - 1, -1, -1):
        name = frames[position].function.rpartition(".")[2]
        asks = name == "__next__" and "DataLoader" in frames[position].function
        if name in ("_worker_loop", "_try_put_index") or asks:
            return frames[position + 1 :]
    return frames


def innermost(frames: tuple[Site, ...], project: Project) -> tuple[Site | None, str]:
    """The innermost frame of the project, and the function of a library that it calls."""
    for position in range(len(frames) - 1, -1, -1):
        if project.owns(frames[position].file):
            below = frames[position + 1 : position + 2]
            return frames[position], below[0].function if below else ""
    return None, ""


def _entry_point(stage: str, loader: LoaderLife) -> list[HotLine]:
    at = loader.items_at
    if stage != "fetch" or at is None or not any(e.batches for i in loader.iterators for e in i.epochs):
        return []
    return [HotLine(at, stage, 1.0, 0, "", False)]


def _inside(spans: Sequence[Interval], t: int) -> bool:
    position = bisect_right(spans, (t, 1 << 62)) - 1
    return position >= 0 and t < spans[position][1]
