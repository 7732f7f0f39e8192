"""The samples of a run by the process that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlcheck.diagnosis.timeline import ProcessSample

ByProcess = Mapping[int, Sequence[ProcessSample]]

# The last answer. A run of many ranks is diagnosed rank by rank, each time with the samples of all of them.
_last: tuple[Sequence[ProcessSample], ByProcess] = ((), {})


def by_process(samples: Sequence[ProcessSample]) -> ByProcess:
    """The samples of each process id, in order of time."""
    global _last
    if _last[0] is not samples:
        found: dict[int, list[ProcessSample]] = {}
        for sample in samples:
            found.setdefault(sample.pid, []).append(sample)
        _last = (samples, found)
    return _last[1]
