"""What to change: concrete edits with the gain that the simulation predicts, the best first.

An edit is advised when even the low end of its prediction is a gain, and when its side effects are allowed:
more workers only where cores (affinity, quota) and memory are left for them, ``persistent_workers`` never
where the dataset changes between epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from dlcheck.diagnosis.cures import FATAL, cure, last_resort
from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.faults import FATAL as ENDED
from dlcheck.diagnosis.join import stage_wait_s
from dlcheck.diagnosis.model import Advice, Culprit
from dlcheck.diagnosis.prediction import Model, Prediction, predict, with_workers, worker_counts
from dlcheck.diagnosis.simulation import Setup
from dlcheck.diagnosis.units import cores, duration
from dlcheck.diagnosis.verdicts import Judgement, could_load_itself
from dlcheck.lint.finding import Finding

GAIN = 1.05
"""A gain below this is not worth an edit, and is within the error of a prediction."""

_SAME = 0.97
# Setting a seed takes less.
_LONG_NS = 20_000_000
# Verdicts on a loop that does not wait, if they are all.
_LEFT_ALONE = frozenset(("memory-growth", "duplicates"))
_CHANGED_DATASET = "DLC405"
_RESTARTED = "DLC205"


@dataclass(frozen=True, slots=True)
class _Edit:
    """A change of settings: what it is called, in words, and the setup that it makes."""

    change: Mapping[str, Any]
    text: str
    setup: Setup


def predictions(evidence: Evidence, culprits: Sequence[Culprit]) -> tuple[Prediction, ...]:
    """What changes of the loader's settings, and a faster hottest line, would bring."""
    model = evidence.model
    if model is None or model.refusal:
        return ()
    setups: list[tuple[Mapping[str, Any], Setup]] = []
    share = evidence.making.cpu_share
    for count in worker_counts(model.setup, evidence.cores, share if share is not None else 1.0):
        setups.append(({"num_workers": count}, with_workers(model.setup, count)))
    if model.setup.num_workers:
        if could_load_itself(evidence):
            setups.append(({"num_workers": 0}, with_workers(model.setup, 0)))
        for factor in (2, 4):
            value = model.setup.prefetch_factor * factor
            setups.append(({"prefetch_factor": value}, replace(model.setup, prefetch_factor=value)))
        if model.setup.in_order and model.setup.num_workers > 1:
            setups.append(({"in_order": False}, replace(model.setup, in_order=False)))
        if not model.setup.persistent and evidence.restarts:
            setups.append(({"persistent_workers": True}, replace(model.setup, persistent=True)))
    if model.setup.pinning:
        setups.append(({"pin_memory": False}, replace(model.setup, pinning=False)))
    setups += _faster_lines(model.setup, culprits)
    found = (predict(model, change, setup) for change, setup in setups)
    return tuple(prediction for prediction in found if prediction is not None)


def advise(
    evidence: Evidence,
    judgement: Judgement,
    culprits: Sequence[Culprit],
    predicted: Sequence[Prediction],
    findings: Sequence[Finding],
) -> tuple[Advice, ...]:
    """Changes in the order in which to try them. ``findings``: those about this loader."""
    names = [judgement.leading.name, *(verdict.name for verdict in judgement.also)]
    if names == ["healthy"]:
        return (Advice("Nothing: a faster loader would not make the run faster.", {}, None),)
    cures = {name: text for name in names if (text := cure(evidence, name)) is not None}
    fatal = [Advice(cures[name], {}, None) for name in names[:1] if name in FATAL]
    if names[0] in ENDED or _LEFT_ALONE.issuperset(names):
        # How fast it was does not matter now, or nobody waits for it.
        return tuple(Advice(cures[name], {}, None) for name in names if name in cures)
    edits = list(_edits(evidence, names, predicted, findings)) if evidence.model is not None else []
    gains = [Advice(edit.text, edit.change, _of(predicted, edit.change)) for edit in edits]
    hottest = _hottest(culprits)
    line = _line_advice(evidence, hottest, predicted) if hottest is not None else None
    if line is not None and line.prediction is not None:
        gains.append(line)
    gains.sort(key=lambda advice: -(advice.prediction.speedup if advice.prediction else 0.0))
    together = _together(evidence.model, edits)
    others = [name for name in cures if name not in names[:1] and _applies(name, gains)]
    leading = [name for name in names[:1] if name in cures and name not in FATAL and _applies(name, gains)]
    leading_cure, rest = ([Advice(cures[name], {}, None) for name in own] for own in (leading, others))
    spare = [] if any("num_workers" in g.change for g in gains) else _fewer_workers(evidence, predicted)
    unpriced = [line] if line is not None and line not in gains else []
    if names[0] in ("oversubscribed", "imbalance", "main-gil"):
        # Nothing else helps as much before that.
        return (*leading_cure, *gains, *together, *unpriced, *rest, *spare)
    found = (*fatal, *gains, *together, *leading_cure, *unpriced, *rest, *spare)
    last = last_resort(names[0])
    return found if found or last is None else (Advice(last, {}, None),)


def _applies(name: str, gains: Sequence[Advice]) -> bool:
    """A start-up that is paid once with workers that persist needs no second cure."""
    return name != "startup" or not any("persistent_workers" in gain.change for gain in gains)


def _edits(
    evidence: Evidence, names: Sequence[str], predicted: Sequence[Prediction], findings: Sequence[Finding]
) -> Iterator[_Edit]:
    model = evidence.model
    if model is None:
        return
    setup = model.setup
    count = None if "duplicates" in names else _best_workers(evidence, predicted)
    if count is not None:
        text = f"Set num_workers={count} instead of {setup.num_workers}."
        if evidence.loader.settings.get("iterable") and setup.num_workers < 2 and count > 1:
            # That several workers divide the data has not been seen.
            text += (
                " Only if __iter__ yields each worker's own part (torch.utils.data.get_worker_info()): else every"
                f" sample comes {count} times."
            )
        yield _Edit({"num_workers": count}, text, with_workers(setup, count))
    elif _pays(_of(predicted, {"num_workers": 0})) and not _is_prepared(evidence):
        saved = "starting workers again" if names[0] == "startup" else "getting it from a worker"
        text = f"Set num_workers=0: loading a batch takes less time than {saved}."
        yield _Edit({"num_workers": 0}, text, with_workers(setup, 0))
    if _pays(_of(predicted, {"in_order": False})):
        text = (
            "Set in_order=False: batches that are ready no longer wait for a slow one. Their order then differs"
            " from run to run. Needs torch 2.6."
        )
        yield _Edit({"in_order": False}, text, replace(setup, in_order=False))
    rules = {finding.rule for finding in findings}
    persistent = _of(predicted, {"persistent_workers": True})
    # Where nothing can be predicted, the seconds that were measured for starting again speak for themselves.
    named = "startup" in names and persistent is None and evidence.restarts > 0 and not setup.persistent
    if (_pays(persistent) or named) and _CHANGED_DATASET not in rules:
        text = "Set persistent_workers=True: workers are started once, and not in every epoch."
        if evidence.loader.made > 1:
            text = f"Make the loader once, before the loop that makes it {evidence.loader.made} times. {text}"
        if _RESTARTED not in rules:
            text += " Not where the program changes the dataset between epochs: workers would not see it."
        yield _Edit({"persistent_workers": True}, text, replace(setup, persistent=True))
    if _pays(_of(predicted, {"pin_memory": False})):
        yield _Edit({"pin_memory": False}, cure(evidence, "pin-memory") or "", replace(setup, pinning=False))
    factor = _best_prefetch(evidence, predicted)
    if factor is not None:
        text = f"Set prefetch_factor={factor}: more batches are ready when a slow one comes."
        yield _Edit({"prefetch_factor": factor}, text, replace(setup, prefetch_factor=factor))


def _is_prepared(evidence: Evidence) -> bool:
    """Whether worker_init_fn takes long: a loop without workers does not call it, and may need what it sets up."""
    taken = [
        life.init_end - life.init_begin
        for iterator in evidence.loader.iterators
        for life in iterator.workers
        if life.init_begin is not None and life.init_end is not None
    ]
    return bool(taken) and median(taken) >= _LONG_NS


def _best_workers(evidence: Evidence, predicted: Sequence[Prediction]) -> int | None:
    """The smallest number of workers that is nearly as good as the best, if it is a gain and there is room
    for it.
    """
    now = evidence.workers
    share, usable = evidence.making.cpu_share, evidence.usable_cores
    helpers = evidence.loader.helpers
    if share is not None and helpers is not None:
        share *= helpers.cores
    if evidence.shares_a_lock:
        # The lock lets one worker pass at a time, however many there are; and the replay knows of no lock.
        return None
    allowed = {}
    for prediction in predicted:
        count = prediction.change.get("num_workers")
        if not isinstance(count, int) or count <= now or share is None or usable is None:
            continue
        # One worker beside a loop that only waits for it always has a core; each further one must find its
        # own.
        if (count > 1 and count * share > usable + 0.05) or not _fits_memory(evidence, count):
            continue
        allowed[count] = prediction
    best = max((p.speedup for p in allowed.values()), default=0.0)
    good = [n for n, p in sorted(allowed.items()) if _pays(p) and p.speedup >= _SAME * best]
    return good[0] if good else None


def _fits_memory(evidence: Evidence, count: int) -> bool:
    memory = evidence.memory
    if memory is None or memory.available_bytes is None or not memory.plateau_bytes:
        return True
    return memory.plateau_bytes / memory.workers * (count - evidence.workers) < memory.available_bytes


def _best_prefetch(evidence: Evidence, predicted: Sequence[Prediction]) -> int | None:
    sizes = [b.size_bytes or 0 for i in evidence.loader.iterators for e in i.epochs for b in e.batches]
    for prediction in predicted:
        factor = prediction.change.get("prefetch_factor")
        # More batches ahead are more memory: at most a gigabyte of it is advised.
        if (
            isinstance(factor, int)
            and _pays(prediction)
            and factor * evidence.workers * max(sizes, default=0) < 1e9
        ):
            return factor
    return None


def _together(model: Model | None, edits: Sequence[_Edit]) -> list[Advice]:
    edits = [edit for edit in edits if edit.setup.num_workers]
    if model is None or len(edits) < 2:
        return []
    setup, change = model.setup, dict[str, Any]()
    for edit in edits:
        change |= edit.change
        setup = replace(setup, **{_FIELDS[name]: value for name, value in edit.change.items()})
    prediction = predict(model, change, setup)
    best = max((p.speedup for e in edits if (p := predict(model, e.change, e.setup))), default=0.0)
    if prediction is None or prediction.speedup < GAIN * best:
        return []
    return [Advice("All of these settings together.", change, prediction)]


_FIELDS = {
    "num_workers": "num_workers",
    "prefetch_factor": "prefetch_factor",
    "in_order": "in_order",
    "persistent_workers": "persistent",
    "pin_memory": "pinning",
}


def _fewer_workers(evidence: Evidence, predicted: Sequence[Prediction]) -> list[Advice]:
    """Workers beyond the cores cost memory and start-up, and bring nothing."""
    usable, share = evidence.cores.usable, evidence.making.cpu_share
    if usable is None or share is None or evidence.workers * share <= 1.1 * usable:
        return []
    for prediction in predicted:
        count = prediction.change.get("num_workers")
        if isinstance(count, int) and usable <= count < evidence.workers and prediction.speedup >= _SAME:
            text = (
                f"Set num_workers={count}: on {cores(usable)}, {evidence.workers} workers are no faster than"
                f" {count}."
            )
            return [Advice(text, prediction.change, prediction)]
    return []


def _faster_lines(setup: Setup, culprits: Sequence[Culprit]) -> Iterator[tuple[Mapping[str, Any], Setup]]:
    culprit = _hottest(culprits)
    if culprit is None or culprit.stage not in ("fetch", "collate"):
        return
    for factor in (2, 10):
        scale = 1 - culprit.share * (1 - 1 / factor)
        if culprit.stage == "fetch":
            yield _line_change(culprit, factor), replace(setup, fetch_scale=scale)
        else:
            yield _line_change(culprit, factor), replace(setup, collate_scale=scale)


def _hottest(culprits: Sequence[Culprit]) -> Culprit | None:
    """The first line that was seen in stacks: the entry point of a stage without any is only where to look."""
    return next((culprit for culprit in culprits if culprit.samples), None)


def _line_change(culprit: Culprit, factor: int) -> dict[str, Any]:
    return {"line": f"{culprit.site.file}:{culprit.site.line}", "times_faster": factor}


def _line_advice(evidence: Evidence, culprit: Culprit, predicted: Sequence[Prediction]) -> Advice | None:
    if culprit.share < 0.2:
        return None
    site = culprit.site
    name = site.file.replace("\\", "/").rpartition("/")[2]
    in_call = f", in {culprit.calls}" if culprit.calls else ""
    text = (
        f"Make {name}:{site.line} cheaper ({site.function}{in_call}): the loop waits"
        f" {duration(culprit.wait_s * 1e9)} for it"
    )
    if culprit.finding is not None:
        finding = culprit.finding
        # It may be the cause of what this line costs, or another one in the same function.
        at = "" if culprit.is_found else f" at line {finding.place.line}, in the same function"
        text += f". {finding.rule}{at}: {finding.help or finding.message}"
    change = _line_change(culprit, 2)
    prediction = _of(predicted, change)
    if stage_wait_s(evidence, culprit.stage) * 1e9 < 0.1 * evidence.wait or (
        prediction and not _pays(prediction)
    ):
        return None
    return Advice(text.rstrip(".") + ".", change, prediction)


def _pays(prediction: Prediction | None) -> bool:
    return prediction is not None and prediction.speedup >= GAIN and prediction.low > 1.0


def _of(predicted: Sequence[Prediction], change: Mapping[str, Any]) -> Prediction | None:
    return next((prediction for prediction in predicted if prediction.change == change), None)
