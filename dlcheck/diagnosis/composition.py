"""Which stages of making a batch a wait for it is due to.

A loop often begins to wait when the batch is half made: the critical path then shows the later stages alone. But a
batch that is fetched and then collated comes earlier by as much, whichever of the two becomes cheaper. So a verdict,
which is about cures, shares what was waited for the making of a batch among all its stages, in the ratio of what they
cost.
"""

from __future__ import annotations

from collections.abc import Iterable

from dlcheck.diagnosis.attribution import Wait, collate_shares, fetch_shares
from dlcheck.diagnosis.spans import Part, Shares
from dlcheck.diagnosis.timeline import Batch

_STAGES = frozenset(("fetch-cpu", "fetch-io", "collate", "cpu-wait"))


def composed(waits: Iterable[Wait], batches: Iterable[Batch]) -> dict[Part, int]:
    """Nanoseconds of each part over all ``waits``, those for making the awaited batch shared among its stages."""
    awaited: dict[tuple[int, int | None], Batch] = {
        (b.asked, b.idx): b for b in batches if b.asked is not None
    }
    parts: dict[Part, int] = {}
    for wait in waits:
        batch = awaited.get((wait.begin, wait.idx)) if wait.worker is not None else None
        for part, ns in (wait.parts if batch is None else _shared(wait.parts, batch)).items():
            parts[part] = parts.get(part, 0) + ns
    return parts


def _shared(parts: dict[Part, int], batch: Batch) -> dict[Part, int]:
    result = dict(parts)
    # What was waited for the order's sake is kept apart: a verdict may ask for it.
    for outer in ("", "reorder"):
        made = {part: ns for part, ns in parts.items() if _stage(part, outer)}
        shares = _shares(batch)
        weights = sum(weight for _, _, weight in shares)
        if not made or not weights:
            continue
        for part in made:
            del result[part]
        for cause, detail, weight in shares:
            part = (outer, cause) if outer else (cause, detail)
            result[part] = result.get(part, 0) + sum(made.values()) * weight // weights
    return result


def _stage(part: Part, outer: str) -> bool:
    cause, detail = part
    return detail in _STAGES if outer and cause == outer else cause in _STAGES and not outer


def _shares(batch: Batch) -> Shares:
    fetch = batch.usual_fetch
    if fetch is None or fetch.cpu_ns is None:
        return ()
    collate = batch.collate
    stacked = collate_shares(collate) if collate is not None and collate.cpu_ns is not None else ()
    return (*fetch_shares(fetch), *stacked)
