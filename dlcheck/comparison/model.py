"""The values that a comparison of two runs consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dlcheck.diagnosis.timeline import Site

Word = Literal["better", "worse", "same", "unclear"]
"""``same``: the difference is less than the margin, for certain. ``unclear``: the two cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Change:
    """One measure in both runs.

    ``change``: B over A where ``is_ratio``, else B minus A; ``low`` and ``high`` bound it with 95 %. They are None
    where there were too few batches, and the word is then "unclear".
    """

    name: str
    unit: str
    a: float
    b: float
    is_ratio: bool
    change: float | None
    low: float | None
    high: float | None
    word: Word


@dataclass(frozen=True, slots=True)
class Values:
    """Something that is named and not measured, in both runs: a setting, a version. None: not there."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was waited for. Seconds per batch in each run; None: it was not among the hottest lines."""

    file: str
    function: str
    stage: str
    a: float | None
    b: float | None


@dataclass(frozen=True, slots=True)
class LoaderChange:
    """One loader in both runs: all DataLoader objects that were made at one place for one dataset, on all ranks.

    ``speed`` is what a run is judged by; ``measures`` and ``causes`` say where the difference comes from. Causes
    are seconds of waiting per batch.
    """

    at_a: Site
    at_b: Site
    datasets: tuple[str, str]
    verdicts: tuple[tuple[str, ...], tuple[str, ...]]
    speed: Change
    measures: tuple[Change, ...]
    causes: tuple[Change, ...]
    settings: tuple[Values, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from run A to run B; either may be several recordings of one program.

    ``cured`` and ``introduced``: findings of the code, as rule, place and message. ``regressions``: why B is worse, in words.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    margin: float
    loaders: tuple[LoaderChange, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    environment: tuple[Values, ...]
    cured: tuple[Mapping[str, Any], ...]
    introduced: tuple[Mapping[str, Any], ...]
    regressions: tuple[str, ...]
    notes: tuple[str, ...]
