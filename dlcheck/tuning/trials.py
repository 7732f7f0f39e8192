"""Short real runs of the program, under one setting each."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.recording import load
from dlcheck.probe.launch import Experiment, RunResult
from dlcheck.probe.launch import run as launch
from dlcheck.tuning.window import Target, count, seconds

_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run covers: it ends after ``last`` batches; what is timed begins with the batch after ``first``.

    ``expected_s``: how long it should take, the start of the program included; ``most_s``: seconds of looping after
    which it ends in any case; ``deadline_s``: of all of it.
    """

    first: int
    last: int
    expected_s: float
    most_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One run. ``batch_s``: loop time per batch, None where it ``failed`` (why)."""

    batch_s: float | None
    wall_s: float
    failed: str = ""


class Interrupted(KeyboardInterrupt):
    """Someone wants it all to end."""


def first_run(command: list[str], recording: Path, seconds: float, place: list[Any] | None) -> RunResult:
    """The program as it is, until its loop has run for so long."""
    stop = {"seconds": seconds, "loader": place}
    return _launch(command, recording, Experiment(stop=stop, output=log_of(recording)))


def trial(
    command: list[str], recording: Path, target: Target, change: Mapping[str, Any], bounds: Bounds
) -> Trial:
    """The program with ``change``, for a bounded number of batches."""
    place = target.place
    experiment = Experiment(
        overrides={"changes": dict(change), "loader": place} if change else None,
        stop={"batches": bounds.last, "seconds": bounds.most_s, "loader": place},
        deadline_s=bounds.deadline_s,
        output=log_of(recording),
    )
    result = _launch(command, recording, experiment)
    timeline = load(recording)
    wall_s = (timeline.end - timeline.begin) / 1e9
    left_out = next((note for note in timeline.notes if "was left as it is" in note), None)
    if left_out is not None:
        return Trial(None, wall_s, left_out.removeprefix("--set: "))
    loader = target.find(timeline)
    reached = min(bounds.last, 0 if loader is None else count(loader))
    if loader is None or reached < min(bounds.last, bounds.first + _FEWEST):
        return Trial(None, wall_s, failure(result))
    loop_s = seconds(loader, bounds.first, reached)
    if not loop_s:
        return Trial(None, wall_s, "its time could not be taken")
    return Trial(loop_s / (reached - bounds.first), wall_s)


def failure(result: RunResult) -> str:
    """Why a run did not come far, in a line."""
    try:
        lines = log_of(result.recording).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    said = f": {lines[-1].strip()[:200]}" if lines else ""
    if result.exit_code < 0:
        return f"signal {-result.exit_code} ended it{said}"
    if result.exit_code:
        return f"it ended with status {result.exit_code}{said}"
    return next((note for note in result.notes if "ended" in note), "its loop got too few batches")


def log_of(recording: Path) -> Path:
    """Where a run's output goes."""
    return recording.with_name(recording.name + ".log")


def _launch(command: list[str], recording: Path, experiment: Experiment) -> RunResult:
    recording.parent.mkdir(parents=True, exist_ok=True)
    result = launch(command, recording, sample_stacks=False, experiment=experiment)
    if {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT} & set(result.signals):
        raise Interrupted
    return result
