"""Digests tell contents apart, and samples are taken out of batches."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from dlcheck.testing.digest import digest, samples

torch = pytest.importorskip("torch")

Pair = namedtuple("Pair", "x y")


@dataclass
class Sample:
    x: torch.Tensor
    name: str


EQUAL = [
    lambda: torch.arange(6).reshape(2, 3),
    lambda: torch.zeros(3, dtype=torch.bfloat16),
    lambda: torch.tensor(True),
    lambda: torch.empty(0),
    lambda: torch.arange(6).reshape(2, 3).t(),
    lambda: np.arange(4.0),
    lambda: {"x": torch.ones(2), "names": ["a", "b"], "n": 3},
    lambda: Pair(torch.ones(2), (1.5, None)),
    lambda: Sample(torch.ones(2), "\ud800"),
    lambda: [b"raw", "raw", 2 + 1j],
]


@pytest.mark.parametrize("make", EQUAL)
def test_equal_contents_have_equal_digests(make: object) -> None:
    assert callable(make)
    assert digest(make()) == digest(make())


def test_different_contents_have_different_digests() -> None:
    values = [make() for make in EQUAL]
    values += [
        torch.arange(6),
        torch.arange(6).reshape(3, 2),
        torch.arange(6).float(),
        np.arange(4),
        1,
        1.0,
        True,
        "1",
    ]
    values += [[1, [2]], [[1], 2], {"x": 1}, {"y": 1}, Sample(torch.ones(2), "b"), [], [[]], None]
    assert len({digest(value) for value in values}) == len(values)


def test_what_cannot_be_compared() -> None:
    deep: list[object] = []
    deep.append(deep)
    for value in (object(), [iter([])], deep):
        with pytest.raises(TypeError, match="cannot be compared"):
            digest(value)


def test_samples_of_a_batch() -> None:
    batch = {
        "x": torch.arange(6).reshape(3, 2),
        "name": ["a", "b", "c"],
        "pair": [torch.zeros(3), torch.ones(3)],
    }
    taken = samples(batch)
    assert taken is not None and len(taken) == 3
    assert taken[1]["name"] == "b" and taken[1]["x"].tolist() == [2, 3] and taken[1]["pair"] == (0.0, 1.0)
    assert samples(("a", torch.ones(2))) is None
    assert samples((torch.ones(2), torch.ones(3))) is None
    assert samples(torch.tensor(3)) is None and samples(object()) is None and samples({}) is None
