"""The lateness of ranks, on timelines written by hand. Times in milliseconds."""

from __future__ import annotations

from dlcheck.diagnosis.ranks import RankLateness, passes
from dlcheck.diagnosis.ranks import lateness as lateness_of
from dlcheck.diagnosis.timeline import Batch, Epoch, IteratorLife, LoaderLife, Site

MS = 1_000_000


def loader(rank: int | None, *epochs: list[tuple[int, int]], line: int = 7) -> LoaderLife:
    """A loader of one rank: for each epoch, when each batch was asked for and got."""
    lives = tuple(
        Epoch(
            number=0,
            begin=epoch[0][0] * MS,
            iterator_begin=None,
            iterator_end=None,
            end=None,
            exhausted=True,
            batches=tuple(
                Batch(idx, None, 0, asked=asked * MS, got=got * MS) for idx, (asked, got) in enumerate(epoch)
            ),
        )
        for epoch in epochs
    )
    iterators = tuple(IteratorLife(n, 1, (), (), (epoch,)) for n, epoch in enumerate(lives))
    return LoaderLife(f"{rank}:{line}", 1, rank, Site("train.py", line), "Set", None, {}, iterators)


def lateness(loaders: list[LoaderLife]) -> tuple[RankLateness, ...]:
    return lateness_of(passes(loaders))


def test_the_late_rank_holds_up_the_others() -> None:
    first = loader(0, [(0, 10), (100, 110)], [(200, 210)])
    second = loader(1, [(0, 40), (100, 150)], [(200, 205)])
    late, early = lateness([first, second])
    assert (late.rank, late.steps, early.rank) == (1, 3, 0)
    assert round(late.held_up_s * 1000) == 30 + 40 and round(early.held_up_s * 1000) == 5
    assert round(late.late_mean_s * 1000, 1) == 23.3
    assert (round(late.last_share, 2), round(early.last_share, 2)) == (0.67, 0.33)
    assert round(late.wait_s * 1000) == 40 + 50 + 5


def test_what_a_rank_did_between_its_batches_is_not_charged_to_its_loader() -> None:
    first = loader(0, [(0, 10)])
    second = loader(1, [(95, 100)])
    late, _ = lateness([first, second])
    assert late.rank == 1 and round(late.held_up_s * 1000) == 5


def test_only_the_same_loaders_are_compared() -> None:
    assert lateness([loader(None, [(0, 1)]), loader(None, [(0, 1)])]) == ()
    assert lateness([loader(0, [(0, 1)]), loader(1, [(0, 1)], line=9)]) == ()
    pairs = lateness([loader(rank, [(begin, begin + 1 + rank)]) for begin in (0, 50) for rank in (0, 1)])
    assert [use.rank for use in pairs].count(1) == 2 and all(use.steps == 1 for use in pairs)


def test_steps_that_not_all_ranks_made_are_left_out() -> None:
    uses = lateness([loader(0, [(0, 1), (2, 3), (4, 5)]), loader(1, [(0, 1)])])
    assert {use.steps for use in uses} == {1}
    assert lateness([loader(0, [(0, 1)]), LoaderLife("x", 1, 1, Site("train.py", 7), "", None, {}, ())]) == ()
