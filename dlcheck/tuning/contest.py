"""Settings take turns, round by round, until it is clear which is the fastest, or the time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dlcheck.diagnosis.advice import GAIN
from dlcheck.tuning.ratios import Ratio, ratio
from dlcheck.tuning.search import NEAR
from dlcheck.tuning.trials import Trial

Word = Literal["clear", "none", "unclear"]

_FEWEST_ROUNDS = 3
_MOST_ROUNDS = 15


@dataclass
class Entrant:
    """One setting: its times per batch by round (None: not run), and why it is out, if it is.

    ``effort``: of settings that are nearly as fast the one with the least is taken.
    """

    effort: tuple[int, ...]
    times: list[float | None] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    out: str = ""

    def against(self, other: Entrant) -> Ratio | None:
        """How many times as fast this one is, over the rounds that both were run in; None: there are none."""
        pairs = [
            (a, b) for a, b in zip(other.times, self.times, strict=False) if a is not None and b is not None
        ]
        return ratio([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``winner``: the number of the setting to take, where there is a gain that is ``clear``. ``none``: no setting can
    be faster by the factor GAIN; ``unclear``: the time was up first.
    """

    word: Word
    winner: int | None
    rounds: int


def contest(
    entrants: Sequence[Entrant],
    run: Callable[[int, int], Trial],
    left_s: Callable[[], float],
    expected_s: float = 0.0,
) -> Outcome:
    """Let all run in turn; the first is the present setting. ``run``: given the number of an entrant and of the round;
    ``left_s``: how much time there is; ``expected_s``: how long the first run should take. Fills in the times of the entrants.
    """
    for number in range(_MOST_ROUNDS):
        active = [i for i, entrant in enumerate(entrants) if not entrant.out]
        for entrant in entrants:
            entrant.times.append(None)
        # Whoever begins a round this time ends it next time.
        turn = number % len(active)
        for i in active[turn:] + active[:turn]:
            if left_s() < (_expected_s(entrants, i) or expected_s):
                return _outcome(entrants, number)
            tried = run(i, number)
            entrants[i].walls.append(tried.wall_s)
            entrants[i].times[-1] = tried.batch_s
            entrants[i].out = tried.failed
        if number + 1 >= _FEWEST_ROUNDS:
            _drop_the_slow(entrants)
        if entrants[0].out or _is_settled(entrants, number + 1):
            return _outcome(entrants, number + 1)
    return _outcome(entrants, _MOST_ROUNDS)


def _expected_s(entrants: Sequence[Entrant], i: int) -> float:
    """How long a run will take, by those before."""
    walls = entrants[i].walls or [wall for entrant in entrants for wall in entrant.walls]
    return sum(walls) / len(walls) if walls else 0.0


def _drop_the_slow(entrants: Sequence[Entrant]) -> None:
    """Leave out those that are slower than another, with 99 % certainty."""
    present, *others = entrants
    known = [
        (entrant, found) for entrant in others if not entrant.out and (found := entrant.against(present))
    ]
    best = max(known, key=lambda pair: pair[1].value, default=(present, None))[0]
    for entrant, _ in known:
        if entrant is best:
            continue
        found = entrant.against(best)
        if found is not None and found.wide is not None and found.wide[1] < NEAR:
            entrant.out = "slower than another"


def _is_settled(entrants: Sequence[Entrant], rounds: int) -> bool:
    present, *others = entrants
    running = [found for entrant in others if not entrant.out and (found := entrant.against(present))]
    if not running:
        return True
    if rounds < _FEWEST_ROUNDS:
        return False
    best = max(running, key=lambda found: found.value)
    gains = best.value >= GAIN and best.wide is not None and best.wide[0] > 1.0
    return gains or all(_is_no_gain(found) for found in running)


def _is_no_gain(found: Ratio) -> bool:
    return found.interval is not None and found.interval[1] < GAIN


def _outcome(entrants: Sequence[Entrant], rounds: int) -> Outcome:
    present, *others = entrants
    # One that failed in a later round is no winner either.
    found = [(i, other, other.against(present)) for i, other in enumerate(others, 1)]
    known = [
        (i, other, r) for i, other, r in found if r is not None and other.out in ("", "slower than another")
    ]
    gains = [(i, other, r) for i, other, r in known if r.is_gain and r.value >= GAIN]
    if gains and not present.out:
        top = max(r.value for _, _, r in gains)
        near = [(other.effort, i) for i, other, r in gains if r.value >= NEAR * top]
        return Outcome("clear", min(near)[1], rounds)
    settled = rounds > 0 and all((r is not None and _is_no_gain(r)) or other.out for _, other, r in found)
    return Outcome("none" if settled and not present.out else "unclear", None, rounds)
