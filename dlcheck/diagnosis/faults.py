"""Verdicts that do not come from waiting: what the run says itself, memory, how data is divided, threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcheck.diagnosis.copies import copied_batches
from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.hotlines import innermost
from dlcheck.diagnosis.units import amount, duration

FATAL = frozenset(("shared-memory-full", "worker-killed", "dataset-error", "hang"))
"""Verdicts that say why the run ended, or stood still."""

# The sharpest first: a worker that dies of a full shared memory is all of the first three.
_INCIDENTS = ("shared-memory-full", "worker-killed", "dataset-error", "unpicklable-batch", "hang")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict and why: ``sentence`` is for a person, with numbers and units."""

    name: str
    sentence: str


def incident_verdict(evidence: Evidence) -> Verdict | None:
    """What ended or stopped the run, where the run says so itself."""
    for name in _INCIDENTS:
        for incident in evidence.incidents:
            if incident.kind == name:
                site, _ = innermost(incident.stack, evidence.project)
                where = (
                    f", at {Path(site.file).name}:{site.line} ({site.function})" if site is not None else ""
                )
                # A batch that cannot be sent is a loop that waits for ever: the field's word for it is a
                # hang.
                return Verdict("hang" if name == "unpicklable-batch" else name, f"{incident.detail}{where}.")
    return None


def shared_across_threads(evidence: Evidence) -> Verdict | None:
    """One loader is consumed from several threads."""
    if evidence.threads < 2:
        return None
    return Verdict(
        "shared-across-threads",
        f"{evidence.threads} threads consume this loader: they take each other's batches, and one of them may"
        " wait for ever.",
    )


def memory_growth(evidence: Evidence) -> Verdict | None:
    """Private memory of the workers grows."""
    memory = evidence.memory
    if memory is None:
        return None
    text = f"The workers' private memory grew by {amount(memory.growth_bytes)}"
    if memory.kind == "copy-on-write":
        text += (
            ", while what they hold in all did not: memory shared with the training process is being copied,"
            " as its objects are used"
        )
    else:
        text += " and goes on growing"
    if memory.bytes_per_s > 0:
        text += f", now by {amount(memory.bytes_per_s)}/s"
    if memory.seconds_to_limit is not None:
        text += f"; the memory that is left lasts for {duration(memory.seconds_to_limit * 1e9)}"
    elif memory.plateau_bytes is not None:
        text += f"; at most {amount(memory.plateau_bytes)} in all"
    return Verdict("memory-growth", text + ".")


def imbalance(evidence: Evidence) -> Verdict | None:
    """Workers of an iterable dataset make unequal numbers of batches: the loop ends with the slowest."""
    if not evidence.loader.settings.get("iterable") or evidence.workers < 2:
        return None
    uneven = [counts for counts in evidence.shares if max(counts) > 4 and min(counts) < max(counts) / 2]
    if not uneven or 2 * len(uneven) <= len(evidence.shares):
        return None
    counts = uneven[-1]
    return Verdict(
        "imbalance",
        f"The workers share the data unequally: in an epoch they make {_listed(counts)} batches, and the loop waits for"
        " the one with the most.",
    )


def duplicates(evidence: Evidence, duplicated: bool) -> Verdict | None:
    """Each worker of an iterable dataset yields everything: their batches are the same; or a finding says so, and the run
    shows equal shares, since samples that are changed at random differ all the same.
    """
    if not evidence.loader.settings.get("iterable") or evidence.workers < 2:
        return None
    same = copied_batches(evidence.loader)
    equal = all(max(c) - min(c) <= max(1, 0.02 * max(c)) for c in evidence.shares)
    if not same and not (duplicated and evidence.shares and equal):
        return None
    compared = f" ({same} batches of each were compared, and are the same)" if same else ""
    return Verdict(
        "duplicates",
        f"Each of {evidence.workers} workers yields the whole dataset: every sample comes {evidence.workers}"
        f" times{compared}.",
    )


def _listed(counts: Sequence[int]) -> str:
    if len(counts) > 8:
        return ", ".join(map(str, counts[:8])) + ", ..."
    return " and ".join(filter(None, (", ".join(map(str, counts[:-1])), str(counts[-1]))))
