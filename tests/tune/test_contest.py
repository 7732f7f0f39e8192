"""Settings that take turns: who wins, and when it ends."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from dlcheck.tuning.contest import Entrant, Outcome, contest
from dlcheck.tuning.trials import Trial


def play(
    means: Sequence[float],
    scatter: float = 0.02,
    budget_s: float = 1e9,
    fails: tuple[int, ...] = (),
    efforts: Sequence[int] | None = None,
) -> tuple[Outcome, list[Entrant], list[int]]:
    """The contest of settings that take ``means`` seconds per batch; the first is the present one."""
    numbers, order = random.Random(3), list[int]()
    left = [budget_s]

    def run(i: int, number: int) -> Trial:
        order.append(i)
        left[0] -= 10.0
        if i in fails:
            return Trial(None, 10.0, "it failed")
        return Trial(means[i] * numbers.lognormvariate(0, scatter), 10.0)

    entrants = [Entrant((effort,)) for effort in efforts or range(len(means))]
    return contest(entrants, run, lambda: left[0]), entrants, order


def test_a_clear_gain_takes_three_rounds() -> None:
    outcome, entrants, order = play([1.0, 0.5, 0.7])
    assert (outcome.word, outcome.winner, outcome.rounds) == ("clear", 1, 3)
    assert len(order) == 9 and sorted(order[:3]) == [0, 1, 2]
    # Nobody is always first.
    assert [order[0], order[3], order[6]] == [0, 1, 2]
    found = entrants[1].against(entrants[0])
    assert found is not None and found.value == pytest.approx(2.0, rel=0.1)


def test_a_small_gain_takes_more() -> None:
    outcome, _, _ = play([1.0, 0.9], scatter=0.04)
    assert outcome.word == "clear" and outcome.winner == 1 and 3 < outcome.rounds < 15


def test_what_is_slower_than_another_is_left_out_of_later_rounds() -> None:
    _, entrants, order = play([1.0, 0.92, 2.0], scatter=0.025)
    assert entrants[2].out == "slower than another"
    assert order.count(2) == 3 < order.count(1) == order.count(0)


def test_no_gain_is_said_when_none_is_possible() -> None:
    outcome, _, _ = play([1.0, 1.0, 1.3], scatter=0.01)
    assert (outcome.word, outcome.winner) == ("none", None)


def test_it_is_unclear_when_the_time_is_up() -> None:
    outcome, _, order = play([1.0, 0.9], scatter=0.3, budget_s=45.0)
    assert (outcome.word, outcome.winner) == ("unclear", None) and len(order) == 4
    outcome, _, order = play([1.0, 0.5], budget_s=10.0)
    assert outcome.word == "unclear" and len(order) <= 1


def test_of_two_alike_the_one_with_less_effort_is_taken() -> None:
    outcome, _, _ = play([1.0, 0.5, 0.505], scatter=0.002, efforts=(0, 2, 1))
    assert outcome.winner == 2


def test_a_setting_that_fails_is_out_at_once() -> None:
    outcome, entrants, order = play([1.0, 0.4, 0.5], fails=(1,))
    assert outcome.winner == 2 and entrants[1].out == "it failed" and order.count(1) == 1
    outcome, _, order = play([1.0, 0.5], fails=(1,))
    assert outcome.word == "none" and len(order) == 2


def test_it_ends_when_the_present_setting_fails() -> None:
    outcome, entrants, order = play([1.0, 0.5], fails=(0,))
    assert entrants[0].out and outcome.winner is None and len(order) == 2
