"""The time of single samples: quantiles from the histograms, and the slowest ones."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import accumulate

from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.timeline import SampleTimes, SlowSample
from dlcheck.probe.recording import HISTOGRAM_BUCKETS, SAMPLE, UNKNOWN, bucket_midpoint_ns

_SLOWEST = 32


def sample_times(sources: Sequence[tuple[ProcessLog, int | None, Set[int]]]) -> SampleTimes | None:
    """Sample times over the logs of one loader, each with its worker and the serials that are the loader's
    own.

    A training process has one histogram for all that it loads inline: with several such loaders it is theirs
    together.
    """
    slowest = [
        SlowSample(event.t, log.pid, worker, event.idx, None if event.a == UNKNOWN else event.a, event.b)
        for log, worker, serials in sources
        for event in log.events
        if event.kind == SAMPLE and event.serial in serials
    ]
    if not slowest:
        return None
    counts = [0] * HISTOGRAM_BUCKETS
    for log, _, _ in sources:
        for number, count in enumerate(log.histogram):
            counts[number] += count
    slowest.sort(key=lambda sample: -sample.duration_ns)
    return SampleTimes(
        timed=sum(counts),
        p50_ns=_quantile_ns(counts, 0.5),
        p95_ns=_quantile_ns(counts, 0.95),
        p99_ns=_quantile_ns(counts, 0.99),
        slowest=tuple(slowest[:_SLOWEST]),
    )


def _quantile_ns(counts: list[int], share: float) -> int:
    wanted = share * sum(counts)
    for number, below in enumerate(accumulate(counts)):
        if below >= wanted and below:
            return bucket_midpoint_ns(number)
    return 0
