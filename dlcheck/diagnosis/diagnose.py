"""From a timeline and static findings to a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dlcheck.diagnosis.advice import advise, predictions
from dlcheck.diagnosis.attribution import by_cause
from dlcheck.diagnosis.by_process import ByProcess, by_process
from dlcheck.diagnosis.evidence import Evidence, gather_all
from dlcheck.diagnosis.faults import FATAL
from dlcheck.diagnosis.hotlines import Project
from dlcheck.diagnosis.join import costs_of, culprits, is_at
from dlcheck.diagnosis.load_incidents import grouped
from dlcheck.diagnosis.machine import Usage
from dlcheck.diagnosis.model import Diagnosis, LoaderDiagnosis, WorkerUse
from dlcheck.diagnosis.pieces import Piece, join
from dlcheck.diagnosis.ranks import passes
from dlcheck.diagnosis.sampled import diagnose_sampled
from dlcheck.diagnosis.spans import Part
from dlcheck.diagnosis.timeline import Batch, Timeline
from dlcheck.diagnosis.verdicts import judge
from dlcheck.lint.finding import Finding

_UNSHARDED = "DLC402"
_MOST_CULPRITS = 8
_MOST_SLOW_SAMPLES = 5


def diagnose(timeline: Timeline, findings: Iterable[Finding] = ()) -> Diagnosis:
    """Everything that can be said of a recorded run. ``findings``: static ones, with absolute paths."""
    findings = tuple(findings)
    return join([examine(timeline, findings)], findings)


def examine(timeline: Timeline, findings: Sequence[Finding], usage: Usage | None = None) -> Piece:
    """The same of some processes of a run. ``usage``: the cores of all of it."""
    project = Project(timeline.environment)
    evidences = gather_all(replace(timeline, incidents=grouped(timeline.incidents)), usage)
    samples = by_process(timeline.processes)
    loaders = [_diagnose(evidence, findings, project, samples) for evidence in evidences]
    loaders += diagnose_sampled(timeline, findings, project)
    return Piece(
        command=timeline.command,
        exit_code=timeline.exit_code,
        begin=timeline.begin,
        end=timeline.end,
        loaders=tuple(loaders),
        incidents=timeline.incidents,
        costs=costs_of(findings, evidences, project),
        passes=passes(timeline.loaders),
        others=max((evidence.cores.others or 0.0 for evidence in evidences), default=0.0),
        environment=timeline.environment,
        overhead=timeline.overhead,
        notes=timeline.notes,
    )


def _diagnose(
    evidence: Evidence,
    findings: Sequence[Finding],
    project: Project,
    samples: ByProcess,
) -> LoaderDiagnosis:
    loader = evidence.loader
    own = [finding for finding in findings if is_at(finding, loader, project)]
    lines = culprits(evidence, findings, project)
    duplicated = any(finding.rule == _UNSHARDED and _is_dataset(finding, evidence) for finding in findings)
    judgement = judge(evidence, duplicated)
    predicted = predictions(evidence, lines)
    phases = {"warm-up": 0, "epoch-start": 0, "head-start": 0, "steady": 0, "end": 0}
    for wait in evidence.waits:
        phases[wait.phase] += wait.ns
    loading_free = evidence.wall - evidence.wait
    slowest = loader.samples.slowest if loader.samples is not None else ()
    return LoaderDiagnosis(
        key=loader.key,
        created_at=loader.created_at,
        dataset=loader.dataset,
        settings=loader.settings,
        rank=loader.rank,
        batches=evidence.batches,
        samples=evidence.samples,
        epochs=evidence.epochs,
        wall_s=evidence.wall / 1e9,
        wait_s=evidence.wait / 1e9,
        causes_s=_seconds(by_cause(evidence.parts)),
        details_s=_details(evidence.parts),
        phases_s=_seconds(phases),
        verdict=judgement.leading.name,
        sentence=judgement.leading.sentence,
        also=tuple((verdict.name, verdict.sentence) for verdict in judgement.also),
        culprits=lines[:_MOST_CULPRITS],
        predictions=predicted,
        ceiling=evidence.wall / loading_free if loading_free > 0 else None,
        advice=advise(evidence, judgement, lines, predicted, own),
        workers=_workers(evidence, samples),
        slow_samples=tuple((s.index, s.duration_ns / 1e9) for s in slowest[:_MOST_SLOW_SAMPLES]),
        cores={
            "usable": evidence.cores.usable,
            "own": evidence.cores.own,
            "main": evidence.cores.main,
            "others": evidence.cores.others,
            "free": evidence.cores.free,
            "throttled_s": evidence.cores.throttled_s,
        },
        notes=_notes(evidence) if judgement.leading.name not in FATAL else (),
        made=loader.made,
    )


def _is_dataset(finding: Finding, evidence: Evidence) -> bool:
    """Whether a finding about a dataset lies in the class of this loader's dataset."""
    at = evidence.loader.dataset_at
    if at is None:
        return False
    places = (finding.place, *finding.also)
    return any(place.file == at.file and place.line >= at.line for place in places)


def _details(parts: dict[Part, int]) -> dict[str, float]:
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    return {f"{cause}: {detail}": ns / 1e9 for (cause, detail), ns in ordered if detail}


def _seconds(values: dict[str, int]) -> dict[str, float]:
    return {name: ns / 1e9 for name, ns in values.items()}


def _workers(evidence: Evidence, samples: ByProcess) -> tuple[WorkerUse, ...]:
    pids: dict[int, list[int]] = {}
    made: dict[int, list[Batch]] = {}
    for iterator in evidence.loader.iterators:
        for life in iterator.workers:
            pids.setdefault(life.worker, []).append(life.pid)
        for epoch in iterator.epochs:
            for batch in epoch.batches:
                if batch.worker is not None:
                    made.setdefault(batch.worker, []).append(batch)
    waited = dict.fromkeys(pids, 0)
    for wait in evidence.waits:
        if wait.worker in waited:
            waited[wait.worker] += wait.ns
    return tuple(
        _worker(worker, tuple(own), made.get(worker, []), waited[worker], evidence.wall, samples)
        for worker, own in sorted(pids.items())
    )


def _worker(
    worker: int,
    pids: tuple[int, ...],
    made: Sequence[Batch],
    waited: int,
    wall: int,
    samples: ByProcess,
) -> WorkerUse:
    costs = [cost for b in made for cost in (b.fetch, b.collate) if cost is not None]
    cpu = [cost.cpu_ns for cost in costs]
    seen = [s for pid in pids for s in samples.get(pid, [])]
    private = [value for s in seen if (value := s.private_dirty or s.uss)]
    return WorkerUse(
        worker=worker,
        pids=pids,
        batches=sum(b.got is not None for b in made),
        cpu_share=sum(c for c in cpu if c is not None) / wall if wall and None not in cpu else None,
        busy_share=sum(cost.wall_ns for cost in costs) / wall if wall else None,
        waited_s=waited / 1e9,
        rss_bytes=max((s.rss for s in seen), default=None),
        private_bytes=max(private, default=None),
        threads=max((s.threads for s in seen if s.threads is not None), default=None),
    )


def _notes(evidence: Evidence) -> tuple[str, ...]:
    notes = []
    making, model = evidence.making, evidence.model
    if making.slowdown is None and making.cpu_share is not None:
        notes.append(
            "This kernel does not say how long threads waited for a core: such waits are counted as fetch-io."
        )
    if making.cpu_share is None and evidence.batches:
        notes.append("The clocks of the workers were not recorded: what a fetch was spent on is not known.")
    if model is not None and model.refusal and evidence.batches:
        notes.append(f"Nothing is predicted for {_name(evidence)}: {model.refusal}.")
    if not any(stacks.samples for stacks in evidence.stacks) and evidence.batches:
        notes.append(
            f"No stack was sampled while {_name(evidence)} was loaded: its class is named, and no line."
        )
    return tuple(notes)


def _name(evidence: Evidence) -> str:
    return evidence.loader.dataset.rpartition(".")[2] or "a loader"
