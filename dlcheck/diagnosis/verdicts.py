"""From evidence to verdicts: one small function per verdict. ``docs/diagnosis.md`` is the decision table in words.

The first of these that holds leads, the others that hold follow in ``also``:

    1  shared-memory-full, worker-killed, dataset-error, hang   the run says so itself (``faults``)
    2  shared-across-threads    two threads consumed one iterator, or the loader at once
    3  startup, once            starting takes a fifth of the loop and over 2 s, the rest is healthy
    4  healthy                  the waits that the loader can be blamed for (``burden``) are below its limit
    5  transfer, of tiny batches   as 4, but the price of handing over is a third of the loop
    6  main-process             num_workers=0
    7  the leading cause of the waits that recur, without the price of handing over:
         startup, dispatch, transfer, pin-memory, collate, fetch-cpu, fetch-io    by their own name
         main      main-gil where the training process is on a core for half of the time that its loop waits;
                   else a part of transfer
         reorder   straggler where half of it is for batches that took over twice the median; else what the
                   batch in front was doing
         queued    what its worker was doing
         cpu-wait  oversubscribed where the workers alone want more cores than there are; else the stage that
                   waited for a core, since no change of this loader gives it one: computing and blocked as it was
                   otherwise
         fetch-*   too-few-workers where no single line has half of the fetch, workers are busy, cores are free,
                   and the simulation says that more workers help
    8  imbalance, duplicates    lead whatever the workers wait for, imbalance only where the loop waits for them;
                                memory-growth leads a loop that is healthy otherwise
"""

from __future__ import annotations

from dataclasses import dataclass

from dlcheck.diagnosis import wording
from dlcheck.diagnosis.attribution import WORKER_BUSY, by_cause
from dlcheck.diagnosis.burden import OTHERS, Burden, burden, exceeds_cores, innermost, wanted_cores
from dlcheck.diagnosis.evidence import Evidence, recurring_causes
from dlcheck.diagnosis.faults import (
    Verdict,
    duplicates,
    imbalance,
    incident_verdict,
    memory_growth,
    shared_across_threads,
)
from dlcheck.diagnosis.handover import is_busy, is_saturated
from dlcheck.diagnosis.hotlines import FEWEST_SAMPLES, HotLine
from dlcheck.diagnosis.prediction import predict, with_workers

# A verdict names what most of it is.
_HALF = 0.5
_QUARTER = 0.25
# A price that large can be saved: by larger batches, or without workers.
_PRICE_SHARE = 1 / 3
_ONCE_SHARE, _ONCE_NS = 0.2, 2_000_000_000
_WORTH = 1.1
_MADE = ("fetch-cpu", "fetch-io", "collate")
_DIVISION = ("imbalance", "duplicates")
_BUSY_WORKER = 0.8
# torch divides an operation among threads from 32 768 elements on (``at::internal::GRAIN_SIZE``).
_GRAIN_BYTES = 4 * 32_768

_NAMES = {
    "main": "main-gil",
    "reorder": "straggler",
    "cpu-wait": "oversubscribed",
    "queued": "too-few-workers",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict that leads, and the others that hold."""

    leading: Verdict
    also: tuple[Verdict, ...]


def judge(evidence: Evidence, duplicated: bool = False) -> Judgement:
    """All verdicts on one loader. ``duplicated``: a finding says that the dataset is not divided among
    workers.
    """
    dead = [verdict for verdict in (incident_verdict(evidence), shared_across_threads(evidence)) if verdict]
    apart = [imbalance(evidence), duplicates(evidence, duplicated), memory_growth(evidence)]
    found = [verdict for verdict in apart if verdict]
    if dead:
        # What killed the run says more than how it waited; a hang is a wait in itself.
        return Judgement(dead[0], (*dead[1:], *found))
    if not evidence.batches:
        unknown = Verdict("unknown", "No batch was loaded: there is nothing to judge.")
        return Judgement(never_started(evidence) or unknown, ())
    load = burden(evidence)
    waiting = startup_once(evidence, load) or tiny_batches(evidence, load)
    if waiting is None and not load.is_light:
        waiting = _waiting(evidence)
    if waiting is not None:
        beside = _beside(evidence, waiting, load)
        if found and found[0].name in _DIVISION and evidence.workers:
            # Whatever the workers are slow at, they do too much of it.
            return Judgement(found[0], (waiting, *beside, *found[1:]))
        return Judgement(waiting, (*beside, *found))
    # Workers whose batches are ready in time may divide the work as they like.
    found = [verdict for verdict in found if verdict.name != "imbalance"]
    if found:
        return Judgement(found[0], tuple(found[1:]))
    return Judgement(Verdict("healthy", wording.healthy(evidence, load)), ())


def never_started(evidence: Evidence) -> Verdict | None:
    """The run ended while the workers were being started, and that took long."""
    start = by_cause(evidence.parts).get("startup", 0)
    if not evidence.workers or start < max(_ONCE_NS, _HALF * evidence.wait):
        return None
    return Verdict("startup", wording.never_started(evidence, start))


def startup_once(evidence: Evidence, load: Burden) -> Verdict | None:
    """A start-up that comes once, and yet is a large part of a run that is healthy otherwise."""
    start = sum(
        ns
        for wait in evidence.waits
        for (cause, _), ns in wait.parts.items()
        if wait.phase == "warm-up" and cause == "startup"
    )
    large = start > max(_ONCE_NS, _ONCE_SHARE * evidence.wall) and 2 * start > evidence.once
    if not large or not load.is_light:
        return None
    return Verdict("startup", wording.startup_once(evidence, start))


def tiny_batches(evidence: Evidence, load: Burden) -> Verdict | None:
    """Handing batches over takes long beside the step that uses them, and longer than all else that they wait for.

    On a machine whose cores are taken, what handing over costs says little of the loader: there the replay must say
    that the loop would be faster without workers.
    """
    if load.price_alone < max(_PRICE_SHARE, load.own) or not could_load_itself(evidence):
        return None
    if evidence.handover.starved_all:
        model = evidence.model
        inline = (
            predict(model, {"num_workers": 0}, with_workers(model.setup, 0)) if model is not None else None
        )
        if inline is None or inline.low < _WORTH:
            return None
    return Verdict("transfer", wording.tiny_batches(evidence, load))


def folded(evidence: Evidence) -> dict[str, int]:
    """The causes of recurring waits, in ns, without what is price (``burden``), and with those folded that only
    say that a batch came late and not why.
    """
    causes: dict[str, int] = {}
    keep_queue = oversubscribed(evidence) is not None
    keep_reorder = straggler(evidence) is not None
    handover = evidence.handover
    for (cause, detail), whole in evidence.blamed.items():
        part = cause, detail
        if cause == "startup" and not evidence.restarts:
            continue
        ns = whole - handover.price.get(part, 0) - handover.starved.get(part, 0)
        name = cause
        if cause in ("reorder", "queued") and detail and not (cause == "reorder" and keep_reorder):
            name = detail
        if detail in WORKER_BUSY.values():
            # What had the worker's GIL had work to do.
            name = "collate" if detail == WORKER_BUSY["collate"] else "fetch-cpu"
        if name == "cpu-wait" and not keep_queue:
            for stage, weight in _without_queue(evidence, detail):
                causes[stage] = causes.get(stage, 0) + round(ns * weight)
            continue
        if name == "main" and evidence.workers and not _is_main_busy(evidence):
            # Nothing kept the process from receiving: waking up is a part of the transfer.
            name = "transfer"
        if part == ("transfer", "unpickle") and has_no_gil(evidence):
            held_up = max(0, ns - handover.content_ns)
            causes["main"] = causes.get("main", 0) + held_up
            ns -= held_up
        causes[name] = causes.get(name, 0) + ns
    if keep_queue:
        causes["cpu-wait"] = causes.get("cpu-wait", 0) + handover.starved_all
    return causes


def _without_queue(evidence: Evidence, detail: str) -> tuple[tuple[str, float], ...]:
    """What a stage that waited for a core was at otherwise, as shares. A thread that computes loses its core to others; one
    that slept, or was blocked, wakes and finds none. On a machine of its own it would do the one and the other as it
    did, so what others took says no more about it than that.
    """
    if detail == "collate":
        return (("collate", 1.0),)
    clocked = {"fetch-cpu": 0, "fetch-io": 0}
    for part, ns in evidence.blamed.items():
        inner = innermost(part)
        if inner in clocked:
            clocked[inner] += ns
    whole = sum(clocked.values())
    if not whole:
        return (("fetch-cpu", 1.0),)
    return tuple((name, ns / whole) for name, ns in clocked.items())


def _is_main_busy(evidence: Evidence) -> bool:
    """Whether the training process was on a core for half of the time that its loop waited: some other thread
    of it works then, and may hold the GIL.
    """
    busy = evidence.main_busy if evidence.main_busy is not None else evidence.cores.main
    return busy is None or is_busy(busy, evidence.cores)


def has_no_gil(evidence: Evidence) -> bool:
    """Whether other threads of the training process were on a core for half of the time that its loop waited, so that
    what takes a batch in must wait for them. A thread that pins memory takes batches in itself.
    """
    busy = evidence.main_busy
    return busy is not None and is_busy(busy, evidence.cores) and not evidence.loader.settings.get("pinning")


def could_load_itself(evidence: Evidence) -> bool:
    """Whether what the workers do says how fast a loop without workers would be. Not where other threads have the GIL,
    which the loop would need all the time then. Nor where it would compute large tensors with torch's pool of threads,
    where workers use one thread, and others have the cores: each operation waits for the last thread to find one.
    """
    others = evidence.cores.others or 0.0
    crowded = is_saturated(evidence.cores) and others >= OTHERS
    return not has_no_gil(evidence) and not (crowded and evidence.batch_bytes >= _GRAIN_BYTES)


def _waiting(evidence: Evidence) -> Verdict | None:
    if evidence.workers == 0:
        return main_process(evidence)
    causes = folded(evidence)
    whole, unknown = sum(causes.values()), causes.pop("unknown", 0)
    if not causes:
        return Verdict("unknown", "The workers left no record: what the loop waited for is not known.")
    if unknown > _HALF * whole:
        # The little that is known is not what it waited for.
        return Verdict("unknown", wording.unknown(evidence))
    leading = max(causes, key=lambda cause: causes[cause])
    crowded = oversubscribed(evidence)
    if crowded is not None and leading in _MADE and (evidence.are_bound or evidence.have_threads):
        # There is a cure for that, and what they compute comes sooner by it too.
        return _by_cause(evidence, "cpu-wait")
    few = too_few_workers(evidence) if leading in ("fetch-cpu", "fetch-io") else None
    if few is not None and _is_sampled(evidence, "fetch") and dominant_line(evidence, "fetch") is None:
        return few
    return _by_cause(evidence, leading)


def _beside(evidence: Evidence, leading: Verdict, load: Burden) -> list[Verdict]:
    """The verdicts that hold beside the leading one."""
    if load.is_light:
        return []
    beside: list[Verdict] = []
    if evidence.workers:
        asked = too_few_workers(evidence, beside=True), oversubscribed(evidence), straggler(evidence)
        beside = [verdict for verdict in asked if verdict]
    parts = folded(evidence) if evidence.workers else _within_main(evidence)
    whole = sum(parts.values())
    least = max(_QUARTER * whole, load.limit * (evidence.wall - evidence.once))
    for cause, ns in sorted(parts.items(), key=lambda item: -item[1]):
        if ns > least and cause != "unknown" and (evidence.workers or cause != "main"):
            beside.append(_by_cause(evidence, cause, beside=True))
    if leading.name != "startup" and (start := _startup_recurring(evidence, load)):
        beside.append(start)
    named = {leading.name: leading}
    for verdict in beside:
        named.setdefault(verdict.name, verdict)
    return list(named.values())[1:]


def _within_main(evidence: Evidence) -> dict[str, int]:
    parts: dict[str, int] = {}
    for (cause, detail), ns in evidence.recurring.items():
        name = detail if cause == "main" and detail else cause
        for stage, weight in _without_queue(evidence, "") if name == "cpu-wait" else ((name, 1.0),):
            parts[stage] = parts.get(stage, 0) + round(ns * weight)
    return parts


def _by_cause(evidence: Evidence, cause: str, beside: bool = False) -> Verdict:
    return Verdict(_NAMES.get(cause, cause), wording.by_cause(evidence, cause, beside))


def main_process(evidence: Evidence) -> Verdict:
    """Loading happens in the loop."""
    parts = _within_main(evidence)
    return Verdict(
        "main-process", wording.main_process(evidence, max(parts, key=lambda p: parts[p], default=""))
    )


def straggler(evidence: Evidence) -> Verdict | None:
    """A few slow batches hold up the order while others are ready."""
    making = evidence.making
    reorder = recurring_causes(evidence).get("reorder", 0)
    enough = reorder > _QUARTER * max(1, sum(evidence.recurring.values()))
    if not enough or making.slow_reorder < _HALF or not 0 < making.slow <= _QUARTER * making.batches:
        return None
    if oversubscribed(evidence):
        # Where threads fight for cores, now this batch is late and now that.
        return None
    return _by_cause(evidence, "reorder", beside=True)


def oversubscribed(evidence: Evidence) -> Verdict | None:
    """The workers alone want more cores than the run may use, and the loop waits for it."""
    waited = sum(ns for part, ns in evidence.blamed.items() if "cpu-wait" in part)
    waited += evidence.handover.starved_all
    if evidence.making.slowdown:
        # A worker that is busy with its next batch has a core for a part of that time.
        busy = sum(ns for (_, detail), ns in evidence.recurring.items() if detail in WORKER_BUSY.values())
        waited += round(busy * (1 - 1 / evidence.making.slowdown))
    if not exceeds_cores(evidence) or waited < _QUARTER * max(1, sum(evidence.recurring.values())):
        return None
    return _by_cause(evidence, "cpu-wait", beside=True)


def too_few_workers(evidence: Evidence, beside: bool = False) -> Verdict | None:
    """Workers are busy, cores are free, and more workers would help."""
    making, usable = evidence.making, evidence.usable_cores
    wanted = wanted_cores(evidence)
    if making.busy_share is None or making.cpu_share is None or usable is None or wanted is None:
        return None
    if evidence.shares_a_lock:
        return None
    fits = wanted + making.cpu_share <= usable + 1e-6
    if making.busy_share < _BUSY_WORKER or not fits or evidence.model is None:
        return None
    setup = with_workers(evidence.model.setup, evidence.workers + max(1, evidence.workers // 2))
    more = predict(evidence.model, {"num_workers": setup.num_workers}, setup)
    if more is None or more.low < _WORTH:
        return None
    return Verdict("too-few-workers", wording.too_few_workers(evidence, wanted, usable, beside))


def dominant_line(evidence: Evidence, stage: str) -> HotLine | None:
    """The line that has most of a stage's time, if one has."""
    for line in evidence.lines:
        if line.stage == stage and line.samples and line.share >= _HALF:
            return line
    return None


def _is_sampled(evidence: Evidence, stage: str) -> bool:
    return sum(line.samples for line in evidence.lines if line.stage == stage) >= FEWEST_SAMPLES


def _startup_recurring(evidence: Evidence, load: Burden) -> Verdict | None:
    wall = evidence.wall - evidence.once
    start = recurring_causes(evidence).get("startup", 0)
    if evidence.restarts and wall > 0 and start >= load.limit * wall:
        return _by_cause(evidence, "startup", beside=True)
    return None
