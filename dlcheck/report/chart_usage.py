"""What the processes of a loader used over time: cores, memory, and reads from storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import LoaderLife, ProcessSample, Timeline

_MOST_TICKS = 300
_LEAST_TICK_NS = 500_000_000
_MOST_WORKERS = 8


def usage(timeline: Timeline, loader: LoaderLife, span: Interval, origin: int) -> dict[str, Any]:
    """Series on common ticks (ns since the run began): the training process, each worker, the whole machine.

    ``cores``: CPU seconds per second. ``rss`` and ``private``: bytes. ``read``: bytes per second that came from
    storage. A worker position is one series, whichever processes held it.
    """
    width = max(_LEAST_TICK_NS, (span[1] - span[0]) // _MOST_TICKS + 1)
    count = (span[1] - span[0]) // width + 1
    by_pid: dict[int, list[ProcessSample]] = {}
    for sample in timeline.processes:
        if span[0] - width <= sample.t <= span[1] + width:
            by_pid.setdefault(sample.pid, []).append(sample)
    positions: dict[int, set[int]] = {}
    for iterator in loader.iterators:
        for life in iterator.workers:
            positions.setdefault(life.worker, set()).add(life.pid)
    named = [("training process", [loader.pid])]
    named += [(f"worker {n}", sorted(positions[n])) for n in sorted(positions)[:_MOST_WORKERS]]
    ticks = _Ticks(span[0], width, count)
    series = [
        {"name": name, **ticks.process([by_pid[pid] for pid in pids if pid in by_pid])}
        for name, pids in named
    ]
    machine = [(s.t, s.cpu_busy_s) for s in timeline.machine if span[0] - width <= s.t <= span[1] + width]
    return {
        "t": [(span[0] - origin + int((n + 0.5) * width)) for n in range(count)],
        "series": series,
        "machine_cores": ticks.rates([machine]),
        "left_out": max(0, len(positions) - _MOST_WORKERS),
    }


class _Ticks:
    """A grid of time on which samples are laid: mean rates, last readings."""

    def __init__(self, begin: int, width: int, count: int) -> None:
        self._begin, self._width, self._count = begin, width, count

    def process(self, lives: Sequence[Sequence[ProcessSample]]) -> dict[str, list[Any]]:
        """The series of one position."""
        return {
            "cores": self.rates([[(s.t, s.cpu_s) for s in life] for life in lives]),
            "read": self.rates(
                [[(s.t, s.read_bytes) for s in life if s.read_bytes is not None] for life in lives]
            ),
            "rss": self._readings((s.t, s.rss) for life in lives for s in life),
            "private": self._readings(
                (s.t, value)
                for life in lives
                for s in life
                if (value := s.private_dirty if s.private_dirty is not None else s.uss) is not None
            ),
        }

    def rates(self, lives: Iterable[Sequence[tuple[int, float]]]) -> list[float | None]:
        """The growth per second of counters, spread over the ticks that it lies in."""
        grown, seen = [0.0] * self._count, [0] * self._count
        for life in lives:
            for (earlier, before), (later, after) in pairwise(life):
                if later <= earlier:
                    continue
                first, last = self._tick(earlier), self._tick(later)
                for number in range(max(0, first), min(self._count - 1, last) + 1):
                    begin = max(earlier, self._begin + number * self._width)
                    part = min(later, self._begin + (number + 1) * self._width) - begin
                    if part > 0:
                        grown[number] += max(0.0, after - before) * part / (later - earlier)
                        seen[number] += part
        return [_rounded(g * 1e9 / s) if s else None for g, s in zip(grown, seen, strict=True)]

    def _readings(self, readings: Iterable[tuple[int, int]]) -> list[int | None]:
        values: list[int | None] = [None] * self._count
        for t, value in readings:
            number = self._tick(t)
            if 0 <= number < self._count:
                values[number] = value
        return values

    def _tick(self, t: int) -> int:
        return (t - self._begin) // self._width


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
