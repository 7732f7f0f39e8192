"""The last seconds of a run that goes on, cut out of its timeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlcheck.diagnosis.timeline import Epoch, IteratorLife, LoaderLife, Timeline


def recent(timeline: Timeline, now: int, seconds: float) -> Timeline:
    """What happened from ``seconds`` ago until ``now``: loaders with batches asked for in that time, and samples."""
    begin = max(timeline.begin, now - int(seconds * 1e9))
    loaders = (_loader(life, begin) for life in timeline.loaders)
    return replace(
        timeline,
        begin=begin,
        end=now,
        loaders=tuple(life for life in loaders if life.iterators),
        processes=tuple(sample for sample in timeline.processes if sample.t >= begin),
        machine=tuple(sample for sample in timeline.machine if sample.t >= begin),
        stacks=tuple(sample for sample in timeline.stacks if sample.t >= begin),
        notes=(),
    )


def _loader(life: LoaderLife, begin: int) -> LoaderLife:
    iterators = (replace(one, epochs=tuple(_epochs(one, begin))) for one in life.iterators)
    return replace(life, iterators=tuple(one for one in iterators if one.epochs))


def _epochs(iterator: IteratorLife, begin: int) -> Iterator[Epoch]:
    """The epochs with what they have since ``begin``; batches that were begun before and are under way count too."""
    for epoch in iterator.epochs:
        batches = tuple(batch for batch in epoch.batches if batch.got is None or batch.got >= begin)
        if epoch.begin >= begin:
            yield epoch
        elif any(batch.asked is not None for batch in batches):
            yield replace(epoch, begin=begin, iterator_begin=None, iterator_end=None, batches=batches)
