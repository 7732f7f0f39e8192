"""Stack samples:

the windows of py-spy and the samples taken inside workers, cut to what the user's code did.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dlcheck.diagnosis import guard
from dlcheck.diagnosis.load_files import read_lines
from dlcheck.diagnosis.shapes import LOOK
from dlcheck.diagnosis.timeline import Batch, Cost, LoaderLife, Site, StackSample

_MOST_BYTES = 64_000_000
_MOST_LINES = 5_000
SAMPLES_TO_JUDGE = 5
TICKS_TO_JUDGE = 5
_LEAST_RATIO = 0.3
_PROBE = re.compile(r"[/\\]dlcheck[/\\]probe[/\\]")
_WORKER_LOOP = "_worker_loop"
_FORK = re.compile(r"[/\\]multiprocessing[/\\]popen_fork\.py$")
_HOOKS = {"timed_fetch": "fetch", "timed_collate": "collate"}
_WAITING = frozenset(("wait", "select", "poll", "_poll", "accept", "recv", "_recv", "acquire", "sleep"))


def load_stacks(
    recording: Path,
    loaders: tuple[LoaderLife, ...],
    notes: list[str],
    activity: Activity,
    pids: Collection[int] | None = None,
) -> tuple[StackSample, ...]:
    """All stack samples, in order of time; or those of the windows that were taken of ``pids``.

    A worker's stack begins below torch's ``_worker_loop``; the probe's own frames are left out. py-spy does
    not say which samples of a window were idle. Other windows hold active threads only: a line that is seen
    in them less than half as often waits. Where that is not known, a sample is taken to be idle when its
    thread was blocked for most of the stage (fetch, collate) that it lies in, or waits in a queue.
    """
    stages = _Stages(loaders)
    samples: list[StackSample] = []
    paths = [path for path in (recording / "stacks").glob("*-*") if pids is None or _pid_of(path) in pids]
    for path in sorted(paths):
        try:
            if path.name.startswith("window-"):
                samples += _window(path, stages, activity)
            elif path.name.startswith("inside-"):
                samples += _inside(path, stages, notes)
        except guard.DAMAGE as error:
            notes.append(_damaged(path, error))
    return tuple(sorted(samples, key=lambda sample: sample.t))


def files_of(recording: Path) -> set[str]:
    """The source files that stack samples name, but not those of damaged ones."""
    files: set[str] = set()
    for path in sorted((recording / "stacks").glob("*")):
        with contextlib.suppress(*guard.DAMAGE):
            if path.name.startswith("window-"):
                files |= {str(frame[0]) for frame in _read(path)["frames"]}
            elif path.name.startswith("inside-"):
                lines = islice(read_lines(path, []), _MOST_LINES)
                files |= {str(frame[0]) for line in lines for frame in line["frames"]}
    return files


def _pid_of(path: Path) -> int:
    """The process that a file of stacks was taken of, by its name."""
    number = path.name.split("-")[1]
    return int(number) if number.isdecimal() else 0


def _damaged(path: Path, error: Exception) -> str:
    return f"{path.name} is damaged ({type(error).__name__}): its stack samples are left out"


def user_frames(frames: Iterable[tuple[str, int, str]], forked: bool = False) -> tuple[Site, ...]:
    """A stack, innermost last: of a worker what lies below its loop, without the probe's frames.

    ``forked``: it was taken in a worker. One that has not come to its loop yet stands on the frames of the process that
    forked it, which are not what it does.
    """
    sites: list[Site] = []
    for file, line, function in frames:
        if function.rpartition(".")[2] == _WORKER_LOOP or (forked and _FORK.search(file)):
            sites.clear()
        elif not _PROBE.search(file):
            sites.append(Site(file, line, function))
    return tuple(sites)


def _stage(frames: Iterable[tuple[str, int, str]]) -> str:
    """The stage that a stack is in, by the probe's own frames in it."""
    stage = ""
    for file, _, function in frames:
        if _PROBE.search(file):
            stage = _HOOKS.get(function.rpartition(".")[2], stage)
    return stage


def _read(path: Path) -> dict[str, Any]:
    table = guard.read_json(path, _MOST_BYTES)
    if not isinstance(table, dict):
        raise ValueError("not an object")
    return table


def _window(path: Path, stages: _Stages, activity: Activity) -> Iterator[StackSample]:
    table = _read(path)
    frames = [(str(file), int(line), str(function)) for file, line, function in table["frames"]]
    stacks = [user_frames(frames[number] for number in stack) for stack in table["stacks"]]
    forked = [user_frames((frames[number] for number in stack), True) for stack in table["stacks"]]
    named = [_stage(frames[number] for number in stack) for stack in table["stacks"]]
    for t, pid, _, thread, stack, weight in table["samples"]:
        sites = (forked if pid in stages.workers else stacks)[stack]
        if sites:
            idle = activity.idle(sites[-1])
            if idle is None:
                idle = stages.idle(pid, t, sites)
            name = str(table["threads"][thread])
            yield StackSample(int(t), int(pid), name, idle, sites, int(weight), named[stack])


def _inside(path: Path, stages: _Stages, notes: list[str]) -> Iterator[StackSample]:
    pid = int(path.name.split("-")[1])
    for line in read_lines(path, notes):
        sites = user_frames(tuple(frame) for frame in line["frames"])
        if sites:
            idle = stages.idle(pid, line["t"], sites) if line["idle"] is None else bool(line["idle"])
            yield StackSample(int(line["t"]), pid, "MainThread", idle, sites, int(line["weight_ns"]))


class Activity:
    """How often each line is seen with idle threads and without, in samples per tick of the sampler."""

    def __init__(self, directory: Path, notes: list[str]) -> None:
        self._seen: dict[tuple[str, int], list[float]] = {}
        self._ticks = [0.0, 0.0]
        for path in sorted(directory.glob("*.json")):
            try:
                if path.name.startswith("active-"):
                    self._take_active(_read(path))
                elif path.name.startswith("window-"):
                    self._take_all(_read(path))
            except guard.DAMAGE as error:
                notes.append(_damaged(path, error))
        # On a busy machine py-spy misses ticks, more of them in one window than in another: the line that
        # works the most tells how many.
        ratios = [ratio for place in self._seen if (ratio := self._ratio(place)) is not None]
        self._most = min(1.0, max(_LEAST_RATIO, *ratios, 0.0))

    def idle(self, site: Site) -> bool | None:
        """Whether ``site`` waits, rather than works; None where that is not known."""
        ratio = self._ratio((site.file, site.line))
        return None if ratio is None else 2 * ratio < self._most

    def _ratio(self, place: tuple[str, int]) -> float | None:
        everything, active = self._seen.get(place, (0.0, 0.0))
        if everything < SAMPLES_TO_JUDGE or self._ticks[1] < TICKS_TO_JUDGE:
            return None
        return active / self._ticks[1] / (everything / self._ticks[0])

    def _take_all(self, table: dict[str, Any]) -> None:
        self._ticks[0] += table["rate"] * (table["end"] - table["begin"]) / 1e9
        frames = [tuple(frame) for frame in table["frames"]]
        stacks = [user_frames(frames[number] for number in stack) for stack in table["stacks"]]
        weights: dict[int, int] = {}
        for _, _, _, _, stack, weight in table["samples"]:
            weights[stack] = weights.get(stack, 0) + weight
        for stack, weight in weights.items():
            if stacks[stack]:
                site = stacks[stack][-1]
                self._seen.setdefault((site.file, site.line), [0.0, 0.0])[0] += weight * table["rate"] / 1e9

    def _take_active(self, table: dict[str, Any]) -> None:
        self._ticks[1] += table["rate"] * (table["end"] - table["begin"]) / 1e9
        for file, line, _, count in table["leaves"]:
            self._seen.setdefault((file, line), [0.0, 0.0])[1] += count


class _Stages:
    """The fetches and collates of each process, to look up which one a moment lies in; and who the workers are."""

    def __init__(self, loaders: tuple[LoaderLife, ...]) -> None:
        spans: dict[int, list[tuple[int, int, bool]]] = {}
        for loader in loaders:
            for iterator in loader.iterators:
                pids = {worker.worker: worker.pid for worker in iterator.workers}
                for epoch in iterator.epochs:
                    for batch in epoch.batches:
                        pid = iterator.pid if batch.worker is None else pids.get(batch.worker, 0)
                        spans.setdefault(pid, []).extend(_spans(batch))
        self.workers = {w.pid for life in loaders for iterator in life.iterators for w in iterator.workers}
        self._spans = {pid: sorted(own) for pid, own in spans.items()}
        self._begins = {pid: [begin for begin, _, _ in own] for pid, own in self._spans.items()}

    def idle(self, pid: int, t: int, sites: tuple[Site, ...]) -> bool:
        position = bisect_right(self._begins.get(pid, []), t) - 1
        if position >= 0:
            _, end, blocked = self._spans[pid][position]
            if t < end:
                return blocked
        return sites[-1].function.rpartition(".")[2] in _WAITING


def _spans(batch: Batch) -> Iterator[tuple[int, int, bool]]:
    for begin, end, cost in (
        (batch.fetch_begin, batch.collate_begin, batch.fetch),
        (batch.collate_begin, batch.collate_end, batch.collate),
    ):
        if begin is not None and end is not None:
            yield begin, end, _mostly_blocked(cost)


def _mostly_blocked(cost: Cost | None) -> bool:
    return cost is not None and cost.blocked_ns is not None and 2 * cost.blocked_ns > cost.wall_ns


def read_dump(path: Path) -> dict[str, Any]:
    """One look at a waiting loop (``dlcheck.probe.hangs``). Raises OSError or ValueError when damaged."""
    look = _read(path)
    if guard.prune(look, LOOK, ("trainer", "dumps")):
        raise ValueError("not a look")
    return look
