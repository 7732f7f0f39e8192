"""The CPU that starting a worker takes: a new interpreter that imports torch needs a core, and more of them than there
are cores wait for each other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from dlcheck.diagnosis.by_process import by_process
from dlcheck.diagnosis.timeline import LoaderLife, ProcessSample, WorkerLife


def with_starts(loader: LoaderLife, samples: Sequence[ProcessSample]) -> LoaderLife:
    """The loader with ``start_cpu_ns`` of its workers, where they did not say it themselves, and their counters were
    read before and after they were ready.
    """
    by_pid = by_process(samples)
    iterators = tuple(
        replace(
            iterator, workers=tuple(_clocked(life, by_pid.get(life.pid, ())) for life in iterator.workers)
        )
        for iterator in loader.iterators
    )
    return replace(loader, iterators=iterators)


def _clocked(life: WorkerLife, samples: Sequence[ProcessSample]) -> WorkerLife:
    ready = life.dataset_ready if life.dataset_ready is not None else life.ready
    if ready is None or life.process_start is None or life.start_cpu_ns is not None:
        return life
    after = bisect_left(samples, ready, key=lambda sample: sample.t)
    if after == len(samples):
        return life
    # A process begins with none.
    begun, used = (samples[after - 1].t, samples[after - 1].cpu_s) if after else (life.process_start, 0.0)
    later = samples[after]
    part = (ready - begun) / (later.t - begun) if later.t > begun else 1.0
    return replace(life, start_cpu_ns=int((used + part * (later.cpu_s - used)) * 1e9))
