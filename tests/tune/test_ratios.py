"""How sure a ratio of times is."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from dlcheck.tuning.ratios import LEAST, ratio, t_quantile


@pytest.mark.parametrize(
    ("level", "freedom", "table"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 5, 2.571),
        (0.95, 9, 2.262),
        (0.95, 30, 2.042),
        (0.99, 2, 9.925),
        (0.99, 5, 4.032),
        (0.99, 6, 3.707),
        (0.99, 9, 3.250),
        (0.99, 30, 2.750),
    ],
)
def test_the_quantiles_are_those_of_the_tables(level: float, freedom: int, table: float) -> None:
    assert t_quantile(level, freedom) == pytest.approx(table, rel=0.01)


def test_what_changes_a_whole_round_does_not_count() -> None:
    # The machine becomes four times as slow, for both.
    slow, fast = [0.2, 0.4, 0.8], [0.1, 0.2, 0.4]
    found = ratio(slow, fast)
    assert found.value == pytest.approx(2.0) and found.is_gain
    assert found.interval is not None and found.wide is not None
    assert found.wide[0] < found.interval[0] < 2.0 < found.interval[1] < found.wide[1]
    # Equal ratios do not make it certain: LEAST is assumed.
    assert found.interval[1] / found.interval[0] > 1 + 2 * LEAST


def test_one_round_proves_nothing() -> None:
    found = ratio([2.0], [1.0])
    assert found.value == pytest.approx(2.0) and found.interval is None and not found.is_gain


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    numbers = random.Random(1)
    held = []
    for _ in range(2000):
        slow = [1.5 * numbers.lognormvariate(0, 0.1) for _ in range(4)]
        fast = [numbers.lognormvariate(0, 0.1) for _ in range(4)]
        found = ratio(slow, fast).interval
        assert found is not None
        held.append(found[0] <= 1.5 <= found[1])
    assert fmean(held) == pytest.approx(0.95, abs=0.02)
