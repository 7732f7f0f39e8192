"""What was seen of a loader while it was iterated with nothing else to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from dlcheck.diagnosis.attribution import attribute, by_cause, total
from dlcheck.diagnosis.loops import Work, work_of
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.diagnosis.units import duration, share


@dataclass(frozen=True, slots=True)
class Seen:
    """One pass over a loader.

    ``samples_per_s``: from the first batch on, start-up left out. ``capacity_samples_per_s``: what the measured work of
    each batch allows when no other program takes the cores; None where the workers were not seen, or the samples not
    counted. ``causes_s``: waiting by cause. Sizes are those of the largest worker; None: not read.
    """

    batches: int
    samples: int | None
    seconds: float
    batches_per_s: float
    samples_per_s: float | None
    capacity_samples_per_s: float | None
    worker_private_bytes: int | None
    worker_rss_bytes: int | None
    causes_s: Mapping[str, float]

    def why(self) -> str:
        """Where the time went, in one sentence."""
        waited = sum(self.causes_s.values())
        largest = sorted(self.causes_s.items(), key=lambda item: -item[1])[:3]
        if not waited:
            return ""
        named = ", ".join(f"{cause} {share(seconds / waited)}" for cause, seconds in largest)
        return f"It waited {duration(waited * 1e9)} in all: {named}."


def capacity(life: LoaderLife, usable_cores: float) -> float | None:
    """Batches per second that the loader could give, had it its cores to itself and a loop that only takes.

    The least of what the workers, the cores and the receiving process allow; None where the clocks are not known.
    """
    inline = not life.settings.get("num_workers")
    works = [
        work_of(b, inline) for i in life.iterators for e in i.epochs for b in e.batches if b.got is not None
    ]
    if not works or not all(work.measured for work in works):
        return None
    if inline:
        return 1e9 / max(1.0, fmean(work.busy + work.draw for work in works))
    workers = int(life.settings.get("num_workers") or 1)
    limits = (
        workers / max(1.0, _mean(works, "busy")),
        workers / max(1.0, _mean(works, "feed")),
        usable_cores / max(1.0, _mean(works, "cpu")),
        1 / max(1.0, _mean(works, "receive") + _mean(works, "draw")),
    )
    return 1e9 * min(limits)


def causes_s(life: LoaderLife, end: int) -> dict[str, float]:
    """Seconds of waiting by cause, without what comes once at the beginning."""
    waits = [wait for wait in attribute(life, end) if wait.phase not in ("warm-up", "end")]
    return {cause: ns / 1e9 for cause, ns in by_cause(total(waits)).items()}


def _mean(works: Sequence[Work], name: str) -> float:
    return fmean(getattr(work, name) for work in works)
