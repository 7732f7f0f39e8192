"""A recording of a real, small training, made once for all tests that need one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
import time, torch
from torch.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 96

    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.full((8,), float(index))

if __name__ == "__main__":
    for epoch in range(2):
        for batch in DataLoader(Slow(), batch_size=4, num_workers=2):
            time.sleep(0.002)
"""


def _record(folder: Path, program: str) -> Path:
    (folder / "train.py").write_text(program, encoding="utf-8")
    words = ("run", "--no-stacks", "--quiet", "--output", "rec", "train.py")
    subprocess.run([sys.executable, "-m", "dlcheck", *words], cwd=folder, check=True, timeout=200)
    return folder / "rec"


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the recording; ``train.py`` lies beside it."""
    return _record(tmp_path_factory.mktemp("recorded"), TRAIN)


@pytest.fixture(scope="session")
def slow_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a dataset that is ten times as slow."""
    return _record(tmp_path_factory.mktemp("slow"), TRAIN.replace("0.004", "0.04"))
