"""From evidence to verdicts: one small function per verdict, each with the sentence that says why.

The decision table. A function abstains (None) where its signal is missing. The first of these that holds
leads, the others that hold follow in ``also``:

    1  killed, hang, dataset-error, shared-memory-full   the run says so itself (an incident of this loader)
    2  shared-across-threads                             two threads consumed one iterator, or the loader at
    once 3  startup once                                      starting takes a fifth of the loop and over 2 s,
    the rest is healthy 4  healthy                                           the loop waits for less than 5 %
    of its time, but for what comes once 5  main-process                                      num_workers=0
    6  the leading cause of the waits that recur:
         startup, dispatch, transfer, pin-memory, collate, fetch-cpu, fetch-io     by their own name
         main           -> main-gil when the process is on a core for half of the time; else it is a part of
         transfer reorder        -> straggler when half of it is for batches that took over twice the median;
         else it is folded into
                           what the batch in front was doing
         queued         -> folded likewise
         cpu-wait       -> oversubscribed when the workers alone want more cores than there are; else it is
                           folded into the stage that waited for a core, since no change of this loader gives
                           it one fetch-*        -> too-few-workers when no single line has half of the fetch,
                           workers are busy, cores are free and the simulation says that more of them help
    7  memory-growth, imbalance, duplicates              lead a loop that is healthy otherwise

Why 5 %: at that share no change of the loader makes the run 6 % faster. Why a half: a verdict names what most
of it is. What comes once (first start-up, first batches) is weighed apart, since a longer run would not
notice it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlcheck.diagnosis.evidence import Evidence, recurring_causes
from dlcheck.diagnosis.faults import (
    Verdict,
    duplicates,
    imbalance,
    incident_verdict,
    memory_growth,
    shared_across_threads,
)
from dlcheck.diagnosis.hotlines import FEWEST_SAMPLES, HotLine
from dlcheck.diagnosis.prediction import predict, with_workers
from dlcheck.diagnosis.units import cores, duration, share

HEALTHY_SHARE = 0.05
_HALF = 0.5
_QUARTER = 0.25
_ONCE_SHARE, _ONCE_NS = 0.2, 2_000_000_000
_WORTH = 1.1


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
    if not evidence.batches and not dead:
        return Judgement(Verdict("unknown", "No batch was loaded: there is nothing to judge."), ())
    apart = [memory_growth(evidence), imbalance(evidence), duplicates(evidence, duplicated)]
    found = [verdict for verdict in apart if verdict]
    waiting = startup_once(evidence) or (None if is_healthy(evidence) else _waiting(evidence))
    if dead:
        # What killed the run says more than how it waited; a hang is a wait in itself.
        follow = [*dead[1:], *found]
        return Judgement(dead[0], tuple(follow))
    if waiting is not None:
        return Judgement(waiting, (*_beside(evidence, waiting), *found))
    if found:
        return Judgement(found[0], tuple(found[1:]))
    return Judgement(healthy(evidence), ())


def is_healthy(evidence: Evidence) -> bool:
    """Whether the loop hardly waits, what comes once in a run, and what other programs take, left out."""
    return min(evidence.recurring_share, evidence.wait_share, _own_share(evidence)) < HEALTHY_SHARE


def _own_share(evidence: Evidence) -> float:
    """The share of recurring waits, without those for a core that other programs had."""
    wall = evidence.wall - evidence.once
    return max(0, sum(evidence.recurring.values()) - _taken(evidence)) / wall if wall > 0 else 0.0


def _taken(evidence: Evidence) -> int:
    """Nanoseconds of waiting for a core that are the doing of other programs: the run's own demand has
    room.
    """
    others = evidence.cores.others
    if _exceeds_cores(evidence) or others is None or others < _QUARTER:
        return 0
    waited = sum(ns for (cause, detail), ns in evidence.recurring.items() if "cpu-wait" in (cause, detail))
    return waited + sum(evidence.starved.values())


def healthy(evidence: Evidence) -> Verdict:
    """Leave the loader alone."""
    own = min(evidence.recurring_share, _own_share(evidence))
    text = f"The loop waits for data for {share(own)} of its time: the step is the limit."
    if own < HEALTHY_SHARE <= evidence.recurring_share:
        text += (
            f" It waits for {share(evidence.recurring_share - own)} more for cores that other programs have:"
            f" they use {cores(evidence.cores.others or 0.0)}."
        )
    if evidence.wait_share - evidence.recurring_share >= HEALTHY_SHARE:
        text += f" Beginning and end took {duration(evidence.once)}, once in the run."
    return Verdict("healthy", text)


def startup_once(evidence: Evidence) -> Verdict | None:
    """A start-up that comes once, and yet is a large part of a run that is healthy otherwise."""
    start = sum(
        wait.parts[part] for wait in evidence.waits if wait.phase == "warm-up" for part in wait.parts
        if part[0] == "startup"
    )  # fmt: skip
    large = start > max(_ONCE_NS, _ONCE_SHARE * evidence.wall) and 2 * start > evidence.once
    if not large or not is_healthy(evidence):
        return None
    return Verdict(
        "startup",
        f"Starting {evidence.workers} workers took {duration(start)}, {share(start / evidence.wall)} of the"
        " loop's time. It comes once in a run: a longer run notices it less.",
    )


def folded(evidence: Evidence) -> dict[str, int]:
    """The causes of recurring waits, with those folded that only say that a batch came late and not why.
    Ns.
    """
    causes: dict[str, int] = {}
    keep_reorder = straggler(evidence) is not None
    keep_queue = oversubscribed(evidence) is not None
    for (cause, detail), whole in evidence.recurring.items():
        ns = whole - evidence.starved.get((cause, detail), 0)
        name = cause
        if cause in ("reorder", "queued") and detail and not (cause == "reorder" and keep_reorder):
            name = detail
        if name == "cpu-wait" and not keep_queue:
            # What waited for a core had work for one.
            name = "collate" if detail == "collate" else "fetch-cpu"
        if name == "main" and evidence.workers and not _is_busy(evidence):
            # Nothing kept the process from receiving: waking up is a part of the transfer.
            name = "transfer"
        causes[name] = causes.get(name, 0) + ns
    if keep_queue:
        causes["cpu-wait"] = causes.get("cpu-wait", 0) + sum(evidence.starved.values())
    return causes


def _is_busy(evidence: Evidence) -> bool:
    """Whether the training process was on a core for half of the time: a thread that holds the GIL is."""
    return evidence.cores.main is None or evidence.cores.main >= _HALF


def _waiting(evidence: Evidence) -> Verdict | None:
    if evidence.workers == 0:
        return main_process(evidence)
    causes = folded(evidence)
    causes.pop("unknown", None)
    if not causes:
        return Verdict("unknown", "The workers left no record: what the loop waited for is not known.")
    leading = max(causes, key=lambda cause: causes[cause])
    few = too_few_workers(evidence) if leading in ("fetch-cpu", "fetch-io") else None
    if few is not None and _is_sampled(evidence, "fetch") and dominant_line(evidence, "fetch") is None:
        return few
    return _by_cause(evidence, leading)


def _beside(evidence: Evidence, leading: Verdict) -> list[Verdict]:
    """The verdicts that hold beside the leading one."""
    beside: list[Verdict] = []
    if evidence.workers:
        beside = [v for v in (too_few_workers(evidence), oversubscribed(evidence), straggler(evidence)) if v]
    parts = folded(evidence) if evidence.workers else _within_main(evidence)
    whole = sum(parts.values())
    for cause, ns in sorted(parts.items(), key=lambda item: -item[1]):
        if whole and ns > _QUARTER * whole and cause != "unknown" and (evidence.workers or cause != "main"):
            beside.append(_by_cause(evidence, cause))
    if leading.name != "startup" and (start := _startup_recurring(evidence)):
        beside.append(start)
    seen = {leading.name}
    return [v for v in beside if not (v.name in seen or seen.add(v.name))]  # type: ignore[func-returns-value]


def _within_main(evidence: Evidence) -> dict[str, int]:
    parts: dict[str, int] = {}
    for (cause, detail), ns in evidence.recurring.items():
        name = detail if cause == "main" and detail else cause
        name = "fetch-cpu" if name == "cpu-wait" else name
        parts[name] = parts.get(name, 0) + ns
    return parts


def _by_cause(evidence: Evidence, cause: str) -> Verdict:
    sentences: dict[str, Callable[[], str]] = {
        "startup": lambda: (
            f"Workers are started {evidence.restarts + 1} times, and the loop waits for "
            f"{duration(_recurring(evidence, 'startup'))} of it after the first time."
        ),
        "fetch-cpu": lambda: (
            f"The loop waits for batches that are on the CPU in the dataset{_line_text(evidence, 'fetch')}."
        ),
        "fetch-io": lambda: (
            "The loop waits for batches whose fetch is blocked, on a disk, the network, a lock or a sleep"
            f"{_line_text(evidence, 'fetch')}."
        ),
        "collate": lambda: (
            f"The loop waits for batches that are being collated{_line_text(evidence, 'collate')}."
        ),
        "transfer": lambda: (
            "The loop waits for batches on their way from the worker: pickled, sent, unpickled."
        ),
        "pin-memory": lambda: "The loop waits for the thread that copies batches to pinned memory.",
        "dispatch": lambda: (
            "The loop waits for the sampler, which draws the indices of each"
            f" batch{_line_text(evidence, 'sampler')}."
        ),
        "main": lambda: "Batches are there, but the process that trains is too busy to receive them.",
        "reorder": lambda: _straggler_text(evidence),
        "cpu-wait": lambda: _oversubscribed_text(evidence),
        "queued": lambda: "The loop waits for batches that queue behind others in their worker.",
    }
    names = {
        "main": "main-gil",
        "reorder": "straggler",
        "cpu-wait": "oversubscribed",
        "queued": "too-few-workers",
    }
    text = sentences[cause]() if cause in sentences else ""
    return Verdict(names.get(cause, cause), f"{text} {_share_text(evidence)}".strip())


def main_process(evidence: Evidence) -> Verdict:
    """Loading happens in the loop."""
    parts = _within_main(evidence)
    most = max(parts, key=lambda part: parts[part], default="main")
    doing = {
        "fetch-cpu": "on the CPU in the dataset",
        "fetch-io": "blocked in the dataset",
        "collate": "collating",
    }.get(most, "loading")
    return Verdict(
        "main-process",
        f"num_workers=0: the loop loads each batch itself, mostly {doing}{_line_text(evidence, 'fetch')}. "
        f"{_share_text(evidence)}",
    )


def straggler(evidence: Evidence) -> Verdict | None:
    """A few slow batches hold up the order while others are ready."""
    making = evidence.making
    reorder = recurring_causes(evidence).get("reorder", 0)
    enough = reorder > _QUARTER * max(1, sum(evidence.recurring.values()))
    if not enough or making.slow_reorder < _HALF or not 0 < making.slow <= _QUARTER * making.batches:
        return None
    return Verdict("straggler", _straggler_text(evidence))


def _straggler_text(evidence: Evidence) -> str:
    making = evidence.making
    times = (making.worst or 0) / making.median if making.median else 0.0
    return (
        f"{making.slow} of {making.batches} batches take over twice the median, up to {times:.0f} times as"
        f" long, and hold up batches that are ready: {share(evidence.recurring_share)} of the loop's time."
    )


def oversubscribed(evidence: Evidence) -> Verdict | None:
    """The workers alone want more cores than the run may use, and the loop waits for it."""
    waited = sum(ns for (cause, detail), ns in evidence.recurring.items() if "cpu-wait" in (cause, detail))
    waited += sum(evidence.starved.values())
    if not _exceeds_cores(evidence) or waited < _QUARTER * max(1, sum(evidence.recurring.values())):
        return None
    return Verdict("oversubscribed", _oversubscribed_text(evidence))


def _exceeds_cores(evidence: Evidence) -> bool:
    """Whether the workers alone want more cores than the run may use."""
    wanted, usable = _wanted_cores(evidence), evidence.cores.usable
    return wanted is not None and usable is not None and wanted > 1.1 * usable


def _wanted_cores(evidence: Evidence) -> float | None:
    making = evidence.making
    if making.cpu_share is None:
        return None
    return evidence.workers * making.cpu_share * (making.busy_share or 1.0)


def _oversubscribed_text(evidence: Evidence) -> str:
    wanted, usable = _wanted_cores(evidence), evidence.cores.usable
    text = "More threads want to run than there are cores"
    if wanted is not None and usable is not None:
        text += f": {evidence.workers} workers want {cores(wanted)}, and {cores(usable)} may be used"
    others = evidence.cores.others
    return text + (f"; other programs use {cores(others)}." if others and others > 0.5 else ".")


def too_few_workers(evidence: Evidence) -> Verdict | None:
    """Workers are busy, cores are free, and more workers would help."""
    making, usable = evidence.making, evidence.cores.usable
    wanted = _wanted_cores(evidence)
    if making.busy_share is None or making.cpu_share is None or usable is None or wanted is None:
        return None
    fits = wanted + making.cpu_share <= usable + 1e-6
    if making.busy_share < 0.8 or not fits or evidence.model is None:
        return None
    setup = with_workers(evidence.model.setup, evidence.workers + max(1, evidence.workers // 2))
    more = predict(evidence.model, {"num_workers": setup.num_workers}, setup)
    if more is None or more.low < _WORTH:
        return None
    return Verdict(
        "too-few-workers",
        f"{evidence.workers} workers are busy for {share(making.busy_share)} of the time and want"
        f" {cores(wanted)} of {cores(usable)}: there is room for more. {_share_text(evidence)}",
    )


def dominant_line(evidence: Evidence, stage: str) -> HotLine | None:
    """The line that has most of a stage's time, if one has."""
    for line in evidence.lines:
        if line.stage == stage and line.samples and line.share >= _HALF:
            return line
    return None


def _is_sampled(evidence: Evidence, stage: str) -> bool:
    return sum(line.samples for line in evidence.lines if line.stage == stage) >= FEWEST_SAMPLES


def _startup_recurring(evidence: Evidence) -> Verdict | None:
    wall = evidence.wall - evidence.once
    if evidence.restarts and wall > 0 and _recurring(evidence, "startup") >= HEALTHY_SHARE * wall:
        return _by_cause(evidence, "startup")
    return None


def _recurring(evidence: Evidence, cause: str) -> int:
    return recurring_causes(evidence).get(cause, 0)


def _share_text(evidence: Evidence) -> str:
    return f"It waits for {share(evidence.recurring_share)} of its time."


def _line_text(evidence: Evidence, stage: str) -> str:
    for line in evidence.lines:
        if line.stage == stage and line.samples:
            name = line.site.file.replace("\\", "/").rpartition("/")[2]
            return f", at {name}:{line.site.line} in {line.site.function} for {share(line.share)} of it"
    return ""
