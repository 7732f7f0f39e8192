"""The turns of a loop: for each batch that it asked for, the wait and the step that followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.attribution import Wait
from dlcheck.diagnosis.timeline import Batch, LoaderLife


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the loop. ``epoch`` counts over all iterators. ``step``: ns from getting the batch to the next request."""

    batch: Batch
    epoch: int
    wait: Wait | None
    step: int


def turns(loader: LoaderLife, waits: Sequence[Wait]) -> list[Turn]:
    """Every batch that the loop asked for, in that order. ``waits``: those of ``attribute``."""
    by_begin = {(wait.begin, wait.idx): wait for wait in waits if wait.kind == "batch"}
    result: list[Turn] = []
    number = 0
    for iterator in loader.iterators:
        for epoch in iterator.epochs:
            asked = sorted((b for b in epoch.batches if b.asked is not None), key=_asked)
            for position, batch in enumerate(asked):
                following = asked[position + 1].asked if position + 1 < len(asked) else epoch.last_asked
                step = max(0, following - batch.got) if following is not None and batch.got is not None else 0
                result.append(Turn(batch, number, by_begin.get((_asked(batch), batch.idx)), step))
            number += 1
    return sorted(result, key=lambda turn: _asked(turn.batch))


def _asked(batch: Batch) -> int:
    return batch.asked if batch.asked is not None else 0
