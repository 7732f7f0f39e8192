"""The machine during a loop: its cores, who used them, and how much was left."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev

from dlcheck.diagnosis.by_process import by_process
from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import LoaderLife, MachineSample, ProcessSample, Timeline


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores in use, on average over a loop. None: not known.

    ``host``: what the machine has. ``usable``: what affinity and the quota of the control group leave to the
    run. ``own``: used by the run, its training process (``main``) and all workers. ``others``: used by
    everything else on the host, with the deviation of it from interval to interval. ``free``: usable cores
    that nobody used. ``ahead``: the part of ``others`` that comes before this run, whatever it wants, since it has a
    low priority (``nice``) that counts against theirs. ``grouped``: cores are divided among sessions or control
    groups, so that more processes of this run do not get more of them from others.
    """

    host: float | None
    usable: float | None
    own: float | None
    main: float | None
    others: float | None
    others_deviation: float
    free: float | None
    throttled_s: float | None
    ahead: float = 0.0
    grouped: bool = False


class Usage:
    """CPU seconds of all processes of a run, and those of the machine: read once, asked for each loop.

    ``workers``: the process that started each worker, and when. ``unseen``: of each such process, what its workers used
    and no meter shows. ``others``: intervals, and the cores that others used in each.
    """

    def __init__(
        self,
        processes: Sequence[ProcessSample],
        machine: Sequence[MachineSample],
        overhead: Mapping[str, float],
        workers: Mapping[int, tuple[int, int]],
    ) -> None:
        seen = by_process(processes)
        born = {pid: start for pid, (_, start) in workers.items()}
        self.meters = {pid: _meter(samples, born.get(pid)) for pid, samples in seen.items()}
        trainers = {trainer for trainer, _ in workers.values()}
        self.unseen = [_unseen(pid, seen, workers) for pid in sorted(trainers) if pid in seen]
        rates = list(_rates_of_others(machine, overhead, [*self.meters.values(), *self.unseen]))
        ends = sorted(samples[-1].t for pid, samples in seen.items() if pid not in workers)
        self.others = [rate for rate in rates if not _ended_within(ends, *rate[:2])] or rates

    @classmethod
    def of(cls, timeline: Timeline) -> Usage:
        """That of a whole run."""
        lives = [(loader.pid, w) for loader in timeline.loaders for i in loader.iterators for w in i.workers]
        workers = {w.pid: (pid, w.process_start) for pid, w in lives if w.process_start is not None}
        return cls(timeline.processes, timeline.machine, timeline.overhead, workers)


def cores_during(
    timeline: Timeline, loader: LoaderLife, spans: tuple[Interval, ...], usage: Usage | None = None
) -> Cores:
    """Who used the cores while the loops of ``loader`` ran. ``usage``: that of the run, where it was read already."""
    environment = timeline.environment
    limits = [environment.get(key) for key in ("affinity", "cpu_quota", "cpu_count")]
    usable = min((float(limit) for limit in limits if limit), default=None)
    host = environment.get("cpu_count")
    if not spans:
        return Cores(host, usable, None, None, None, 0.0, None, None)
    begin, end = spans[0][0], spans[-1][1]
    usage = usage or Usage.of(timeline)
    main = _rate(usage.meters.get(loader.pid), begin, end)
    rates = (_rate(meter, begin, end) or 0.0 for meter in (*usage.meters.values(), *usage.unseen))
    own = sum(rates) if main is not None else None
    others, deviation = _others(usage.others, begin, end)
    shared_by = environment.get("cpu_shared_by")
    ahead = 0.0
    if shared_by == "process" and (environment.get("nice") or 0) > 0:
        ahead = min(others or 0.0, _normal(timeline, begin, end))
    free = None
    if usable is not None and own is not None:
        free = usable - own
        if others is not None and host:
            free = min(free, host - own - others)
        free = max(0.0, free)
    throttled_s = _throttled_s(timeline, begin, end)
    grouped = shared_by in ("group", "session")
    return Cores(host, usable, own, main, others, deviation, free, throttled_s, ahead, grouped)


_Meter = tuple[list[int], list[float]]


def _meter(samples: Sequence[ProcessSample], born: int | None) -> _Meter:
    """CPU seconds of a process as a broken line. A worker, which was seen being started, begins with none, and what its
    children used is its own.
    """
    times = [s.t for s in samples]
    seconds = [s.cpu_s + ((s.children_cpu_s or 0.0) if born is not None else 0.0) for s in samples]
    if born is not None and times and born < times[0]:
        times.insert(0, born)
        seconds.insert(0, 0.0)
    return times, seconds


def _unseen(
    trainer: int, seen: Mapping[int, Sequence[ProcessSample]], workers: Mapping[int, tuple[int, int]]
) -> _Meter:
    """CPU seconds of workers between the last look at them and their end, or of their whole life where it was short.

    The kernel tells what the children of a process used in all, when they have ended and it has waited for them.
    """
    # The process may have children with loaders of their own: rather too much is taken for seen.
    known = sorted(
        (samples[-1].t, samples[-1].cpu_s + (samples[-1].children_cpu_s or 0.0))
        for pid, samples in seen.items()
        if pid != trainer and workers.get(pid, (trainer, 0))[0] == trainer
    )
    times, seconds = [], []
    left = ended_s = 0.0
    position, before = 0, seen[trainer][0].t
    for sample in seen[trainer]:
        # All are looked at in turn, some ms apart.
        while position < len(known) and known[position][0] < (before + sample.t) / 2:
            ended_s += known[position][1]
            position += 1
        left = max(left, (sample.children_cpu_s or 0.0) - ended_s)
        times.append(sample.t)
        seconds.append(left)
        before = sample.t
    return times, seconds


def _used_s(meter: _Meter, begin: int, end: int) -> float:
    return _read_s(meter, end) - _read_s(meter, begin)


def _read_s(meter: _Meter, t: int) -> float:
    times, seconds = meter
    position = bisect_left(times, t)
    if position == 0:
        return seconds[0]
    if position == len(times):
        return seconds[-1]
    low, high = times[position - 1], times[position]
    return seconds[position - 1] + (seconds[position] - seconds[position - 1]) * (t - low) / (high - low)


def _rate(meter: _Meter | None, begin: int, end: int) -> float | None:
    """Mean cores in use while the process was observed between ``begin`` and ``end``, as a share of that
    time.
    """
    if meter is None or len(meter[0]) < 2:
        return None
    low, high = max(begin, meter[0][0]), min(end, meter[0][-1])
    if high <= low or end <= begin:
        return None
    # What was not observed is taken to be like what was, for the process that lives through the whole loop.
    observed = _used_s(meter, low, high) * 1e9
    return observed / (high - low) if high - low > 0.5 * (end - begin) else observed / (end - begin)


def _rates_of_others(
    samples: Sequence[MachineSample], overhead: Mapping[str, float], meters: list[_Meter]
) -> Iterator[tuple[int, int, float]]:
    """Cores used by everything that is not of this run, nor dlcheck: from one sample of the machine to the next."""
    wall_s = overhead.get("wall_s") or 0.0
    probe = (
        (overhead.get("stacks_cpu_s", 0.0) + overhead.get("monitor_cpu_s", 0.0)) / wall_s if wall_s else 0.0
    )
    meters = [meter for meter in meters if meter[0]]
    # What each had used by then, once for both intervals that meet there.
    used = [sum(_read_s(meter, sample.t) for meter in meters) for sample in samples]
    for (earlier, own), (later, own_later) in pairwise(zip(samples, used, strict=True)):
        ns = later.t - earlier.t
        if ns > 0:
            busy_s = later.cpu_busy_s - earlier.cpu_busy_s
            yield earlier.t, later.t, (busy_s - (own_later - own)) * 1e9 / ns - probe


def _ended_within(ends: Sequence[int], begin: int, end: int) -> bool:
    """Whether a process was looked at for the last time at about ``begin``, and no more at ``end``: what it used between
    is not known, and would be taken for what others used.
    """
    margin = (end - begin) // 2
    return bisect_left(ends, begin - margin) < bisect_left(ends, end - margin)


def _others(seen: Sequence[tuple[int, int, float]], begin: int, end: int) -> tuple[float | None, float]:
    """The mean of what others used between ``begin`` and ``end``, and the deviation from interval to interval."""
    rates = [
        (rate, later - earlier)
        for earlier, later, rate in seen
        if begin - 1e9 <= earlier and later <= end + 1e9
    ]
    if not rates:
        return None, 0.0
    mean = sum(rate * ns for rate, ns in rates) / sum(ns for _, ns in rates)
    deviation = pstdev([rate for rate, _ in rates]) if len(rates) > 1 else abs(fmean(r for r, _ in rates))
    return max(0.0, mean), deviation


def _normal(timeline: Timeline, begin: int, end: int) -> float:
    """Cores that programs without a lowered priority used."""
    values = [
        (s.t, s.cpu_normal_s)
        for s in timeline.machine
        if begin - 1e9 <= s.t <= end + 1e9 and s.cpu_normal_s is not None
    ]
    if len(values) < 2:
        return 0.0
    (begun, earlier), (ended, later) = values[0], values[-1]
    return (later - earlier) * 1e9 / (ended - begun)


def _throttled_s(timeline: Timeline, begin: int, end: int) -> float | None:
    values = [
        s.cgroup_throttled_s
        for s in timeline.machine
        if begin - 1e9 <= s.t <= end + 1e9 and s.cgroup_throttled_s is not None
    ]
    return values[-1] - values[0] if values else None
