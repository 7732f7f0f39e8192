"""Predicts what a change of settings, or a faster line, would bring: the loop is simulated with and without
it.

A speed-up is the ratio of two simulated times, so that what the simulation gets wrong in both cancels out.
The interval comes from what is uncertain: how far the simulated present is from the measured one, and how
much of the machine other programs will want. Where the simulation cannot reproduce the present, nothing is
predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlcheck.diagnosis.demand import (
    held_up,
    measured_slowdown,
    sampled,
    uncontended,
    with_stalls,
    with_transfer,
    without_firsts,
)
from dlcheck.diagnosis.ground import ground_of, scaled, with_others, with_start_stalls
from dlcheck.diagnosis.loops import LoopEpoch, Work
from dlcheck.diagnosis.machine import Cores
from dlcheck.diagnosis.simulation import Ground, Setup, simulate, slowdown_for
from dlcheck.diagnosis.timeline import LoaderLife

WORST_FIT = 0.35
"""A simulated present further than this from the measured one is no ground for a prediction."""

# How far predictions are off on a calm machine, and how much more where much changes.
_ERROR = 0.03
_ERROR_OF_CHANGE = 0.07
# By how much of itself what others use changes within minutes: as it did between the runs of the scoreboard.
_OTHERS_VARY = 0.5


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a change would bring. ``speedup``: time of the loop now over time then; ``low`` and ``high`` bound
    it.
    """

    change: Mapping[str, Any]
    speedup: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Model:
    """A loop that can be replayed. ``fit``: simulated over measured time of the present settings. ``now``: its
    simulated time with these, in ns, on ``ground`` and on each of ``grounds``.
    """

    epochs: tuple[LoopEpoch, ...]
    setup: Setup
    ground: Ground
    grounds: tuple[Ground, Ground]
    fit: float
    refusal: str
    now: tuple[float, ...]


def build_model(
    loader: LoaderLife,
    epochs: tuple[LoopEpoch, ...],
    cores: Cores,
    runqueue_slowdown: float | None,
    wall_ns: int,
) -> Model | None:
    """The simulation's view of a measured loop; None where there is too little to replay.

    ``runqueue_slowdown``: (CPU + waiting for a core) over CPU of the threads that make batches.
    """
    batches = sum(len(epoch.works) for epoch in epochs)
    if batches < 4 or not wall_ns:
        return None
    setup = setup_of(loader)
    epochs, draw, feed = without_firsts(held_up(epochs))
    slowdown = measured_slowdown(epochs) if runqueue_slowdown is not None else None
    ground = ground_of(loader, epochs, cores, runqueue_slowdown or 1.0, wall_ns)
    ground = replace(ground, start=ground.start + draw, ready=ground.ready + feed)
    replayed, part = sampled(epochs)
    replayed = with_transfer(uncontended(replayed, ground, runqueue_slowdown), loader, setup)
    share = sum(len(epoch.works) for epoch in replayed) / batches
    ground = scaled(ground, part)
    shared = with_others(replayed, setup, ground, slowdown)
    slowdown = slowdown or simulate(replayed, setup, shared).slowdown
    replayed, shared = with_stalls(replayed, slowdown), with_start_stalls(shared, loader)
    ground = shared
    if cores.ahead:
        left = max(0.0, (cores.others or 0.0) - cores.ahead)
        ground = replace(shared, others=min(left, shared.others), taken=cores.ahead)
    # All workers end at once, and share the cores for that.
    alone = ground.shutdown / slowdown_for(max(1, setup.num_workers), ground)
    ground, shared = replace(ground, shutdown=alone), replace(shared, shutdown=alone)
    present = simulate(replayed, setup, ground).wall
    if ground.taken and abs(present / (wall_ns * share) - 1.0) > WORST_FIT:
        ground, present = shared, simulate(replayed, setup, shared).wall
    fit = present / (wall_ns * share)
    others = cores.others or 0.0
    spread = max(cores.others_deviation, _OTHERS_VARY * max(ground.others, others))
    # Some of the others may have as low a priority, and the scheduler may let a group have more for more threads, or not.
    calm = replace(shared if ground.taken else _shifted(ground, -spread), grouped=0.0)
    busy = replace(_shifted(ground, spread), grouped=2.0 * ground.grouped)
    now = (present, *(simulate(replayed, setup, each).wall for each in (calm, busy)))
    return Model(replayed, setup, ground, (calm, busy), fit, _refusal(replayed, fit), now)


def _shifted(ground: Ground, by: float) -> Ground:
    """The same with other programs that use so many more cores."""
    if ground.taken:
        return replace(ground, taken=max(0.0, ground.taken + by))
    return replace(ground, others=max(0.0, ground.others + by))


def predict(model: Model, change: Mapping[str, Any], setup: Setup) -> Prediction | None:
    """What ``setup`` instead of the present one would bring; ``change`` names it. None where nothing can be
    said.
    """
    if model.refusal:
        return None
    grounds = (model.ground, *model.grounds)
    # On a machine that nobody else uses the three are one.
    then = {ground: simulate(model.epochs, setup, ground).wall for ground in dict.fromkeys(grounds)}
    ratios = [now / then[ground] for now, ground in zip(model.now, grounds, strict=True)]
    # What the model misses now it will miss then; how much of that cancels is not known.
    doubt = abs(model.fit - 1.0) / 2
    error = _ERROR + (_ERROR_OF_CHANGE + doubt) * min(1.0, abs(ratios[0] - 1.0))
    return Prediction(change, ratios[0], min(ratios) * (1 - error), max(ratios) * (1 + error))


def calm_loading_share(model: Model) -> float:
    """What part of the loop's time loading would cost on a machine of its own: the loop is simulated with batches
    that take as long as they do, and with batches that take no time. Starts and hand-overs are left out.
    """
    setup = replace(model.setup, persistent=True)
    ground = replace(_running(model.ground), others=0.0, taken=0.0)
    epochs = tuple(replace(e, works=tuple(map(_making_only, e.works))) for e in model.epochs)
    now = simulate(epochs, setup, ground).wall
    free = simulate(epochs, replace(setup, fetch_scale=0.0, collate_scale=0.0), ground).wall
    # The first batch of an epoch is always waited for.
    first = sum(epoch.works[0].busy for epoch in epochs) if setup.num_workers else 0
    return max(0.0, now - first - free) / now if now else 0.0


def steady(model: Model) -> Model:
    """The same loop long after its beginning: what it takes to start workers, and to end them, is left out."""
    ground = _running(model.ground)
    calm, busy = map(_running, model.grounds)
    now = tuple(simulate(model.epochs, model.setup, each).wall for each in (ground, calm, busy))
    return replace(model, ground=ground, grounds=(calm, busy), now=now)


def _running(ground: Ground) -> Ground:
    return replace(ground, start=0.0, ready=0.0, ready_share=0.0, opening=0.0, reset=0.0, shutdown=0.0)


def _making_only(work: Work) -> Work:
    return Work(work.fetch_cpu, work.fetch_off, work.collate_cpu, work.collate_off)


def setup_of(loader: LoaderLife) -> Setup:
    """The present settings."""
    settings = loader.settings
    return Setup(
        num_workers=int(settings.get("num_workers") or 0),
        prefetch_factor=int(settings.get("prefetch_factor") or 2),
        in_order=settings.get("in_order") is not False,
        persistent=bool(settings.get("persistent_workers")),
        pinning=bool(settings.get("pinning")),
    )


def with_workers(setup: Setup, workers: int) -> Setup:
    """The same with another number of workers."""
    return replace(setup, num_workers=workers)


def worker_counts(setup: Setup, cores: Cores, cpu_share: float) -> tuple[int, ...]:
    """Numbers of workers worth a prediction, the present one left out.

    No more than keep the usable cores busy, by the share of its time for which a worker needs a core.
    """
    now = setup.num_workers
    usable = cores.usable or 1.0
    most = max(1, round(usable / max(cpu_share, usable / 32)))
    wanted = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, max(1, now // 2), now + 1, 2 * now, int(usable)}
    return tuple(sorted(n for n in wanted if 0 < n != now and (n <= most or n < now)))


def _refusal(epochs: Sequence[LoopEpoch], fit: float) -> str:
    works = [work for epoch in epochs for work in epoch.works]
    unmeasured = sum(not work.measured for work in works)
    if 2 * unmeasured > len(works):
        return "the clocks of the workers were not recorded"
    if abs(fit - 1.0) > WORST_FIT:
        return (
            f"replayed, the loop takes {fit:.2f} times as long as it did, so the replay misses something here, or"
            " the load of the machine changed during the run"
        )
    return ""
