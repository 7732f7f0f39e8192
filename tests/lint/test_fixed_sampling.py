"""The fixes of DLC401, DLC402 and DLC403, run: each worker draws its own numbers, and each sample comes once, in a new order."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.fixing import fix_all

torch = pytest.importorskip("torch")


def _fixed(source: str, rule: str, folder: Path) -> dict[str, Any]:
    """The names that a source defines after the fixes of a rule; nothing that the rule finds is left in it."""
    path = folder / "example.py"
    path.write_text(textwrap.dedent(source))

    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([path], folder, select=(rule,), low_confidence=True, overlay=overlay)

    assert check({}).findings
    fixed = fix_all(check, unsafe=True)
    assert not fixed.problems
    assert not fixed.result.findings
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(fixed.changes[str(path)][1], "example.py", "exec"), names)
    return names


LINES = """\
    import random
    from torch.utils.data import DataLoader, IterableDataset

    class Lines(IterableDataset):
        def __init__(self, path):
            self.path = path
        def __iter__(self):
            with open(self.path) as f:
                for line in f:
                    yield line.strip()

    def load(folder, workers=2):
        return DataLoader(Lines(folder / "0.txt"), batch_size=None, num_workers=workers)
    """
SHUFFLED = """\
    import random
    from torch.utils.data import DataLoader, IterableDataset

    class Files(IterableDataset):
        def __init__(self, paths):
            self.paths = sorted(paths)
        def read(self, path):
            lines = open(path).readlines()
            random.shuffle(lines)
            yield from lines
        def __iter__(self):
            paths = list(self.paths)
            random.shuffle(paths)
            for path in paths:
                for line in self.read(path):
                    yield line.strip()

    def load(folder, workers=2):
        return DataLoader(Files(folder.glob("?.txt")), batch_size=None, num_workers=workers)
    """
CHAINED = """\
    from itertools import chain
    from torch.utils.data import DataLoader, IterableDataset

    class Chained(IterableDataset):
        def __init__(self, paths: list):
            self.paths = paths
        def __iter__(self):
            return map(str.strip, chain.from_iterable(map(open, self.paths)))

    def load(folder, workers=2):
        return DataLoader(Chained(sorted(folder.glob("?.txt"))), batch_size=None, num_workers=workers)
    """


@pytest.mark.parametrize("source", [LINES, SHUFFLED, CHAINED], ids=["lines", "shuffled", "chained"])
def test_each_sample_comes_once(source: str, tmp_path: Path) -> None:
    for number in range(5):
        lines = (f"{number}-{line}\n" for line in range(7))
        (tmp_path / f"{number}.txt").write_text("".join(lines))
    expected = 7 if source is LINES else 35
    load = _fixed(source, "DLC402", tmp_path)["load"]
    for workers in (0, 1, 2):
        counted = Counter(load(tmp_path, workers))
        assert len(counted) == expected
        assert set(counted.values()) == {1}


DRAWS = """\
    import random
    import numpy as np
    from torch import Generator, rand
    from torch.utils.data import DataLoader, Dataset

    class Draws(Dataset):
        def __init__(self):
            self.numbers = np.random.default_rng(0)
            self.choices = random.Random(0)
            self.more = np.random.RandomState(0)
            self.last = Generator().manual_seed(0)
        def __len__(self):
            return 8
        def __getitem__(self, index):
            first = float(self.numbers.random()), self.choices.random()
            return *first, float(self.more.rand()), float(rand((), generator=self.last))

    def load():
        return DataLoader(Draws(), batch_size=None, shuffle=True, num_workers=2)
    """
SEEDS = """\
    import random
    from torch.utils.data import DataLoader, Dataset

    class Draws(Dataset):
        def __len__(self):
            return 8
        def __getitem__(self, index):
            return (random.random(),)

    def seed_worker(number):
        random.seed(17)

    def load():
        return DataLoader(
            Draws(), batch_size=None, shuffle=True, num_workers=2, worker_init_fn=seed_worker
        )
    """


@pytest.mark.parametrize("source", [DRAWS, SEEDS], ids=["generators", "seeds"])
def test_all_numbers_differ(source: str, tmp_path: Path) -> None:
    loader = _fixed(source, "DLC401", tmp_path)["load"]()
    drawn = [number for _ in range(2) for sample in loader for number in sample]
    assert len(drawn) in (16, 64)
    assert len(set(drawn)) == len(drawn)


EPOCHS = """\
    from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

    def train(step, ranks, epochs):
        data = list(range(64))
        if ranks > 1:
            sampler = DistributedSampler(data, num_replicas=ranks, rank=0, shuffle=True)
        else:
            sampler = RandomSampler(data)
        train_loader = DataLoader(data, sampler=sampler, batch_size=None)
        for epoch in range(epochs):
            for x in train_loader:
                step(epoch, x)
    """


@pytest.mark.parametrize("ranks", [1, 2])
def test_epochs_differ_in_order(ranks: int, tmp_path: Path) -> None:
    train = _fixed(EPOCHS, "DLC403", tmp_path)["train"]
    epochs: list[list[int]] = [[], []]
    train(lambda epoch, x: epochs[epoch].append(x), ranks, 2)
    assert len(epochs[0]) == len(epochs[1]) == 64 // ranks
    assert epochs[0] != epochs[1]
