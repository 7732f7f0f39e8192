"""Whether the workers of an iterable dataset all yield the same, by the fingerprints of their batches."""

from __future__ import annotations

from dlcheck.diagnosis.timeline import Epoch, LoaderLife

# One batch may be like another by chance: a header, a first class.
_FEWEST = 2


def copied_batches(loader: LoaderLife) -> int:
    """How many batches of each worker were compared with those of all others, and found equal.

    0 where some differ, or that cannot be told: fewer than two workers, too few batches, or all of them of one content.
    """
    workers = int(loader.settings.get("num_workers") or 0)
    if workers < 2:
        return 0
    compared = 0
    for epoch in (epoch for iterator in loader.iterators for epoch in iterator.epochs):
        turns = _turns(epoch, workers)
        if any(len(set(turn)) > 1 for turn in turns):
            return 0
        if len(turns) >= _FEWEST and len(set(turns)) > 1:
            compared += len(turns)
    return compared


def _turns(epoch: Epoch, workers: int) -> list[tuple[int, ...]]:
    """The fingerprints of the first batch of each worker, of the second of each, and so on, where all are known."""
    made: dict[int, list[int | None]] = {}
    for batch in epoch.batches:
        if batch.worker is not None and batch.collate_end is not None:
            made.setdefault(batch.worker, []).append(batch.content)
    if len(made) < workers:
        return []
    turns = zip(*made.values(), strict=False)
    return [known for turn in turns if len(known := tuple(c for c in turn if c is not None)) == workers]
