"""The report of a run as JSON: schema ``dlcheck.report/1``, described by ``schema/report-1.json``.

Times in seconds (``_s``), sizes in bytes (``_bytes``), shares as fractions. Paths are relative to
``directory`` where they lie below it. null: not known. Keys may be added; those that are there keep their
meaning.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TextIO

from dlcheck.diagnosis.model import Advice, Culprit, LoaderDiagnosis, PricedFinding, WorkerUse
from dlcheck.diagnosis.prediction import Prediction
from dlcheck.diagnosis.ranks import RankLateness
from dlcheck.diagnosis.timeline import Incident, Site
from dlcheck.report.model import Report

SCHEMA = "dlcheck.report/1"


def report_json(report: Report) -> dict[str, Any]:
    """The report as a JSON object."""
    diagnosis = report.diagnosis
    return {
        "schema": SCHEMA,
        "command": list(diagnosis.command),
        "directory": report.directory,
        "exit_code": diagnosis.exit_code,
        "wall_s": diagnosis.wall_s,
        "loaders": [_loader(report, loader) for loader in diagnosis.loaders],
        "events": [_event(report, incident) for incident in diagnosis.incidents],
        "findings": [_finding(report, priced) for priced in diagnosis.findings],
        "ranks": [_rank(report, use) for use in diagnosis.ranks],
        "environment": dict(diagnosis.environment),
        "overhead": dict(diagnosis.overhead),
        "notes": list(diagnosis.notes),
        "recording": report.recording,
    }


def render_json(report: Report) -> str:
    """The report as text, with a line break at its end."""
    return json.dumps(report_json(report), indent=2, default=str) + "\n"


def write_json(report: Report, file: TextIO) -> None:
    """Write the same to a file."""
    file.write(render_json(report))


def _loader(report: Report, loader: LoaderDiagnosis) -> dict[str, Any]:
    return {
        "created_at": _site(report, loader.created_at),
        "dataset": loader.dataset,
        "settings": dict(loader.settings),
        "rank": loader.rank,
        "batches": loader.batches,
        "samples": loader.samples,
        "epochs": loader.epochs,
        "wall_s": loader.wall_s,
        "wait_s": loader.wait_s,
        "causes": dict(loader.causes_s),
        "details": dict(loader.details_s),
        "phases": dict(loader.phases_s),
        "verdict": loader.verdict,
        "sentence": loader.sentence,
        "also": [name for name, _ in loader.also],
        "also_sentences": dict(loader.also),
        "culprits": [_culprit(report, culprit) for culprit in loader.culprits],
        "predictions": [_prediction(report, prediction) for prediction in loader.predictions],
        "ceiling": loader.ceiling,
        "advice": [_advice(report, advice) for advice in loader.advice],
        "workers": [_worker(worker) for worker in loader.workers],
        "slow_samples": [{"index": index, "duration_s": s} for index, s in loader.slow_samples],
        "cores": dict(loader.cores),
        "notes": list(loader.notes),
        "made": loader.made,
        "node": loader.node or None,
    }


def _rank(report: Report, use: RankLateness) -> dict[str, Any]:
    return {**asdict(use), "created_at": _site(report, use.created_at), "node": use.node or None}


def _site(report: Report, site: Site) -> dict[str, Any]:
    return {"file": report.shown(site.file), "line": site.line, "function": site.function}


def _culprit(report: Report, culprit: Culprit) -> dict[str, Any]:
    return {
        **_site(report, culprit.site),
        "share": culprit.share,
        "finding": culprit.finding.rule if culprit.finding is not None else None,
        "stage": culprit.stage,
        "wait_s": culprit.wait_s,
        "calls": culprit.calls,
        "samples": culprit.samples,
    }


def _prediction(report: Report, prediction: Prediction) -> dict[str, Any]:
    change = dict(prediction.change)
    if isinstance(change.get("line"), str):
        change["line"] = report.shown(change["line"])
    return {
        "change": change,
        "speedup": prediction.speedup,
        "low": prediction.low,
        "high": prediction.high,
    }


def _advice(report: Report, advice: Advice) -> dict[str, Any]:
    value: dict[str, Any] = {"text": advice.text, "change": dict(advice.change)}
    if isinstance(value["change"].get("line"), str):
        value["change"]["line"] = report.shown(value["change"]["line"])
    prediction = advice.prediction
    if prediction is not None:
        value |= {"speedup": prediction.speedup, "low": prediction.low, "high": prediction.high}
    return value


def _worker(worker: WorkerUse) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "pids": list(worker.pids),
        "batches": worker.batches,
        "cpu_share": worker.cpu_share,
        "busy_share": worker.busy_share,
        "waited_s": worker.waited_s,
        "rss_bytes": worker.rss_bytes,
        "private_bytes": worker.private_bytes,
        "threads": worker.threads,
    }


def _event(report: Report, incident: Incident) -> dict[str, Any]:
    return {
        "kind": incident.kind,
        "at_s": (incident.t - report.diagnosis.begin_ns) / 1e9,
        "pid": incident.pid,
        "detail": incident.detail,
        "stack": [_site(report, site) for site in incident.stack],
    }


def _finding(report: Report, priced: PricedFinding) -> dict[str, Any]:
    finding = priced.finding
    return {
        "rule": finding.rule,
        "name": finding.name,
        "file": report.shown(finding.place.file),
        "line": finding.place.line,
        "column": finding.place.column,
        "message": finding.message,
        "help": finding.help,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "cost_s": priced.cost_s,
        "cost_share": priced.cost_share,
        "cost_note": priced.why,
    }
