"""What a worker does only once, at its first batch: opening files, building an index, importing.

Where workers are started anew for every epoch they do it again and again. It is then a part of starting them, which
workers that persist would save, and not of making a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from dlcheck.diagnosis.timeline import Batch, Epoch, IteratorLife, LoaderLife

# The first batch of a worker must take so many times what others do, and so much longer.
_TIMES = 2.0
_LEAST_NS = 20_000_000


def with_openings(loader: LoaderLife) -> LoaderLife:
    """The loader with ``opening_ns`` for the first batches of workers, where those take longer again and again."""
    firsts, others = [], []
    restarted = [iterator for iterator in loader.iterators if iterator.workers]
    for iterator in restarted:
        for own in _by_worker(iterator):
            firsts.append(own[0])
            others += own[1:]
    if len(restarted) < 2 or len(others) < len(firsts):
        return loader
    usual = median(_fetch_ns(batch) for batch in others)
    # What comes right after a first batch must be as quick as the rest: else slow items come first.
    seconds = [own[1] for iterator in restarted for own in _by_worker(iterator) if len(own) > 1]
    slow = [b for b in firsts if _excess(b, usual) > 0]
    if 2 * len(slow) <= len(firsts) or 4 * sum(_excess(b, usual) > 0 for b in seconds) > len(seconds):
        return loader
    iterators = tuple(
        _marked(iterator, usual) if iterator.workers else iterator for iterator in loader.iterators
    )
    return replace(loader, iterators=iterators)


def _by_worker(iterator: IteratorLife) -> Iterator[list[Batch]]:
    own: dict[int, list[Batch]] = {}
    for epoch in iterator.epochs:
        for batch in epoch.batches:
            if batch.worker is not None and batch.fetch is not None and batch.fetch_begin is not None:
                own.setdefault(batch.worker, []).append(batch)
    for made in own.values():
        yield sorted(made, key=lambda batch: batch.fetch_begin or 0)


def _fetch_ns(batch: Batch) -> int:
    """How long the fetch took, waiting for a core left out."""
    return 0 if batch.fetch is None else batch.fetch.wall_ns - (batch.fetch.runqueue_ns or 0)


def _excess(batch: Batch, usual: float) -> int:
    own = _fetch_ns(batch)
    return int(own - usual) if own > _TIMES * usual and own - usual > _LEAST_NS else 0


def _opening(batch: Batch, usual: float) -> int:
    """The excess with its part of the time that the fetch waited for a core."""
    own = _fetch_ns(batch)
    return 0 if batch.fetch is None or not own else int(batch.fetch.wall_ns * _excess(batch, usual) / own)


def _marked(iterator: IteratorLife, usual: float) -> IteratorLife:
    firsts = {(made[0].epoch, made[0].idx) for made in _by_worker(iterator)}

    def marked(epoch: Epoch) -> Epoch:
        batches = tuple(
            replace(b, opening_ns=_opening(b, usual)) if (b.epoch, b.idx) in firsts else b
            for b in epoch.batches
        )
        return replace(epoch, batches=batches)

    return replace(iterator, epochs=tuple(map(marked, iterator.epochs)))
