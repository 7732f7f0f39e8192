"""Which rank of a distributed job gets its batches late, and what the others lose by it.

Ranks that exchange gradients go in step: the one that gets its batch last holds up all others. The clocks of ranks on
one host are the same; those of several hosts are compared by the time of day at which their recordings began.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.timeline import Batch, LoaderLife, Site


@dataclass(frozen=True, slots=True)
class RankLateness:
    """How one rank compares with the others that iterate the same loader, over the ``steps`` that all of them made.

    ``late_mean_s``, ``late_p95_s``: how much later than the first of the ranks it got its batch. ``last_share``: of
    the steps in which it was the last. ``held_up_s``: for how long the others had their batch, and this rank waited
    for its own and was the last that did: what they would gain if it were as early as the rank before it. ``node``: the
    host that it ran on, in a report of several.
    """

    created_at: Site
    rank: int
    steps: int
    wait_s: float
    late_mean_s: float
    late_p95_s: float
    last_share: float
    held_up_s: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class Passes:
    """When one rank got its batches. ``epochs``: for each pass, in order, when it got each batch, and how long it had
    waited for it, in ns. ``node``: where the rank ran, where that is not the same for all.
    """

    created_at: Site
    rank: int
    epochs: tuple[tuple[array[int], array[int]], ...]
    node: str = ""

    def later(self, ns: int, node: str) -> Passes:
        """The same on another clock, and of a node."""
        epochs = tuple((array("q", (t + ns for t in got)), waited) for got, waited in self.epochs)
        return Passes(self.created_at, self.rank, epochs, node)


def passes(loaders: Iterable[LoaderLife]) -> tuple[Passes, ...]:
    """Those of each loader that is a rank's."""
    return tuple(
        Passes(loader.created_at, loader.rank, tuple(map(_pass, _epochs(loader))))
        for loader in loaders
        if loader.rank is not None
    )


def lateness(all_passes: Iterable[Passes]) -> tuple[RankLateness, ...]:
    """Each rank of each loader that several ranks iterate; those that hold up the others most come first."""
    alike: dict[tuple[Site, int], dict[int, Passes]] = {}
    for own in all_passes:
        # A line may make several loaders in each rank: they correspond in their order.
        turn = 0
        while own.rank in alike.get((own.created_at, turn), {}):
            turn += 1
        alike.setdefault((own.created_at, turn), {})[own.rank] = own
    found = [use for by_rank in alike.values() if len(by_rank) > 1 for use in _compare(by_rank)]
    return tuple(sorted(found, key=lambda use: -use.held_up_s))


def _compare(by_rank: dict[int, Passes]) -> Iterable[RankLateness]:
    ranks = sorted(by_rank)
    late = {rank: array("q") for rank in ranks}
    wait = dict.fromkeys(ranks, 0)
    last = dict.fromkeys(ranks, 0)
    held_up = dict.fromkeys(ranks, 0)
    steps = 0
    for epochs in zip(*(by_rank[rank].epochs for rank in ranks), strict=False):
        waits = [waited for _, waited in epochs]
        for number, got in enumerate(zip(*(got for got, _ in epochs), strict=False)):
            first = min(got)
            *_, before, slowest = sorted(got)
            for rank, waited, at in zip(ranks, waits, got, strict=True):
                late[rank].append(at - first)
                wait[rank] += waited[number]
            # The last of those that were equally late, as order was.
            position = len(got) - 1 - got[::-1].index(slowest)
            last[ranks[position]] += 1
            held_up[ranks[position]] += min(slowest - before, waits[position][number])
            steps += 1
    for rank in ranks if steps else ():
        own = sorted(late[rank])
        yield RankLateness(
            created_at=by_rank[rank].created_at,
            rank=rank,
            steps=steps,
            wait_s=wait[rank] / 1e9,
            late_mean_s=sum(own) / steps / 1e9,
            late_p95_s=own[int(0.95 * (steps - 1))] / 1e9,
            last_share=last[rank] / steps,
            held_up_s=held_up[rank] / 1e9,
            node=by_rank[rank].node,
        )


def _epochs(loader: LoaderLife) -> list[list[Batch]]:
    epochs = [epoch for iterator in loader.iterators for epoch in iterator.epochs]
    return [
        sorted((batch for batch in epoch.batches if batch.got is not None), key=lambda batch: batch.got or 0)
        for epoch in sorted(epochs, key=lambda epoch: epoch.begin)
    ]


def _pass(batches: Sequence[Batch]) -> tuple[array[int], array[int]]:
    waited = ((b.got or 0) - b.asked if b.asked is not None else 0 for b in batches)
    return array("q", (b.got or 0 for b in batches)), array("q", waited)
