"""How long a loop took for the same batches of each run."""

from __future__ import annotations

import pytest

from dlcheck.diagnosis.timeline import Batch, Epoch, IteratorLife, LoaderLife, Site
from dlcheck.tuning.window import count, epoch_length, seconds

S = 1_000_000_000


def loader(*epochs: tuple[int, list[int], int | None]) -> LoaderLife:
    """One iterator per epoch: when it was begun, when the loop got its batches, when it met its end (or left)."""
    lives = []
    for number, (begin, gots, end) in enumerate(epochs):
        batches = tuple(Batch(idx, 0, 0, asked=got * S - 1, got=got * S) for idx, got in enumerate(gots))
        close = None if end is None else end * S
        epoch = Epoch(0, begin * S, begin * S, begin * S, close, end is not None, batches)
        lives.append(IteratorLife(number + 1, 1, (1,), (), (epoch,)))
    return LoaderLife("1:1", 1, None, Site("train.py", 3), "Data", None, {}, tuple(lives))


def test_within_an_epoch_it_is_from_batch_to_batch() -> None:
    one = loader((0, [3, 4, 6, 9], 10))
    assert seconds(one, 1, 4) == 6 and seconds(one, 2, 3) == 2 and seconds(one, 0, 4) == 9
    assert seconds(one, 1, 5) is None and count(one) == 4 and epoch_length(one) == 4


def test_what_lies_between_epochs_is_left_out() -> None:
    # From 6 to 100 the program validates.
    two = loader((0, [3, 5], 6), (100, [104, 105], 107))
    assert seconds(two, 2, 4) == (6 - 5) + (105 - 100)
    assert seconds(two, 1, 3) == (6 - 3) + (104 - 100)


@pytest.mark.parametrize(("first", "last", "expected"), [(1, 2, 2), (2, 3, 4), (2, 4, 5)])
def test_of_an_epoch_that_was_left_the_last_batch_is_the_end(first: int, last: int, expected: int) -> None:
    left = loader((0, [3, 5], None), (100, [104, 105], None))
    assert seconds(left, first, last) == expected and epoch_length(left) is None
