"""How fast a loop is when loading costs nothing: as measured with cached batches, and as the waits predict it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from dlcheck.comparison.intervals import RUN_TO_RUN, Interval, ratio, sample
from dlcheck.diagnosis.loops import step_times
from dlcheck.diagnosis.recording import load_processes_of, read_host
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.tuning.window import Target, epochs_of, gots_of

_FEWEST = 4
_STRETCH = 3
# Right after the workers were shut down.
_SETTLING = 2


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One loader's loop. Times per batch, the step included.

    ``real_s``: as it is, once its first batches were there; ``replayed_s``: with cached batches. ``predicted``: by which
    factor the loop would be faster without its waits; ``measured``: by which it was, with an interval of 95 %; None: too
    few batches.
    """

    target: Target
    workers: int
    real_batches: int
    replayed_batches: int
    real_s: float | None
    replayed_s: float | None
    predicted: float | None
    measured: Interval | None


def ceilings(recording: Path) -> tuple[Ceiling, ...]:
    """The loaders of a run with ``--replay``, those with the most cached batches first."""
    host = read_host(recording)
    steps: dict[str, list[int]] = {}
    for log in host.logs:
        for line in log.said("replayed"):
            steps.setdefault(f"{log.pid}:{line.get('number')}", []).extend(line.get("steps_ns") or ())
    timeline = load_processes_of(host, host.logs)
    found = [_ceiling(loader, steps.get(loader.key, [])) for loader in timeline.loaders]
    return tuple(sorted(found, key=lambda ceiling: -ceiling.replayed_batches))


def _ceiling(loader: LoaderLife, steps: list[int]) -> Ceiling:
    workers = int(loader.settings.get("num_workers") or 0)
    held = workers * int(loader.settings.get("prefetch_factor") or 2)
    batches, own_steps, number = [], [], 0
    for epoch in epochs_of(loader):
        gots = gots_of(epoch)
        # What was ready before the loop began says nothing of how fast it goes on.
        left_out = max(1, min(held, len(gots) // 3)) if number == 0 else 0
        reached = gots[left_out - 1 :] if left_out else [epoch.begin, *gots]
        batches += [later - earlier for earlier, later in pairwise(reached)]
        own_steps += step_times(epoch)[left_out:]
        number += len(gots)
    cached = steps[_SETTLING:]
    real_s = fmean(batches) / 1e9 if len(batches) >= _FEWEST else None
    replayed_s = fmean(cached) / 1e9 if len(cached) >= _FEWEST else None
    step_s = fmean(own_steps) / 1e9 if own_steps else 0.0
    measured = None
    if real_s and replayed_s:
        before, after = (sample(ns, [1.0] * len(ns), _STRETCH) for ns in (batches, cached))
        measured = ratio([after], [before], RUN_TO_RUN) if before and after else None
    return Ceiling(
        target=Target(loader.created_at, loader.dataset),
        workers=workers,
        real_batches=number,
        replayed_batches=len(steps),
        real_s=real_s,
        replayed_s=replayed_s,
        predicted=real_s / step_s if real_s and step_s else None,
        measured=measured,
    )
