"""The main figures of a run for those who monitor many: OpenMetrics text (Prometheus), OTLP JSON (OpenTelemetry).

All are gauges: what one run came to. Loaders made anew at one place, as in every epoch, are summed up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from dlcheck import __version__
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.report.model import Report

Labels = tuple[tuple[str, str], ...]

_ESCAPED = re.compile(r'[\\"\n]')


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. ``unit``: as OpenMetrics names it, "" for counts and ratios; ``points``: values by labels."""

    name: str
    unit: str
    help: str
    points: Mapping[Labels, float]


def metrics(report: Report) -> Iterator[Metric]:
    """All figures of a run that are known."""
    diagnosis = report.diagnosis
    groups: dict[Labels, list[LoaderDiagnosis]] = {}
    for loader in diagnosis.loaders:
        groups.setdefault(_labels(report, loader), []).append(loader)
    yield Metric("dlcheck_run_seconds", "seconds", "Duration of the run.", {(): diagnosis.wall_s})
    if diagnosis.exit_code is not None:
        yield Metric("dlcheck_exit_code", "", "Exit status of the command.", {(): float(diagnosis.exit_code)})
    yield Metric(
        "dlcheck_events",
        "",
        "Incidents, such as workers killed and hangs.",
        _counted((i.kind,) for i in diagnosis.incidents),
    )
    yield Metric(
        "dlcheck_findings",
        "",
        "Findings in the code of the run.",
        _counted((p.finding.rule,) for p in diagnosis.findings),
    )
    yield from _loops(groups)
    yield from _workers(groups)


def _loops(groups: Mapping[Labels, list[LoaderDiagnosis]]) -> Iterator[Metric]:
    sums: list[tuple[str, str, str, dict[Labels, float]]] = [
        ("dlcheck_loop_seconds", "seconds", "Duration of the loops over a loader.",
         {labels: sum(one.wall_s for one in own) for labels, own in groups.items()}),
        ("dlcheck_batches", "", "Batches that the loops got.",
         {labels: float(sum(one.batches for one in own)) for labels, own in groups.items()}),
        ("dlcheck_samples", "", "Samples that the loops got.",
         {labels: float(sum(one.samples or 0 for one in own)) for labels, own in groups.items()
          if all(one.samples is not None for one in own)}),
    ]  # fmt: skip
    for name, unit, text, points in sums:
        yield Metric(name, unit, text, points)
    waits: dict[Labels, float] = {}
    for labels, own in groups.items():
        for loader in own:
            for cause, seconds in loader.causes_s.items():
                key = (*labels, ("cause", cause))
                waits[key] = waits.get(key, 0.0) + seconds
    yield Metric("dlcheck_wait_seconds", "seconds", "Waits of the loops for batches, by cause.", waits)
    leading = {labels: max(own, key=lambda one: one.wait_s).verdict for labels, own in groups.items()}
    verdicts = {(*labels, ("verdict", verdict)): 1.0 for labels, verdict in leading.items()}
    yield Metric("dlcheck_verdict", "", "1 for the verdict on a loader.", verdicts)


def _workers(groups: Mapping[Labels, list[LoaderDiagnosis]]) -> Iterator[Metric]:
    rss: dict[Labels, float] = {}
    private: dict[Labels, float] = {}
    for labels, own in groups.items():
        for loader in own:
            for use in loader.workers:
                key = (*labels, ("worker", str(use.worker)))
                for values, size in ((rss, use.rss_bytes), (private, use.private_bytes)):
                    if size is not None:
                        values[key] = max(values.get(key, 0.0), float(size))
    yield Metric("dlcheck_worker_rss_bytes", "bytes", "Largest resident memory of a worker.", rss)
    yield Metric("dlcheck_worker_private_bytes", "bytes", "Largest private memory of a worker.", private)


def _labels(report: Report, loader: LoaderDiagnosis) -> Labels:
    at = loader.created_at
    labels = [("loader", f"{report.shown(at.file)}:{at.line}"), ("dataset", loader.dataset)]
    return tuple(labels + ([("rank", str(loader.rank))] if loader.rank is not None else []))


def _counted(kinds: Iterator[tuple[str]]) -> dict[Labels, float]:
    counts: dict[Labels, float] = {}
    for (kind,) in kinds:
        key = (("kind", kind),)
        counts[key] = counts.get(key, 0.0) + 1
    return counts


def write_openmetrics(report: Report, file: TextIO) -> None:
    """Write OpenMetrics 1.0 text."""
    for metric in metrics(report):
        file.write(f"# TYPE {metric.name} gauge\n")
        if metric.unit:
            file.write(f"# UNIT {metric.name} {metric.unit}\n")
        file.write(f"# HELP {metric.name} {metric.help}\n")
        for labels, value in metric.points.items():
            text = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels)
            file.write(f"{metric.name}{'{' + text + '}' if text else ''} {value!r}\n")
    file.write("# EOF\n")


def write_otlp(report: Report, file: TextIO) -> None:
    """Write an OTLP metrics request in its JSON form (opentelemetry-proto 1.x), as ``POST /v1/metrics`` takes it."""
    environment = report.diagnosis.environment
    begun = environment.get("begun_at_s")
    time = {}
    if isinstance(begun, (int, float)):
        time = {"timeUnixNano": str(round((begun + report.diagnosis.wall_s) * 1e9))}
    resource = {
        "service.name": "dlcheck",
        "host.name": environment.get("host"),
        "process.command": " ".join(report.diagnosis.command),
    }
    found = [
        {
            "name": metric.name,
            "unit": {"seconds": "s", "bytes": "By"}.get(metric.unit, "1"),
            "description": metric.help,
            "gauge": {
                "dataPoints": [
                    {"attributes": _attributes(dict(labels)), "asDouble": value, **time}
                    for labels, value in metric.points.items()
                ]
            },
        }
        for metric in metrics(report)
        if metric.points
    ]
    scope = {"scope": {"name": "dlcheck", "version": __version__}, "metrics": found}
    json.dump(
        {"resourceMetrics": [{"resource": {"attributes": _attributes(resource)}, "scopeMetrics": [scope]}]},
        file,
    )
    file.write("\n")


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": str(value)}}
        for key, value in values.items()
        if value is not None
    ]


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: {"\n": "\\n"}.get(match[0], "\\" + match[0]), text)
