"""The values that a diagnosis consists of. Seconds as ``_s``, bytes as ``_bytes``; None: not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlcheck.diagnosis.prediction import Prediction
from dlcheck.diagnosis.ranks import RankLateness
from dlcheck.diagnosis.timeline import Incident, Site
from dlcheck.lint.finding import Finding


@dataclass(frozen=True, slots=True)
class Culprit:
    """A line to blame. ``share``: of the time of its ``stage`` (fetch, collate, sampler); ``wait_s``: of the
    loop's waits.

    ``calls``: the library function that the line spends it in. ``samples``: stack samples on it; 0 where the
    line is the stage's entry point, named for want of samples. ``finding``: the static finding that covers
    the line, or lies in the same function.
    """

    site: Site
    stage: str
    share: float
    wait_s: float
    calls: str
    samples: int
    finding: Finding | None

    @property
    def is_found(self) -> bool:
        """Whether the finding is on the line itself."""
        at = self.finding.place if self.finding is not None else None
        return at is not None and at.line <= self.site.line <= at.end_line


@dataclass(frozen=True, slots=True)
class Advice:
    """One concrete change, in words, with what it would bring where that can be said."""

    text: str
    change: Mapping[str, Any]
    prediction: Prediction | None


@dataclass(frozen=True, slots=True)
class WorkerUse:
    """One worker position over all its processes: what it made, and what it used.

    ``cpu_share``: CPU seconds of its threads' fetches and collates per second of loop; ``busy_share``: the
    same for time spent making batches; ``waited_s``: how long the loop waited for this worker's batches.
    """

    worker: int
    pids: tuple[int, ...]
    batches: int
    cpu_share: float | None
    busy_share: float | None
    waited_s: float
    rss_bytes: int | None
    private_bytes: int | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class LoaderDiagnosis:
    """What is to be said of one loader, the one of the timeline with the same ``key``.

    ``causes_s`` adds up to ``wait_s``; so do ``phases_s``. ``details_s`` says what lies beneath a cause, as
    "cause: detail". ``ceiling``: by which factor the loop would be faster if loading cost nothing. ``made``: how
    many loaders one after the other these were, all made at the same place. ``node``: the host, in a report of several.
    """

    key: str
    created_at: Site
    dataset: str
    settings: Mapping[str, Any]
    rank: int | None
    batches: int
    samples: int | None
    epochs: int
    wall_s: float
    wait_s: float
    causes_s: Mapping[str, float]
    details_s: Mapping[str, float]
    phases_s: Mapping[str, float]
    verdict: str
    sentence: str
    also: tuple[tuple[str, str], ...]
    culprits: tuple[Culprit, ...]
    predictions: tuple[Prediction, ...]
    ceiling: float | None
    advice: tuple[Advice, ...]
    workers: tuple[WorkerUse, ...]
    slow_samples: tuple[tuple[int | None, float], ...]
    cores: Mapping[str, float | None]
    notes: tuple[str, ...]
    made: int = 1
    node: str = ""


@dataclass(frozen=True, slots=True)
class PricedFinding:
    """A static finding with what it was measured to cost: seconds of waiting, and their share of its loader's
    loop.

    ``why``: how the cost was found, or why there is none.
    """

    finding: Finding
    cost_s: float | None
    cost_share: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that is to be said of a run."""

    command: tuple[str, ...]
    exit_code: int | None
    wall_s: float
    begin_ns: int
    loaders: tuple[LoaderDiagnosis, ...]
    incidents: tuple[Incident, ...]
    findings: tuple[PricedFinding, ...]
    environment: Mapping[str, Any]
    overhead: Mapping[str, Any]
    notes: tuple[str, ...]
    ranks: tuple[RankLateness, ...] = ()
