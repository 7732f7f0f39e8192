"""Compares two runs, or several of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlcheck.comparison import intervals
from dlcheck.comparison.intervals import Interval, Sample
from dlcheck.comparison.matching import match
from dlcheck.comparison.measures import LineKey, LoaderRun, from_script, loader_runs
from dlcheck.comparison.model import Change, Comparison, Line, LoaderChange, Values, Word
from dlcheck.report.model import Report

MARGIN = 0.05
"""A relative difference below this is not worth a word."""

_MEMORY_NOISE = 0.03
_SETTLING_BYTES = 16 << 20
_ENVIRONMENT = (
    "host", "platform", "python", "torch", "cpu_count", "affinity", "cpu_quota", "memory_limit_bytes",
    "shm_total_bytes", "start_method", "main",
)  # fmt: skip
_MOST_LINES = 5


@dataclass(frozen=True, slots=True)
class _Side:
    """The runs of one side, of one loader."""

    runs: tuple[LoaderRun, ...]

    def samples(self, of: Callable[[LoaderRun], Sample | None]) -> list[Sample]:
        """A measure in every run; empty where one does not have it."""
        found = [of(run) for run in self.runs]
        return [one for one in found if one is not None] if None not in found else []

    @property
    def noise(self) -> float:
        return max(run.noise for run in self.runs)


def compare(a: Sequence[Report], b: Sequence[Report], margin: float = MARGIN) -> Comparison:
    """What changed from the runs ``a`` to the runs ``b``; neither is empty."""
    runs_a, runs_b = [loader_runs(report) for report in a], [loader_runs(report) for report in b]
    pairs, only_a, only_b = match(runs_a, runs_b)
    loaders = tuple(_loader(_Side(own_a), _Side(own_b), margin) for own_a, own_b in pairs)
    cured, introduced = _findings(a[0], b[0])
    return Comparison(
        a=tuple(report.recording for report in a),
        b=tuple(report.recording for report in b),
        margin=margin,
        loaders=loaders,
        only_a=only_a,
        only_b=only_b,
        environment=tuple(_values(a[0].diagnosis.environment, b[0].diagnosis.environment, _ENVIRONMENT)),
        cured=cured,
        introduced=introduced,
        regressions=tuple(_regressions(loaders, a, b)),
        notes=tuple(_notes(loaders, a, b)),
    )


def _loader(a: _Side, b: _Side, margin: float) -> LoaderChange:
    first_a, first_b = a.runs[0], b.runs[0]
    by_sample = bool(a.samples(lambda run: run.per_sample) and b.samples(lambda run: run.per_sample))
    noise = max(a.noise, b.noise)
    seconds = (lambda run: run.per_sample) if by_sample else (lambda run: run.per_batch)
    return LoaderChange(
        at_a=first_a.at,
        at_b=first_b.at,
        datasets=(first_a.dataset, first_b.dataset),
        verdicts=(_verdicts(a), _verdicts(b)),
        speed=_speed(
            "samples" if by_sample else "batches", a.samples(seconds), b.samples(seconds), noise, margin
        ),
        measures=tuple(_measures(a, b, noise, margin)),
        causes=tuple(_causes(a, b, noise, margin)),
        settings=tuple(
            _values(first_a.settings, first_b.settings, sorted({*first_a.settings, *first_b.settings}))
        ),
        lines=tuple(_lines(first_a.lines, first_b.lines)),
    )


def _verdicts(side: _Side) -> tuple[str, ...]:
    return tuple(dict.fromkeys(verdict for run in side.runs for verdict in run.verdicts))


def _speed(what: str, a: Sequence[Sample], b: Sequence[Sample], noise: float, margin: float) -> Change:
    """Throughput: the inverse of the time per sample."""
    found = intervals.ratio(b, a, noise)
    word = intervals.judge(found, margin, 1.0, higher_is_better=True)
    return _change(f"{what} per second", "1/s", (_inverse(a), _inverse(b)), True, found, word)


def _change(
    name: str, unit: str, values: tuple[float, float], is_ratio: bool, found: Interval | None, word: Word
) -> Change:
    if found is None:
        return Change(name, unit, *values, is_ratio, None, None, None, word)
    return Change(name, unit, *values, is_ratio, found.value, found.low, found.high, word)


def _inverse(samples: Sequence[Sample]) -> float:
    mean = _mean(samples)
    return 1.0 / mean if mean > 0 else 0.0


def _mean(samples: Sequence[Sample]) -> float:
    return sum(s.mean for s in samples) / len(samples) if samples else 0.0


def _measures(a: _Side, b: _Side, noise: float, margin: float) -> Iterator[Change]:
    share_a, share_b = a.samples(lambda run: run.wait_share), b.samples(lambda run: run.wait_share)
    if share_a and share_b:
        yield _absolute("waits, share of the loop", "", share_a, share_b, noise, margin)
    for name, of in _TIMES:
        times_a, times_b = a.samples(of), b.samples(of)
        if times_a and times_b:
            yield _relative(name, "s", times_a, times_b, noise, margin)
    private_a, private_b = a.samples(_private), b.samples(_private)
    if private_a and private_b:
        change = _relative("private memory of a worker", "B", private_a, private_b, _MEMORY_NOISE, margin)
        yield replace(change, word="same") if abs(change.b - change.a) < _SETTLING_BYTES else change


_TIMES: tuple[tuple[str, Callable[[LoaderRun], Sample | None]], ...] = (
    ("step, per batch", lambda run: run.step),
    ("making a batch", lambda run: run.making),
)


def _private(run: LoaderRun) -> Sample | None:
    return Sample(float(run.private_bytes), 0.0) if run.private_bytes else None


def _relative(
    name: str, unit: str, a: Sequence[Sample], b: Sequence[Sample], noise: float, margin: float
) -> Change:
    """A measure of which less is better, as B over A."""
    found = intervals.ratio(a, b, noise)
    word = intervals.judge(found, margin, 1.0, higher_is_better=False)
    return _change(name, unit, (_mean(a), _mean(b)), True, found, word)


def _absolute(
    name: str, unit: str, a: Sequence[Sample], b: Sequence[Sample], noise: float, margin: float
) -> Change:
    """A measure of which less is better, as B minus A."""
    found = intervals.difference(a, b, noise)
    word = intervals.judge(found, margin, 0.0, higher_is_better=False)
    return _change(name, unit, (_mean(a), _mean(b)), False, found, word)


def _causes(a: _Side, b: _Side, noise: float, margin: float) -> Iterator[Change]:
    """Seconds of waiting per batch by cause, the largest difference first; weighed against the whole turn of A."""
    whole = _mean(a.samples(lambda run: run.per_batch))
    if not whole:
        return
    names = {cause for side in (a, b) for run in side.runs for cause in run.causes}
    nothing = Sample(0.0, 0.0)
    changes = []
    for cause in names:
        samples_a = [run.causes.get(cause, nothing) for run in a.runs]
        samples_b = [run.causes.get(cause, nothing) for run in b.runs]
        changes.append(_absolute(cause, "s", samples_a, samples_b, noise, margin * whole))
    yield from sorted(changes, key=lambda change: (-abs(change.change or 0.0), change.name))


def _values(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> Iterator[Values]:
    for name in names:
        if a.get(name) != b.get(name):
            yield Values(name, a.get(name), b.get(name))


def _lines(a: Mapping[LineKey, float], b: Mapping[LineKey, float]) -> list[Line]:
    lines = [
        Line(file, function, stage, a.get((file, function, stage)), b.get((file, function, stage)))
        for file, function, stage in {**a, **b}
    ]
    return sorted(lines, key=lambda line: -abs((line.a or 0.0) - (line.b or 0.0)))[:_MOST_LINES]


def _findings(a: Report, b: Report) -> tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]]:
    """Findings that are in one run's code only. The line is left out of it: it moves with every edit above it."""

    def described(report: Report) -> dict[tuple[str, ...], Mapping[str, Any]]:
        found: dict[tuple[str, ...], Mapping[str, Any]] = {}
        count: Counter[tuple[str, ...]] = Counter()
        for priced in report.diagnosis.findings:
            finding = priced.finding
            key = (finding.rule, from_script(report, finding.place.file), finding.message)
            count[key] += 1
            numbered = (*key, str(count[key]))
            found[numbered] = {
                "rule": finding.rule,
                "file": report.shown(finding.place.file),
                "line": finding.place.line,
                "message": finding.message,
                "cost_s": priced.cost_s,
            }
        return found

    in_a, in_b = described(a), described(b)
    cured = tuple(value for key, value in in_a.items() if key not in in_b)
    return cured, tuple(value for key, value in in_b.items() if key not in in_a)


def _regressions(loaders: Sequence[LoaderChange], a: Sequence[Report], b: Sequence[Report]) -> Iterator[str]:
    for loader in loaders:
        where = f"{loader.at_b.file}:{loader.at_b.line}"
        if loader.speed.word == "worse":
            yield f"loader {where}: {loader.speed.name} are {loader.speed.change:.2f} of what they were"
        for change in loader.measures:
            if change.name.startswith("private memory") and change.word == "worse":
                yield f"loader {where}: {change.name} is {change.change:.2f} of what it was"
    if _failed(b) and not _failed(a):
        yield "the command of B failed, that of A did not"
    kinds_a = {incident.kind for report in a for incident in report.diagnosis.incidents}
    for kind in sorted({i.kind for report in b for i in report.diagnosis.incidents} - kinds_a):
        yield f"{kind} happened in B, and not in A"


def _failed(reports: Sequence[Report]) -> bool:
    return any(report.diagnosis.exit_code not in (0, None) for report in reports)


def _notes(loaders: Sequence[LoaderChange], a: Sequence[Report], b: Sequence[Report]) -> Iterator[str]:
    if len(a) == len(b) == 1:
        yield (
            "One recording of each: how much runs of one program differ is assumed. Several of each (a folder of"
            " recordings in place of one) would measure it, and narrow the intervals."
        )
    if any(loader.speed.change is None for loader in loaders):
        yield "Where there are too few batches, nothing is judged: about four times as many as are under way are needed."
    host_a, host_b = (reports[0].diagnosis.environment.get("host") for reports in (a, b))
    if host_a != host_b:
        yield f"The runs are of two machines ({host_a}, {host_b}): a difference may be the machine's."
