"""Intervals hold what they promise, on simulated runs of which the truth is known."""

from __future__ import annotations

import math
import random

import pytest

from dlcheck.comparison.intervals import Interval, Sample, difference, judge, ratio, sample


def run(draw: random.Random, mean: float, noise: float, batches: int = 400) -> list[float]:
    """Times of batches that resemble their neighbours, of a run that differs from others of its kind by ``noise``."""
    level = mean * math.exp(draw.gauss(0, noise))
    drift, times = 0.0, []
    for _ in range(batches):
        drift = 0.9 * drift + draw.gauss(0, 0.1)
        times.append(level * math.exp(0.3 * drift + draw.gauss(0, 0.2)))
    return times


def mean_of(times: list[float]) -> Sample:
    found = sample(times, [1.0] * len(times), 8)
    assert found is not None
    return found


@pytest.mark.parametrize("runs", [1, 4])
def test_the_true_ratio_lies_within(runs: int) -> None:
    draw = random.Random(7)
    within = narrow = 0
    for _ in range(300):
        a = [mean_of(run(draw, 0.05, 0.02)) for _ in range(runs)]
        b = [mean_of(run(draw, 0.06, 0.02)) for _ in range(runs)]
        found = ratio(a, b, 0.02)
        assert found is not None
        within += found.low <= 1.2 <= found.high
        narrow += found.high / found.low < 1.4
    assert within >= 0.9 * 300
    assert narrow >= 0.9 * 300


def test_the_spread_between_runs_is_learnt_from_several() -> None:
    draw = random.Random(3)
    a = [mean_of(run(draw, 0.05, 0.2)) for _ in range(8)]
    b = [mean_of(run(draw, 0.05, 0.2)) for _ in range(8)]
    wild, calm = ratio(a, b, 0.02), ratio(a[:1], b[:1], 0.02)
    assert wild is not None and calm is not None
    steady = [Sample(0.05, one.variance) for one in a]
    still = ratio(steady, steady, 0.02)
    assert still is not None and still.high - still.low < (wild.high - wild.low) / 3
    assert still.high - still.low < calm.high - calm.low


def test_runs_of_one_program_are_seldom_told_apart() -> None:
    draw = random.Random(11)
    words = []
    for _ in range(300):
        a, b = ([mean_of(run(draw, 0.05, 0.02))] for _ in range(2))
        words.append(judge(ratio(a, b, 0.02), 0.05, 1.0, higher_is_better=False))
    assert words.count("better") + words.count("worse") <= 0.05 * 300


def test_too_little_is_not_judged() -> None:
    few = sample([1.0] * 20, [1.0] * 20, 8)
    assert few is not None and (few.mean, few.variance) == (1.0, None)
    assert ratio([few], [few], 0.02) is None and difference([few], [few], 0.02) is None
    assert judge(None, 0.05, 1.0, higher_is_better=True) == "unclear"
    assert sample([], [], 4) is None and sample([1.0], [0.0], 4) is None
    assert ratio([Sample(0.0, 0.0)], [Sample(1.0, 0.0)], 0.02) is None


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        (Interval(1.3, 1.2, 1.4), "worse"),
        (Interval(0.7, 0.6, 0.8), "better"),
        (Interval(1.01, 0.98, 1.04), "same"),
        (Interval(1.2, 0.9, 1.5), "unclear"),
        (Interval(1.04, 1.03, 1.06), "unclear"),
    ],
)
def test_words(interval: Interval, word: str) -> None:
    assert judge(interval, 0.05, 1.0, higher_is_better=False) == word
    opposite = {"better": "worse", "worse": "better"}.get(word, word)
    assert judge(interval, 0.05, 1.0, higher_is_better=True) == opposite


def test_difference_of_shares() -> None:
    a, b = [Sample(0.5, 1e-4)], [Sample(0.1, 1e-4)]
    found = difference(a, b, 0.02)
    assert found is not None and found.value == pytest.approx(-0.4) and found.low < -0.4 < found.high < -0.3
