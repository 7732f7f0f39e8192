"""Verdicts in plain words: what the loop waits for, how much, and where. One or two short sentences each."""

from __future__ import annotations

from collections.abc import Callable

from dlcheck.diagnosis.burden import HEALTHY_SHARE, Burden, wanted_cores
from dlcheck.diagnosis.evidence import Evidence, recurring_causes
from dlcheck.diagnosis.hotlines import BESIDE, FEWEST_SAMPLES
from dlcheck.diagnosis.units import amount, cores, duration, share

# From here on a batch in the pipe is more than the names of a few tensors.
_PICKLED_BYTES = 65_536


def by_cause(evidence: Evidence, cause: str, beside: bool = False) -> str:
    """Why the loop waits, where ``cause`` leads; ``beside``: it is only one more cause."""
    text = _CAUSES.get(cause)
    why = "" if text is None or not evidence.workers else text(evidence)
    return why if beside else f"{waits(evidence)} {why}".rstrip()


def waits(evidence: Evidence) -> str:
    """How much the loop waits."""
    text = f"The loop waits for data {share(evidence.recurring_share)} of its time"
    if evidence.wait_share - evidence.recurring_share >= HEALTHY_SHARE:
        text += ", its beginning not counted"
    return text + "."


def healthy(evidence: Evidence, load: Burden) -> str:
    """Leave the loader alone."""
    if load.all < HEALTHY_SHARE and not evidence.workers:
        text = f"Loading, without workers, takes {share(load.all)} of the loop's time: little to gain by a change."
    elif load.all < HEALTHY_SHARE:
        text = f"Batches are ready in time: the loop waits for data {share(load.all)} of its time."
    elif load.own >= HEALTHY_SHARE and evidence.run_share < 0.5:
        text = (
            f"The loop waits for data {share(load.all)} of its time, but it is only {share(evidence.run_share)} of"
            " the time of all loops: little to gain by a change."
        )
    elif load.others >= load.price and load.others >= HEALTHY_SHARE / 2:
        text = (
            f"The loop waits for data {share(load.all)} of its time, because other programs use"
            f" {cores(evidence.cores.others or 0.0)} of this machine. On its own it would wait about"
            f" {share(load.price + load.own)}."
        )
    elif load.price >= load.own:
        price = duration(evidence.handover.price_ns)
        text = (
            f"Batches are ready in time. The loop waits for data {share(load.all)} of its time, mostly to take"
            f" them from the workers: {price} each, which no setting changes."
        )
    else:
        text = f"The loop waits for data {share(load.all)} of its time: little to gain by a change."
    if evidence.wait_share - evidence.recurring_share >= HEALTHY_SHARE:
        text += f" Beginning and end took {duration(evidence.once)}, once in the run."
    return text


def startup_once(evidence: Evidence, start: int) -> str:
    """A long start, once. ``start``: in ns."""
    return (
        f"Starting {evidence.workers} workers took {duration(start)}, {share(start / evidence.wall)} of the"
        " loop's time. It comes once in a run: a longer run notices it less."
    )


def unknown(evidence: Evidence) -> str:
    """Most of the waiting is for something of which there is no record."""
    last = max(
        (wait for wait in evidence.waits if wait.kind == "batch"), key=lambda wait: wait.ns, default=None
    )
    if last is not None and 2 * last.ns > evidence.wait:
        which = "a batch" if last.idx is None else f"batch {last.idx}"
        return f"The run ended while the loop waited for {which}, for {duration(last.ns)}: it was still being made."
    return f"{waits(evidence)} Most of that is for what was not recorded, or never finished: what it was is not known."


def never_started(evidence: Evidence, start: int) -> str:
    """``start``: as for ``startup_once``."""
    workers = "1 worker" if evidence.workers == 1 else f"{evidence.workers} workers"
    return f"No batch came: the run ended while {workers} were being started, for {duration(start)}."


def tiny_batches(evidence: Evidence, load: Burden) -> str:
    """Handing over costs more than it is worth."""
    step = duration(evidence.step) if evidence.step is not None else "less"
    return (
        f"Batches are ready, but taking one from its worker costs {duration(evidence.handover.price_ns)}, and"
        f" the step that uses it {step}: the loop waits {share(load.all)} of its time for batches too small for"
        " workers."
    )


def main_process(evidence: Evidence, most: str) -> str:
    """``most``: the stage that leads."""
    doing = {
        "fetch-cpu": "computing in the dataset",
        "fetch-io": "waiting for a disk, the network, a lock or a sleep in the dataset",
        "collate": "putting samples together (collate)",
    }.get(most, "loading")
    stage = "collate" if most == "collate" else "fetch"
    return (
        f"Without workers (num_workers=0) the loop loads each batch itself: {share(evidence.recurring_share)} of"
        f" its time, most of it {doing}{_where(evidence, stage)}."
    )


def too_few_workers(evidence: Evidence, wanted: float, usable: float, beside: bool = False) -> str:
    """``wanted``: cores that the workers want, of those that they may use. ``beside``: as for ``by_cause``."""
    workers = evidence.workers
    who, wants = ("1 worker is", "wants") if workers == 1 else (f"{workers} workers are", "want")
    text = (
        f"{who} busy {share(evidence.making.busy_share or 0.0)} of the time, and {wants}"
        f" {share(wanted / usable)} of {cores(usable)}: more workers would help."
    )
    return text if beside else f"{waits(evidence)} {text}"


def _fetch_cpu(evidence: Evidence) -> str:
    return f"The workers are busy computing in the dataset{_where(evidence, 'fetch')}."


def _fetch_io(evidence: Evidence) -> str:
    by = evidence.blocked.on or "a disk, the network, a lock or a sleep"
    text = f"The workers are held up in the dataset by {by}{_where(evidence, 'fetch')}."
    return f"{text} More workers would wait for the lock all the longer." if evidence.shares_a_lock else text


def _collate(evidence: Evidence) -> str:
    return (
        f"The workers are busy putting samples together into batches (collate){_where(evidence, 'collate')}."
    )


def _transfer(evidence: Evidence) -> str:
    sizes = sorted(
        b.pipe_bytes for i in evidence.loader.iterators for e in i.epochs for b in e.batches if b.pipe_bytes
    )
    size = sizes[len(sizes) // 2] if sizes else 0
    text = "Batches are made in time, but take long from the worker to the loop"
    return text + (f": each is pickled, {amount(size)}." if size >= _PICKLED_BYTES else ".")


def _pin_memory(evidence: Evidence) -> str:
    return "Batches wait for the thread that copies them to pinned memory."


def _dispatch(evidence: Evidence) -> str:
    return (
        "The workers have nothing to do: the sampler is slow to draw the indices of a"
        f" batch{_where(evidence, 'sampler')}."
    )


def _main_gil(evidence: Evidence) -> str:
    return (
        "Batches are ready, but the training process is busy with other Python work and does not take"
        f" them{_where(evidence, BESIDE)}."
    )


def _straggler(evidence: Evidence) -> str:
    making = evidence.making
    times = (making.worst or 0) / making.median if making.median else 0.0
    few = "batch takes" if making.slow == 1 else "batches take"
    return (
        f"{making.slow} of {making.batches} {few} far longer than the others (up to {times:.0f} times), and"
        f" batches that are ready wait behind them."
    )


def _startup(evidence: Evidence) -> str:
    start = recurring_causes(evidence).get("startup", 0)
    wall = evidence.wall - evidence.once
    again = (
        "The loader is made anew, and its workers started," if evidence.loader.made > 1 else "Workers start"
    )
    text = (
        f"{again} {evidence.restarts + 1} times: after the first time, that takes {duration(start)},"
        f" {share(start / wall if wall > 0 else 0.0)} of the loop's time"
    )
    init = evidence.recurring.get(("startup", "worker_init_fn"), 0)
    return text + (
        f", most of it in worker_init_fn{_where(evidence, 'worker_init_fn')}." if 2 * init > start else "."
    )


def _oversubscribed(evidence: Evidence) -> str:
    wanted, usable, helpers = wanted_cores(evidence), evidence.usable_cores, evidence.loader.helpers
    text = "Workers wait for each other's cores"
    if wanted is not None and usable is not None:
        each = (
            f", with {helpers.threads} threads each," if helpers is not None and helpers.are_threads else ""
        )
        text += f": {evidence.workers} of them{each} want {cores(wanted)}, and there {_are(usable)}"
        if evidence.cores.usable is not None and usable < evidence.cores.usable:
            text += f" on which they may run, of {cores(evidence.cores.usable)}"
    others = evidence.cores.others
    return text + (f"; other programs use {cores(others)} of them." if others and others > 0.5 else ".")


def _queued(evidence: Evidence) -> str:
    return "Batches queue behind others in their worker: there are too few workers."


_CAUSES: dict[str, Callable[[Evidence], str]] = {
    "startup": _startup,
    "fetch-cpu": _fetch_cpu,
    "fetch-io": _fetch_io,
    "collate": _collate,
    "transfer": _transfer,
    "pin-memory": _pin_memory,
    "dispatch": _dispatch,
    "main": _main_gil,
    "reorder": _straggler,
    "cpu-wait": _oversubscribed,
    "queued": _queued,
}


def _are(count: float) -> str:
    text = f"{count:.1f}".removesuffix(".0")
    return f"is {text}" if text == "1" else f"are {text}"


def _where(evidence: Evidence, stage: str) -> str:
    """The hottest line of a stage, as the end of a sentence."""
    for line in evidence.lines:
        if line.stage == stage and line.samples:
            name = line.site.file.replace("\\", "/").rpartition("/")[2]
            function = f" ({line.site.function})" if line.site.function else ""
            sampled = sum(other.samples for other in evidence.lines if other.stage == stage)
            part = f"{share(line.share)} of that" if sampled >= FEWEST_SAMPLES else "for example"
            return f", {part} at {name}:{line.site.line}{function}"
    return ""
