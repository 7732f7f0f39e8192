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
from statistics import median
from typing import Any

from dlcheck.diagnosis.loops import LoopEpoch, Step, Work
from dlcheck.diagnosis.machine import Cores
from dlcheck.diagnosis.simulation import Ground, Setup, simulate
from dlcheck.diagnosis.timeline import LoaderLife

MOST_BATCHES = 600
WORST_FIT = 0.35
"""A simulated present further than this from the measured one is no ground for a prediction."""

# Of a batch that a worker sends and that was loaded inline until now; of a tiny one, measured with torch
# 2.13.
_FEED_NS = 300_000
_RECEIVE_NS = 500_000
_OUT_OF_TURN_NS = 100_000
_COPY_BYTES_PER_NS = 1.5
# Start-up of a worker that nobody has seen: a fork; a new interpreter that imports torch.
_FORK_NS = (20e6, 40e6)
_SPAWN_NS = (30e6, 2.5e9)


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
    yields: bool = False,
) -> Model | None:
    """The simulation's view of a measured loop; None where there is too little to replay.

    ``runqueue_slowdown``: (CPU + waiting for a core) over CPU of the workers' threads. ``yields``: the run has a low
    priority, so that other programs may keep what they use, however many workers there are.
    """
    batches = sum(len(epoch.works) for epoch in epochs)
    if batches < 4 or not wall_ns:
        return None
    setup = setup_of(loader)
    slowdown = runqueue_slowdown or 1.0
    epochs = _held_up(epochs)
    ground = _ground(loader, epochs, cores, slowdown, wall_ns)
    replayed = _sample(_with_transfer(_uncontended(epochs, ground, slowdown), loader, setup))
    share = sum(len(epoch.works) for epoch in replayed) / batches
    shared = _fit_others(replayed, setup, ground, runqueue_slowdown)
    ground = replace(ground, others=0.0, taken=cores.others) if yields and cores.others else shared
    present = simulate(replayed, setup, ground).wall
    if ground.taken and abs(present / (wall_ns * share) - 1.0) > WORST_FIT:
        ground, present = shared, simulate(replayed, setup, shared).wall
    fit = present / (wall_ns * share)
    others = cores.others or 0.0
    spread = max(cores.others_deviation, 0.25 * max(ground.others, others))
    # Some of the others may have as low a priority.
    calm = shared if ground.taken else _shifted(ground, -spread)
    busy = _shifted(ground, spread)
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
    error = 0.03 + doubt * min(1.0, abs(ratios[0] - 1.0))
    return Prediction(change, ratios[0], min(ratios) * (1 - error), max(ratios) * (1 + error))


def calm_loading_share(model: Model) -> float:
    """What part of the loop's time loading would cost on a machine of its own: the loop is simulated with batches
    that take as long as they do, and with batches that take no time. Starts and hand-overs are left out.
    """
    setup = replace(model.setup, persistent=True)
    ground = replace(
        model.ground, others=0.0, taken=0.0, start=0.0, ready=0.0, opening=0.0, reset=0.0, shutdown=0.0
    )
    epochs = tuple(
        replace(
            epoch, works=tuple(replace(work, feed=0, receive=0, held_up=0, draw=0) for work in epoch.works)
        )
        for epoch in model.epochs
    )
    now = simulate(epochs, setup, ground).wall
    free = simulate(epochs, replace(setup, fetch_scale=0.0, collate_scale=0.0), ground).wall
    # The first batch of an epoch is always waited for.
    first = sum(epoch.works[0].busy for epoch in epochs) if setup.num_workers else 0
    return max(0.0, now - first - free) / now if now else 0.0


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


def _ground(
    loader: LoaderLife, epochs: Sequence[LoopEpoch], cores: Cores, slowdown: float, wall_ns: int
) -> Ground:
    lives = [life for iterator in loader.iterators for life in iterator.workers]
    starts = [
        life.process_started - life.process_start
        for life in lives
        if life.process_started is not None and life.process_start is not None
    ]
    readies = [
        max(
            0,
            (life.dataset_ready if life.dataset_ready is not None else life.ready or 0)
            - life.process_started,
        )
        for life in lives
        if life.process_started is not None and (life.dataset_ready is not None or life.ready is not None)
    ]
    method = loader.settings.get("start_method")
    guess = _FORK_NS if method in (None, "fork") else _SPAWN_NS
    shutdowns = [
        (i.shutdown_end - i.shutdown_begin) / max(1, len(i.workers))
        for i in loader.iterators
        if i.shutdown_end is not None and i.shutdown_begin is not None and _in_loop(i.shutdown_begin, loader)
    ]
    resets = [
        e.iterator_end - e.iterator_begin
        for i in loader.iterators
        for e in i.epochs[1:]
        if e.iterator_end is not None and e.iterator_begin is not None
    ]
    ready = median(readies) if readies else guess[1]
    clocked = [life.start_cpu_ns for life in lives if life.start_cpu_ns is not None]
    # What nobody has clocked computes: a new interpreter imports, a fork copies.
    cpu = min(ready, median(clocked)) if clocked else ready
    many = max((len(iterator.workers) for iterator in loader.iterators), default=0)
    if ready and many * cpu / ready > 0.9 * (cores.usable or 1.0):
        # They had to share cores: alone each would have been ready sooner.
        ready = cpu
    share = cpu / ready if ready else 0.0
    openings = [b.opening_ns for i in loader.iterators for e in i.epochs for b in e.batches if b.opening_ns]
    usable = cores.usable or 1.0
    return Ground(
        cores=usable,
        host_cores=max(usable, cores.host or usable),
        others=cores.others or 0.0,
        step_cores=_step_cores(epochs, cores, usable, slowdown, wall_ns),
        start=median(starts) if starts else guess[0],
        threads=loader.helpers.cores if loader.helpers is not None else 1.0,
        ready=ready,
        ready_share=share,
        opening=median(openings) if openings else 0.0,
        reset=median(resets) if resets else 2e6,
        shutdown=median(shutdowns) if shutdowns else 5e6,
    )


def _in_loop(t: int, loader: LoaderLife) -> bool:
    """Whether a shutdown kept the loop waiting: it came when the loop asked once more, not when the program
    ended.
    """
    return any(
        e.last_asked is not None and e.end is not None and e.last_asked <= t <= e.end
        for i in loader.iterators
        for e in i.epochs
    )


def _step_cores(
    epochs: Sequence[LoopEpoch], cores: Cores, usable: float, slowdown: float, wall_ns: int
) -> float:
    """How many cores the loop's step uses while it runs with a core to itself."""
    steps = [step for epoch in epochs for step in epoch.steps]
    clocked = [(step.cpu, step.wall - (step.queued or 0)) for step in steps if step.cpu is not None]
    if 2 * len(clocked) > len(steps):
        spent = sum(wall for _, wall in clocked)
        return min(usable, sum(cpu for cpu, _ in clocked) / spent) if spent > 0 else 1.0
    whole = sum(step.wall for step in steps)
    if cores.main is None or not whole:
        return 1.0
    inline = all(not work.feed and not work.receive for epoch in epochs for work in epoch.works)
    loading = sum(
        work.receive + work.draw + (work.cpu if inline else 0) for epoch in epochs for work in epoch.works
    )
    used = max(0.0, cores.main * wall_ns - loading) / whole
    if used >= 1.0:
        return min(usable, used)
    # A step that uses its core for the share u takes 1 + u (slowdown - 1) times as long while others want it
    # too.
    left = 1.0 - used * (slowdown - 1.0)
    return min(1.0, used / left) if left > 0 else 1.0


def _held_up(epochs: tuple[LoopEpoch, ...]) -> tuple[LoopEpoch, ...]:
    """What taking a batch costs the loop itself: as little as it does in the quickest quarter. The rest is waiting for
    the worker that made it. Batches that were taken out of turn, while the loop waited for another, tell nothing.
    """
    taken = sorted(w.receive for epoch in epochs for w in epoch.works if w.receive > _OUT_OF_TURN_NS)
    own = taken[len(taken) // 4] if taken else _OUT_OF_TURN_NS

    def divided(work: Work) -> Work:
        return replace(work, receive=min(work.receive, own), held_up=max(0, work.receive - own))

    return tuple(replace(epoch, works=tuple(map(divided, epoch.works))) for epoch in epochs)


def _uncontended(epochs: Sequence[LoopEpoch], ground: Ground, slowdown: float) -> tuple[LoopEpoch, ...]:
    """Steps as they would be with a core to themselves. Where the loop's thread has no clock of waiting for one,
    it is taken to have waited as the workers did.
    """
    stretch = 1.0 + min(1.0, ground.step_cores) * (slowdown - 1.0)

    def alone(step: Step) -> Step:
        if step.queued is not None:
            return replace(step, wall=max(0, step.wall - step.queued))
        return replace(step, wall=int(step.wall / stretch))

    return tuple(replace(epoch, steps=tuple(map(alone, epoch.steps))) for epoch in epochs)


def _with_transfer(epochs: Sequence[LoopEpoch], loader: LoaderLife, setup: Setup) -> tuple[LoopEpoch, ...]:
    """Where nothing was sent, since batches were made inline: what sending would cost, from their size."""
    if setup.num_workers:
        return tuple(epochs)
    sizes = [
        b.size_bytes
        for i in loader.iterators
        for e in i.epochs
        for b in e.batches
        if b.size_bytes is not None
    ]
    copy = int(median(sizes) / _COPY_BYTES_PER_NS) if sizes else 0

    def sent(work: Work) -> Work:
        return replace(work, feed=_FEED_NS + copy, receive=_RECEIVE_NS)

    return tuple(replace(epoch, works=tuple(map(sent, epoch.works))) for epoch in epochs)


def _sample(epochs: tuple[LoopEpoch, ...]) -> tuple[LoopEpoch, ...]:
    """Enough whole epochs for a replay, spread over the run; of a single long one, its beginning."""
    count = sum(len(epoch.works) for epoch in epochs)
    if count <= MOST_BATCHES:
        return epochs
    longest = max(len(epoch.works) for epoch in epochs)
    keep = max(1, MOST_BATCHES // longest)
    chosen = [epochs[position * len(epochs) // keep] for position in range(min(keep, len(epochs)))]
    return tuple(
        replace(e, works=e.works[:MOST_BATCHES], steps=e.steps[:MOST_BATCHES], owners=e.owners[:MOST_BATCHES])
        for e in chosen
    )


def _fit_others(epochs: Sequence[LoopEpoch], setup: Setup, ground: Ground, slowdown: float | None) -> Ground:
    """Let other programs want as much as explains how long the workers really waited for a core."""
    if slowdown is None or not setup.num_workers or ground.others < 0.05:
        return ground
    low, high = 0.0, 8.0 * ground.host_cores
    if simulate(epochs, setup, replace(ground, others=low)).slowdown >= slowdown:
        return replace(ground, others=low)
    for _ in range(8):
        middle = (low + high) / 2
        if simulate(epochs, setup, replace(ground, others=middle)).slowdown < slowdown:
            low = middle
        else:
            high = middle
    return replace(ground, others=(low + high) / 2)


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
