"""Where the static half and the measured half meet: findings priced in seconds, culprit lines with their
finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.attribution import WORKER_BUSY
from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.hotlines import BESIDE, Project, share_within
from dlcheck.diagnosis.model import Culprit, PricedFinding
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.diagnosis.verdicts import folded
from dlcheck.lint.finding import Finding

# What a finding's rule is about, by the group of its code (rules.md): 1 the dataset, 2 the loader's set-up.
_STARTUP = frozenset(("DLC205", "DLC207", "DLC208"))
_INLINE = frozenset(("DLC203",))
_DEVICE = frozenset(("DLC201", "DLC202"))
_SETUP_PATH = frozenset(("DLC101", "DLC109", "DLC302", "DLC304"))
# Found in loading code, but about what is right, or about memory: being cured, the line takes as long as before.
_NOT_TIME = frozenset(
    ("DLC106", "DLC108", "DLC112", "DLC113", "DLC114", "DLC301", "DLC303", "DLC305", "DLC308")
)

_IN_STAGE = ("fetch-cpu", "fetch-io")
_LIKE_FETCH = (("unknown", "fetch"), ("startup", "first batch"), ("transfer", WORKER_BUSY["fetch"]))
_LIKE_COLLATE = (("transfer", WORKER_BUSY["collate"]),)


def stage_wait_s(evidence: Evidence, stage: str) -> float:
    """Seconds for which the loop waited on a stage (``STAGES``), whatever cause they were counted to; or on another
    thread that has the GIL (``BESIDE``).
    """
    if stage == BESIDE:
        return folded(evidence).get("main", 0) / 1e9
    ns = 0
    for (cause, detail), part in evidence.parts.items():
        inner = detail if cause in ("queued", "reorder", "main") else cause
        if inner == "cpu-wait":
            belongs = (detail if cause == "cpu-wait" else "fetch") == stage
        elif stage == "fetch":
            belongs = inner in _IN_STAGE or (cause, detail) in _LIKE_FETCH
        elif stage == "collate":
            belongs = inner == "collate" or (cause, detail) in _LIKE_COLLATE
        elif stage == "worker_init_fn":
            belongs = (cause, detail) == ("startup", stage)
        else:
            belongs = cause == "dispatch"
        ns += part if belongs else 0
    return ns / 1e9


def culprits(evidence: Evidence, findings: Sequence[Finding], project: Project) -> tuple[Culprit, ...]:
    """The lines to blame, those first for which the loop waited most."""
    lines = []
    for line in evidence.lines:
        wait_s = line.share * stage_wait_s(evidence, line.stage)
        if line.stage == BESIDE and not wait_s:
            continue
        finding = covering(findings, line.site.file, line.site.line, project) if line.samples else None
        lines.append(Culprit(line.site, line.stage, line.share, wait_s, line.calls, line.samples, finding))
    return tuple(sorted(lines, key=lambda c: (-c.wait_s, -c.share)))


def covering(findings: Sequence[Finding], file: str, line: int, project: Project) -> Finding | None:
    """The finding that covers a measured line of loading code: on the line itself, else of the function it
    lies in.
    """
    path = project.absolute(file)
    near = [f for f in findings if f.place.file == path and _is_line(f)]
    for finding in near:
        if finding.place.line <= line <= finding.place.end_line:
            return finding
    inside = [f for f in near if f.scope[0] <= line <= f.scope[1]]
    return min(inside, key=lambda f: f.scope[1] - f.scope[0], default=None)


def is_at(finding: Finding, loader: LoaderLife, project: Project) -> bool:
    """Whether a finding speaks of this loader: its place covers the line at which the loader is created."""
    site = loader.created_at
    here = finding.place.line <= site.line <= finding.place.end_line
    return here and finding.place.file == project.absolute(site.file)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a finding cost in some loops, in seconds. ``loops``: how many it speaks of; ``samples``: stack samples that
    could have shown it. Costs in several processes add up.
    """

    cost_s: float = 0.0
    wall_s: float = 0.0
    loops: int = 0
    samples: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cost_s + other.cost_s,
            self.wall_s + other.wall_s,
            self.loops + other.loops,
            self.samples + other.samples,
        )


def price(findings: Sequence[Finding], costs: Sequence[Sequence[Cost]]) -> tuple[PricedFinding, ...]:
    """Each finding with its cost, the costliest first; the rest in their own order. ``costs``: of each process, what
    ``costs_of`` says of all findings.
    """
    priced = [
        _priced(finding, sum(own, Cost()))
        for finding, own in zip(findings, zip(*costs, strict=True), strict=True)
    ]
    return tuple(sorted(priced, key=lambda p: -(p.cost_s or 0.0)))


def costs_of(
    findings: Sequence[Finding], evidences: Sequence[Evidence], project: Project
) -> tuple[Cost, ...]:
    """What each finding cost in the loops of ``evidences``."""
    return tuple(_cost(finding, evidences, project) for finding in findings)


def _is_setting(finding: Finding) -> bool:
    return finding.rule[:4] == "DLC2"


def _is_line(finding: Finding) -> bool:
    return finding.rule not in _SETUP_PATH | _NOT_TIME and finding.rule[:4] in ("DLC1", "DLC3")


def _priced(finding: Finding, cost: Cost) -> PricedFinding:
    def unknown(why: str) -> PricedFinding:
        return PricedFinding(finding, None, None, why)

    def known(why: str) -> PricedFinding:
        return PricedFinding(finding, cost.cost_s, cost.cost_s / cost.wall_s if cost.wall_s else None, why)

    if _is_setting(finding):
        if not cost.loops:
            return unknown("this loader was not used in the run")
        if finding.rule in _STARTUP:
            return known("waits for workers that were started again")
        if finding.rule in _INLINE:
            return known("waits for batches that the loop loads itself")
        if finding.rule in _DEVICE:
            return unknown("copies to the device happen within the step")
        return unknown("its cost is not a waiting time")
    if not _is_line(finding):
        return unknown("its cost is not a waiting time")
    if not cost.samples:
        return unknown("no stack was sampled while batches were made")
    if not cost.wall_s:
        return unknown("no stack sample lies in it")
    return known("waits that stack samples place there")


def _cost(finding: Finding, evidences: Sequence[Evidence], project: Project) -> Cost:
    if _is_setting(finding):
        own = [e for e in evidences if is_at(finding, e.loader, project)]
        cause = "startup" if finding.rule in _STARTUP else "main" if finding.rule in _INLINE else None
        ns = sum(n for e in own for (name, _), n in e.recurring.items() if name == cause)
        return Cost(ns / 1e9, sum(e.wall for e in own) / 1e9, len(own))
    if not _is_line(finding):
        return Cost()
    total = Cost()
    place, (first, last) = finding.place, finding.scope
    for evidence in evidences:
        cost_s = 0.0
        found = False
        for stacks in evidence.stacks:
            share = share_within(stacks, project, place.file, place.line, place.end_line)
            share = share or share_within(stacks, project, place.file, first, last)
            cost_s += share * stage_wait_s(evidence, stacks.stage)
            found = found or share > 0
        samples = sum(len(stacks.samples) for stacks in evidence.stacks)
        total += Cost(cost_s, evidence.wall / 1e9 if found else 0.0, int(found), samples)
    return total
