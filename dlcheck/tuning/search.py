"""Which settings are worth a real run: the simulation replays the loop under all that the machine has room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.advice import GAIN
from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.prediction import Model, Prediction, predict, setup_of, steady, worker_counts
from dlcheck.diagnosis.simulation import Setup
from dlcheck.tuning.room import Room

NEAR = 0.97
"""What is nearly as fast, and simpler, is preferred."""

_PROMISING = 0.9
_MOST_PREFETCH = 8
_DRIVER = Path("/proc/driver/nvidia/version")
_FIELDS = {
    "num_workers": "num_workers",
    "prefetch_factor": "prefetch_factor",
    "in_order": "in_order",
    "persistent_workers": "persistent",
    "pin_memory": "pinning",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting to try: what it changes, and what the simulation expects of that (None: it cannot say)."""

    change: Mapping[str, Any]
    prediction: Prediction | None

    @property
    def effort(self) -> tuple[int, int, int, int]:
        """What it costs to live with: the order given up, arguments to change, workers, batches held ready."""
        change = self.change
        workers, prefetch = change.get("num_workers", 0), change.get("prefetch_factor", 2)
        return (change.get("in_order") is False, len(change), workers, prefetch)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be changed without changing what the training computes, and why the rest may not."""

    workers: bool = True
    order: bool = True
    persistence: bool = True
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """What the simulation made of it: how many settings it replayed, those without room, and the best few."""

    replayed: int
    best: tuple[Choice, ...]
    crowded: tuple[str, ...]
    refusal: str


def search(evidence: Evidence, room: Room, allowed: Allowed, most: int) -> Search:
    """The ``most`` settings that promise the largest gains, the most promising first; none where nothing does."""
    model = evidence.model
    if model is not None and not comes_again(evidence):
        # What is started once has been paid before the batches by which settings are compared.
        model = steady(model)
    if model is None or model.refusal:
        refusal = model.refusal if model is not None else "the loop got too few batches"
        return Search(0, _unpredicted(evidence, room, allowed)[:most], (), refusal)
    share = evidence.making.cpu_share
    crowded: set[str] = set()
    found = [
        _choice(model, setup) for setup in _grid(model.setup, evidence, room, allowed, share or 1.0, crowded)
    ]
    known = [choice for choice in found if choice is not None]
    best = _best_few(known, most)
    if _DRIVER.exists() and not model.setup.pinning:
        # Copies from pinned memory can overlap with the step: what that brings is within the step, and not simulated.
        change = {**(best[0].change if best else {}), "pin_memory": True}
        best = (*best[: most - 1], Choice(change, None))
    return Search(len(known) + 1, best, tuple(sorted(crowded)), "")


def comes_again(evidence: Evidence) -> bool:
    """Whether the loop made a second iterator, for which workers are, or would be, started again."""
    return len(evidence.loader.iterators) > 1


def _grid(
    now: Setup, evidence: Evidence, room: Room, allowed: Allowed, share: float, crowded: set[str]
) -> Iterator[Setup]:
    """The settings to replay: every number of workers, and with each what goes with it."""
    counts = {now.num_workers}
    if allowed.workers:
        counts |= {0, *worker_counts(now, evidence.cores, share)}
    for workers in sorted(counts):
        for prefetch in _prefetches(now, workers):
            why = room.refusal(workers, prefetch)
            if why:
                crowded.add(why)
                continue
            orders = {now.in_order} | ({False} if allowed.order and workers > 1 else set())
            persistences = {now.persistent} | (
                {True} if allowed.persistence and comes_again(evidence) else set()
            )
            for order in orders:
                for persistent in persistences if workers else (now.persistent,):
                    setup = replace(
                        now,
                        num_workers=workers,
                        prefetch_factor=prefetch,
                        in_order=order,
                        persistent=persistent,
                    )
                    if setup != now:
                        yield setup
    if now.pinning:
        yield replace(now, pinning=False)


def _prefetches(now: Setup, workers: int) -> tuple[int, ...]:
    if not workers:
        return (now.prefetch_factor,)
    factors = {now.prefetch_factor, 2, 4, _MOST_PREFETCH}
    return tuple(sorted(f for f in factors if f >= now.prefetch_factor))


def _choice(model: Model, setup: Setup) -> Choice | None:
    change = {
        name: getattr(setup, field)
        for name, field in _FIELDS.items()
        if getattr(setup, field) != getattr(model.setup, field)
    }
    prediction = predict(model, change, setup)
    return None if prediction is None else Choice(change, prediction)


def _best_few(choices: Sequence[Choice], most: int) -> tuple[Choice, ...]:
    """One for each number of workers, order kept or not, that comes near the best: the simplest of those like it."""
    speed = {id(choice): choice.prediction.speedup for choice in choices if choice.prediction is not None}
    top = max(speed.values(), default=0.0)
    if top < GAIN:
        return ()
    ordered = max((speed[id(c)] for c in choices if not _gives_up_order(c)), default=1.0)
    kinds: dict[tuple[Any, bool], list[Choice]] = {}
    for choice in choices:
        key = choice.change.get("num_workers"), _gives_up_order(choice)
        # The order is worth more than a gain that no edit would be.
        if not key[1] or speed[id(choice)] >= GAIN * ordered:
            kinds.setdefault(key, []).append(choice)
    picks = []
    for alike in kinds.values():
        best = max(speed[id(choice)] for choice in alike)
        near = [choice for choice in alike if speed[id(choice)] >= NEAR * best]
        pick = min(near, key=lambda choice: choice.effort)
        if speed[id(pick)] >= max(GAIN, _PROMISING * top):
            picks.append(pick)
    simplest = min((p for p in picks if speed[id(p)] >= NEAR * top), key=lambda choice: choice.effort)
    rest = sorted((p for p in picks if p is not simplest), key=lambda choice: -speed[id(choice)])
    return (simplest, *rest)[:most]


def _gives_up_order(choice: Choice) -> bool:
    return choice.change.get("in_order") is False


def _unpredicted(evidence: Evidence, room: Room, allowed: Allowed) -> tuple[Choice, ...]:
    """A few to try where the simulation cannot say anything."""
    now = setup_of(evidence.loader)
    usable = max(1, int(evidence.cores.usable or 1))
    wanted = {max(1, usable // 2), usable, 2 * now.num_workers} if allowed.workers else set()
    counts = [n for n in sorted(wanted) if n > now.num_workers and not room.refusal(n, now.prefetch_factor)]
    choices = [Choice({"num_workers": count}, None) for count in counts]
    if now.num_workers and not room.refusal(now.num_workers, 2 * now.prefetch_factor):
        choices.append(Choice({"prefetch_factor": 2 * now.prefetch_factor}, None))
    return tuple(choices)
