"""Whether one setting is faster than another, from runs that took turns.

Each round runs every setting once, so that what changes slowly (other programs, heat, caches) changes all of them.
What is compared are the ratios within a round, as logarithms, by Student's t: no assumption on how much runs
scatter, but that it is at least LEAST. Looking after each round whether it is clear by now asks for more than 95 %:
a run is only ended early on an interval of 99 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

LEAST = 0.01
"""Relative deviation of a ratio from round to round that is assumed at least: three lucky runs prove nothing."""

# Student's t, two-sided, for 1 to 4 degrees of freedom; the expansion below is within 1 % from 5 on.
_T = {0.95: (12.706, 4.303, 3.182, 2.776), 0.99: (63.657, 9.925, 5.841, 4.604)}


@dataclass(frozen=True, slots=True)
class Ratio:
    """By which factor one setting is faster than another, with an interval of 95 %, and one of 99 %.

    ``rounds``: how many rounds had both. The interval is None with fewer than two.
    """

    value: float
    rounds: int
    interval: tuple[float, float] | None
    wide: tuple[float, float] | None

    @property
    def is_gain(self) -> bool:
        """Faster, with 95 % certainty."""
        return self.interval is not None and self.interval[0] > 1.0


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """How many times as fast ``fast`` is, from times per batch of the same rounds; there must be one at least."""
    logs = [math.log(a / b) for a, b in zip(slow, fast, strict=True)]
    mean, n = fmean(logs), len(logs)
    if n < 2:
        return Ratio(math.exp(mean), n, None, None)
    error = max(LEAST, stdev(logs)) / math.sqrt(n)
    bounds = []
    for level in (0.95, 0.99):
        reach = t_quantile(level, n - 1) * error
        bounds.append((math.exp(mean - reach), math.exp(mean + reach)))
    return Ratio(math.exp(mean), n, bounds[0], bounds[1])


def t_quantile(level: float, freedom: int) -> float:
    """The quantile of Student's t for a two-sided interval of 0.95 or 0.99."""
    if freedom <= len(_T[level]):
        return _T[level][freedom - 1]
    z = NormalDist().inv_cdf(0.5 + level / 2)
    # Cornish-Fisher expansion in 1 / freedom.
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom**power) for power, term in enumerate(terms, 1))
