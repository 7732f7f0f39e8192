"""Which rank of a distributed job gets its batches late, and what the others lose by it.

Ranks that exchange gradients go in step: the one that gets its batch last holds up all others. The clocks of ranks on
one host are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.timeline import Batch, LoaderLife, Site


@dataclass(frozen=True, slots=True)
class RankLateness:
    """How one rank compares with the others that iterate the same loader, over the ``steps`` that all of them made.

    ``late_mean_s``, ``late_p95_s``: how much later than the first of the ranks it got its batch. ``last_share``: of
    the steps in which it was the last. ``held_up_s``: for how long the others had their batch, and this rank waited
    for its own and was the last that did: what they would gain if it were as early as the rank before it.
    """

    created_at: Site
    rank: int
    steps: int
    wait_s: float
    late_mean_s: float
    late_p95_s: float
    last_share: float
    held_up_s: float


def lateness(loaders: Iterable[LoaderLife]) -> tuple[RankLateness, ...]:
    """Each rank of each loader that several ranks iterate; those that hold up the others most come first."""
    alike: dict[tuple[Site, int], dict[int, LoaderLife]] = {}
    for loader in loaders:
        if loader.rank is None:
            continue
        # A line may make several loaders in each rank: they correspond in their order.
        turn = 0
        while loader.rank in alike.get((loader.created_at, turn), {}):
            turn += 1
        alike.setdefault((loader.created_at, turn), {})[loader.rank] = loader
    found = [use for by_rank in alike.values() if len(by_rank) > 1 for use in _compare(by_rank)]
    return tuple(sorted(found, key=lambda use: -use.held_up_s))


def _compare(by_rank: dict[int, LoaderLife]) -> Iterable[RankLateness]:
    ranks = sorted(by_rank)
    steps = _steps([_epochs(by_rank[rank]) for rank in ranks])
    if not steps:
        return
    late: dict[int, list[int]] = {rank: [] for rank in ranks}
    wait = dict.fromkeys(ranks, 0)
    last = dict.fromkeys(ranks, 0)
    held_up = dict.fromkeys(ranks, 0)
    for step in steps:
        got = [batch.got or 0 for batch in step]
        order = sorted(range(len(ranks)), key=got.__getitem__)
        for rank, batch, at in zip(ranks, step, got, strict=True):
            late[rank].append(at - got[order[0]])
            wait[rank] += _waited(batch)
        slowest, before = order[-1], order[-2]
        last[ranks[slowest]] += 1
        held_up[ranks[slowest]] += min(got[slowest] - got[before], _waited(step[slowest]))
    for rank in ranks:
        own = sorted(late[rank])
        yield RankLateness(
            created_at=by_rank[rank].created_at,
            rank=rank,
            steps=len(steps),
            wait_s=wait[rank] / 1e9,
            late_mean_s=sum(own) / len(own) / 1e9,
            late_p95_s=own[int(0.95 * (len(own) - 1))] / 1e9,
            last_share=last[rank] / len(steps),
            held_up_s=held_up[rank] / 1e9,
        )


def _epochs(loader: LoaderLife) -> list[list[Batch]]:
    epochs = [epoch for iterator in loader.iterators for epoch in iterator.epochs]
    return [
        sorted((batch for batch in epoch.batches if batch.got is not None), key=lambda batch: batch.got or 0)
        for epoch in sorted(epochs, key=lambda epoch: epoch.begin)
    ]


def _steps(ranks: Sequence[list[list[Batch]]]) -> list[tuple[Batch, ...]]:
    """The batches that the ranks got in the same step of the same epoch."""
    return [step for epochs in zip(*ranks, strict=False) for step in zip(*epochs, strict=False)]


def _waited(batch: Batch) -> int:
    return batch.got - batch.asked if batch.got is not None and batch.asked is not None else 0
