"""How far two measured means can be told apart.

Batches that follow each other are alike (they queue behind each other, share a cache, lie in one epoch), so the
spread of a mean is taken from the means of stretches of the run, and not from single batches. And two runs of
one and the same program differ by more than their stretches tell: that spread is measured where there are
several recordings of each side, and otherwise taken to be RUN_TO_RUN, more on a busy machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, pvariance, variance

from dlcheck.comparison.model import Word

RUN_TO_RUN = 0.02
"""Relative deviation of the mean of a run from run to run, on a quiet machine."""

_PRIOR_RUNS = 8
"""How many degrees of freedom that assumption weighs as much as."""

_FEWEST_STRETCHES = 4
_MOST_STRETCHES = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """A measure in one run: its mean, and the variance of that mean as the run's stretches show it; None: too few."""

    mean: float
    variance: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds."""

    value: float
    low: float
    high: float


def sample(amounts: Sequence[float], weights: Sequence[float], least: int) -> Sample | None:
    """The mean of ``amounts`` per unit of ``weights``, by stretches of at least ``least`` entries; None: of nothing."""
    if sum(weights) <= 0:
        return None
    mean = sum(amounts) / sum(weights)
    count = min(_MOST_STRETCHES, len(amounts) // max(1, least))
    if count < _FEWEST_STRETCHES:
        return Sample(mean, None)
    bounds = [len(amounts) * number // count for number in range(count + 1)]
    average = sum(weights) / count
    # Of a ratio of sums: the residuals of its stretches (linearised).
    residuals = [
        (sum(amounts[low:high]) - mean * sum(weights[low:high])) / average for low, high in pairwise(bounds)
    ]
    return Sample(mean, variance(residuals) / count)


def difference(a: Sequence[Sample], b: Sequence[Sample], noise: float) -> Interval | None:
    """B minus A; None where there is too little to say it.

    ``noise``: relative deviation from run to run that is assumed where it was not measured.
    """
    return _interval(a, b, noise, logarithmic=False)


def ratio(a: Sequence[Sample], b: Sequence[Sample], noise: float) -> Interval | None:
    """B over A, of means above zero; None where there is too little to say it."""
    if min((s.mean for s in (*a, *b)), default=0.0) <= 0:
        return None
    found = _interval(a, b, noise, logarithmic=True)
    if found is None:
        return None
    return Interval(*(math.exp(value) for value in (found.value, found.low, found.high)))


def judge(interval: Interval | None, margin: float, neutral: float, higher_is_better: bool) -> Word:
    """What an interval says, against the value ``neutral`` that stands for no change at all."""
    if interval is None:
        return "unclear"
    low, high = interval.low - neutral, interval.high - neutral
    if low > 0 and interval.value - neutral >= margin:
        return "better" if higher_is_better else "worse"
    if high < 0 and interval.value - neutral <= -margin:
        return "worse" if higher_is_better else "better"
    return "same" if -margin < low and high < margin else "unclear"


def _interval(a: Sequence[Sample], b: Sequence[Sample], noise: float, logarithmic: bool) -> Interval | None:
    if not a or not b or any(s.variance is None for s in (*a, *b)):
        return None
    means = [[math.log(s.mean) if logarithmic else s.mean for s in side] for side in (a, b)]
    scale = 1.0 if logarithmic else math.sqrt(fmean(s.mean**2 for s in (*a, *b)))
    within = [[(s.variance or 0.0) / (s.mean**2 if logarithmic else 1.0) for s in side] for side in (a, b)]
    freedom = len(a) + len(b) - 2
    seen = sum(pvariance(side) * len(side) for side in means)
    between = (_PRIOR_RUNS * (noise * scale) ** 2 + seen) / (_PRIOR_RUNS + freedom)
    spread = sum(
        between / len(side) + sum(own) / len(side) ** 2 for side, own in zip(means, within, strict=True)
    )
    reach = _t_quantile(_PRIOR_RUNS + freedom) * math.sqrt(spread)
    value = fmean(means[1]) - fmean(means[0])
    return Interval(value, value - reach, value + reach)


def _t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish-Fisher expansion; within 0.5 % from 4 degrees of freedom on)."""
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
