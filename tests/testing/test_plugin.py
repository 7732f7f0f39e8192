"""The pytest plugin, used as a project would use it: real loaders, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.slow

# Each test of this file is expected to pass, or to fail with the message after its ``# fails:``.
TESTS = """
import os, random, time
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Items(Dataset):
    def __init__(self, seconds=0.002, size=64, hold=0):
        self.seconds, self.size, self.hold, self.held = seconds, size, hold, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if self.hold:
            self.held.append(np.ones(self.hold, np.uint8))
        return {"x": torch.full((4,), float(index)), "name": f"item {index}"}


class Jittered(Items):
    def __getitem__(self, index):
        return torch.rand(3), random.random(), np.random.rand(2)


class Clocked(Items):
    def __getitem__(self, index):
        return time.perf_counter_ns()


class Undivided(IterableDataset):
    def __iter__(self):
        return iter(range(12))


class Divided(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, 12, info.num_workers))


def make(workers=2, **more):
    return DataLoader(Items(**more), batch_size=4, num_workers=workers)


def test_values(loader_probe):
    seen = loader_probe(make)
    assert (seen.batches, seen.samples) == (16, 64)
    assert seen.samples_per_s and seen.capacity_samples_per_s
    # Two workers, 2 ms asleep for each sample: no more than 1000 samples/s can come of it.
    assert seen.capacity_samples_per_s <= 1000
    assert seen.worker_private_bytes and seen.worker_rss_bytes > seen.worker_private_bytes
    assert set(seen.causes_s) and sum(seen.causes_s.values()) > 0


def test_some_batches_of_a_loader_that_exists(loader_probe):
    loader = make()
    assert loader_probe(loader, batches=5).batches == 5
    assert loader_probe(loader).batches == 16


def test_inline(loader_probe):
    seen = loader_probe(make(workers=0))
    assert seen.capacity_samples_per_s <= 500 and seen.worker_rss_bytes is None


def test_spawned_workers_are_seen(loader_probe):
    loader = DataLoader(torch.utils.data.TensorDataset(torch.arange(16)), 4, num_workers=1, multiprocessing_context="spawn")
    seen = loader_probe(loader)
    assert (seen.batches, seen.samples) == (4, 16) and seen.capacity_samples_per_s
    assert "DLCHECK_RECORDING" not in os.environ


def test_reaches(loader_probe):
    assert loader_probe.must_reach(make, samples_per_s=20).samples == 64


def test_too_slow(loader_probe):  # fails: ; 5000 are wanted. It waited
    loader_probe.must_reach(make, samples_per_s=5000, attempts=2)


def test_a_busy_machine_is_not_the_loaders_fault(loader_probe, monkeypatch):
    from dataclasses import replace
    from dlcheck.testing.probe import LoaderProbe
    seen = loader_probe(make)
    slowed = replace(seen, samples_per_s=1.0, capacity_samples_per_s=800.0)
    monkeypatch.setattr(LoaderProbe, "__call__", lambda self, loader, batches=None: slowed)
    assert loader_probe.must_reach(make, samples_per_s=700) == slowed


def test_fits(loader_probe):
    loader_probe.must_fit(make, worker_private_bytes=2_000_000_000)


def test_hoards(loader_probe):  # fails: of private memory after 16 batches; 100 MB are allowed
    loader_probe.must_fit(lambda: make(hold=20_000_000), worker_private_bytes=100_000_000)


def test_memory_without_workers(loader_probe):  # fails: the memory of the workers was not read
    loader_probe.must_fit(lambda: make(workers=0), worker_private_bytes=1)


def test_repeats(loader_probe):
    before = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    loader_probe.must_repeat(lambda: DataLoader(Jittered(), batch_size=4, num_workers=2, shuffle=True))
    assert (torch.rand(1), random.random(), np.random.rand()) == expected


def test_depends_on_time(loader_probe):  # fails: batch 0 differs between two passes under seed 3
    loader_probe.must_repeat(lambda: DataLoader(Clocked(), batch_size=4), seed=3)


def test_divided(loader_probe):
    loader_probe.must_not_duplicate(DataLoader(Divided(), batch_size=2, num_workers=2))
    loader_probe.must_not_duplicate(make, key=lambda batch: batch["name"])


def test_undivided(loader_probe):  # fails: 12 of 12 samples come more than once; the first of them in batches 0 and 1
    loader_probe.must_not_duplicate(DataLoader(Undivided(), batch_size=2, num_workers=2))


def test_undivided_by_name(loader_probe):  # fails: 2 of 2 samples come more than once
    loader_probe.must_not_duplicate(make, key=lambda batch: ["a", "b"])


def test_samples_that_cannot_be_told_apart(loader_probe):  # fails: give must_not_duplicate a key
    loader_probe.must_not_duplicate(DataLoader(Items(size=4), batch_size=2, collate_fn=lambda items: object()))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The message of each test's failure, "" where it passed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_loaders.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--junitxml=out.xml", "test_loaders.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ElementTree.parse(folder / "out.xml").iter("testcase")
    return {str(case.get("name")): "".join(str(part.get("message")) for part in case) for case in cases}


def expected() -> dict[str, str]:
    lines = (line for line in TESTS.splitlines() if line.startswith("def test_"))
    return {line[4 : line.index("(")]: line.partition("# fails: ")[2] for line in lines}


@pytest.mark.parametrize(("name", "message"), expected().items())
def test_outcome(outcomes: dict[str, str], name: str, message: str) -> None:
    if message:
        assert message in outcomes[name]
    else:
        assert outcomes[name] == ""


def test_a_session_that_does_not_ask_for_it_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n"
        "    assert 'dlcheck.pytest_plugin' in sys.modules\n"
        "    assert not {'torch', 'libcst', 'rich', 'dlcheck.probe', 'dlcheck.testing.probe'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "test_plain.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout
