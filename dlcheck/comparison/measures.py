"""What is measured of each loader of a run, so that it can be compared with another run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcheck.comparison.intervals import RUN_TO_RUN, Sample, sample
from dlcheck.diagnosis.attribution import CAUSES, Wait, attribute, clocks
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.timeline import LoaderLife, Site
from dlcheck.diagnosis.turns import Turn, turns
from dlcheck.report.model import Report

_FEWEST_BATCHES = 4
_BUSY_NOISE = 0.15
"""Relative deviation from run to run that a machine adds whose cores other programs use for as much as this run may."""

LineKey = tuple[str, str, str]
"""File (see ``from_script``), function and stage: the line itself moves when code is changed."""


@dataclass(frozen=True, slots=True)
class LoaderRun:
    """One loader in one run: all DataLoader objects made at one place for one dataset, on all ranks.

    ``file``: where it is made, from the folder of the run's script (see ``from_script``). Times in seconds.
    ``per_sample``: of the loop, steps and waits, without what comes once at its beginning; ``per_batch`` the same.
    ``wait_share``: waits over waits and steps. ``making``: per batch, in its worker, without waiting for a core.
    ``causes``: waiting per batch. ``warm_up_s``: the waits that come once at the beginning. ``noise``: relative
    deviation to expect from run to run.
    """

    at: Site
    file: str
    dataset: str
    settings: Mapping[str, Any]
    verdicts: tuple[str, ...]
    batches: int
    per_sample: Sample | None
    per_batch: Sample | None
    wait_share: Sample | None
    step: Sample | None
    making: Sample | None
    causes: Mapping[str, Sample]
    warm_up_s: float
    private_bytes: int | None
    lines: Mapping[LineKey, float]
    noise: float


@dataclass
class _Turns:
    """The turns of all loops over a loader, in order: ns of waiting by cause, of steps, of making; samples.

    ``ahead``: how many batches are under way at once.
    """

    waits: list[dict[str, int]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    samples: list[int | None] = field(default_factory=list)
    making: list[int] = field(default_factory=list)
    warm_up: int = 0
    ahead: int = 0


def from_script(report: Report, file: str) -> str:
    """A path from the folder of the run's script, where it lies below it: the same in two copies of a project."""
    main = str(report.diagnosis.environment.get("main") or "")
    folder = os.path.dirname(os.path.join(report.directory, main))  # noqa: PTH118, PTH120
    if folder and file.startswith(folder.rstrip(os.sep) + os.sep):
        return os.path.relpath(file, folder)
    return report.shown(file)


def loader_runs(report: Report) -> dict[tuple[str, int, str], LoaderRun]:
    """The loaders of a run, by the place where they are made (its path as it is shown) and their dataset."""
    lives = {life.key: life for life in report.timeline.loaders}
    grouped: dict[tuple[str, int, str], list[LoaderDiagnosis]] = {}
    for loader in report.diagnosis.loaders:
        at = loader.created_at
        grouped.setdefault((report.shown(at.file), at.line, loader.dataset), []).append(loader)
    return {
        key: _loader_run(report, loaders, [lives[loader.key] for loader in loaders])
        for key, loaders in grouped.items()
    }


def _loader_run(report: Report, loaders: Sequence[LoaderDiagnosis], lives: Sequence[LoaderLife]) -> LoaderRun:
    seen = _turns_of(lives, report.timeline.end)
    first = loaders[0]
    waited = [sum(parts.values()) for parts in seen.waits]
    turned = [wait + step for wait, step in zip(waited, seen.steps, strict=True)]
    one, least = [1.0] * len(turned), max(_FEWEST_BATCHES, seen.ahead)
    counts = [float(count) for count in seen.samples if count is not None]
    seconds = [ns / 1e9 for ns in turned]
    private = [
        use.private_bytes for loader in loaders for use in loader.workers if use.private_bytes is not None
    ]
    return LoaderRun(
        at=Site(report.shown(first.created_at.file), first.created_at.line, first.created_at.function),
        file=from_script(report, first.created_at.file),
        dataset=first.dataset,
        settings=first.settings,
        verdicts=tuple(dict.fromkeys(loader.verdict for loader in loaders)),
        batches=len(turned),
        per_sample=sample(seconds, counts, least) if len(counts) == len(turned) else None,
        per_batch=sample(seconds, one, least),
        wait_share=sample(waited, turned, least),
        step=sample([ns / 1e9 for ns in seen.steps], one, least),
        making=sample([ns / 1e9 for ns in seen.making], [1.0] * len(seen.making), least),
        causes=_causes(seen, one, least),
        warm_up_s=seen.warm_up / 1e9,
        private_bytes=max(private, default=None),
        lines=_lines(report, loaders, len(turned)),
        noise=_noise(loaders),
    )


def _causes(seen: _Turns, one: Sequence[float], least: int) -> dict[str, Sample]:
    found = {
        cause: sample([parts.get(cause, 0) / 1e9 for parts in seen.waits], one, least)
        for cause in CAUSES
        if any(cause in parts for parts in seen.waits)
    }
    return {cause: one for cause, one in found.items() if one is not None}


def _lines(report: Report, loaders: Sequence[LoaderDiagnosis], batches: int) -> dict[LineKey, float]:
    """Seconds of waiting per batch that fall to each function's lines."""
    lines: dict[LineKey, float] = {}
    for loader in loaders:
        for culprit in loader.culprits:
            if culprit.samples and batches:
                key = (from_script(report, culprit.site.file), culprit.site.function, culprit.stage)
                lines[key] = lines.get(key, 0.0) + culprit.wait_s / batches
    return lines


def _noise(loaders: Sequence[LoaderDiagnosis]) -> float:
    shares = [
        others / usable
        for loader in loaders
        if (others := loader.cores.get("others")) is not None and (usable := loader.cores.get("usable"))
    ]
    return RUN_TO_RUN + _BUSY_NOISE * min(1.0, max(shares, default=0.0))


def _turns_of(lives: Sequence[LoaderLife], end: int) -> _Turns:
    seen = _Turns()
    for life in sorted(lives, key=_begun):
        waits = attribute(life, end)
        after = {id(turn.wait): turn for turn in turns(life, waits) if turn.wait is not None}
        seen.ahead = max(seen.ahead, int(life.settings.get("num_workers") or 0) * _prefetch(life))
        owed: dict[str, int] = {}
        for wait in waits:
            if wait.phase == "warm-up":
                seen.warm_up += wait.ns
            else:
                _add(owed, wait)
            turn = after.get(id(wait))
            if turn is not None and turn.batch.got is not None:
                _note(seen, turn, owed)
                owed = {}
        if seen.waits:
            # What came after the last batch: the end of the epoch, the shutdown.
            for cause, ns in owed.items():
                seen.waits[-1][cause] = seen.waits[-1].get(cause, 0) + ns
    return seen


def _note(seen: _Turns, turn: Turn, waited: dict[str, int]) -> None:
    seen.waits.append(waited)
    seen.steps.append(turn.step)
    seen.samples.append(turn.batch.samples)
    costs = [cost for cost in (turn.batch.fetch, turn.batch.collate) if cost is not None]
    if costs:
        seen.making.append(sum(cost.wall_ns - clocks(cost)[1] for cost in costs))


def _add(owed: dict[str, int], wait: Wait) -> None:
    for (cause, _), ns in wait.parts.items():
        owed[cause] = owed.get(cause, 0) + ns


def _prefetch(life: LoaderLife) -> int:
    return int(life.settings.get("prefetch_factor") or 2)


def _begun(life: LoaderLife) -> int:
    return min((epoch.begin for iterator in life.iterators for epoch in iterator.epochs), default=0)
