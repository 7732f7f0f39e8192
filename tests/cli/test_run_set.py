"""``dlcheck run --set``: arguments of loaders changed from outside, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """\
import inspect
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

class Named(DataLoader):
    def __init__(self, items, name):
        super().__init__(items, batch_size=2, num_workers=1)
        self.name = name

def make(*args, **kwargs):
    return DataLoader(*args, **kwargs)

items = list(range(8))
loaders = [
    make(items, 4, False, None, None, 1),
    DataLoader(items, batch_size=4, num_workers=2, prefetch_factor=3, persistent_workers=True),
    DataLoader(items, batch_sampler=BatchSampler(SequentialSampler(items), 4, False)),
    Named(items, "named"),
]
for loader in loaders:
    batches = [batch.tolist() for batch in loader]
    print(loader.num_workers, loader.prefetch_factor, loader.persistent_workers, batches)
print(inspect.signature(DataLoader.__init__).parameters["num_workers"].default)
"""


def run(folder: Path, *options: str) -> tuple[list[str], dict[str, Any]]:
    """What the program printed, and the report."""
    (folder / "train.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--no-stacks", "--no-check", *options]
    command += ["--output", str(folder / "rec"), "train.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), json.loads((folder / "rec" / "report.json").read_text(encoding="utf-8"))


FOURS = "[[0, 1, 2, 3], [4, 5, 6, 7]]"
TWOS = "[[0, 1], [2, 3], [4, 5], [6, 7]]"


@pytest.mark.slow
def test_every_loader_is_changed_and_only_what_was_asked(tmp_path: Path) -> None:
    lines, report = run(tmp_path, "--set", "num_workers=3,prefetch_factor=5")
    assert lines == [
        f"3 5 False {FOURS}",
        f"3 5 True {FOURS}",
        f"3 5 False {FOURS}",
        f"3 5 False {TWOS}",
        "0",
    ]
    notes = report["notes"]
    assert "--set: num_workers=3 instead of 1 at train.py:11" in notes
    assert "--set: prefetch_factor=5 instead of 3 at train.py:16" in notes
    assert [loader["settings"]["num_workers"] for loader in report["loaders"]] == [3, 3, 3, 3]


@pytest.mark.slow
def test_one_loader_is_changed_by_its_line_or_by_the_line_that_asks_for_it(tmp_path: Path) -> None:
    lines, _ = run(tmp_path, "--set", "num_workers=0", "--loader", "train.py:16")
    assert [line.split()[0] for line in lines[:4]] == ["1", "0", "0", "1"]
    assert lines[1] == f"0 None False {FOURS}"


@pytest.mark.slow
def test_what_cannot_be_changed_is_left_and_said(tmp_path: Path) -> None:
    lines, report = run(tmp_path, "--set", "batch_size=8", "--set", "persistent_workers=True")
    assert lines[2] == f"0 None False {FOURS}"
    assert lines[3] == "1 2 True [[0, 1, 2, 3, 4, 5, 6, 7]]"
    notes = "\n".join(report["notes"])
    assert "batch_size was left as it is at train.py:17: the program has a batch sampler of its own" in notes
    assert "persistent_workers was left as it is at train.py:17: there are no workers" in notes


@pytest.mark.slow
def test_a_place_where_no_loader_is_made_is_said(tmp_path: Path) -> None:
    lines, report = run(tmp_path, "--set", "num_workers=5", "--loader", "other.py:16")
    assert [line.split()[0] for line in lines[:4]] == ["1", "2", "0", "1"]
    assert "--set changed nothing: no DataLoader was made at other.py:16" in report["notes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "shuffle=True"], "cannot change 'shuffle'"),
        (["--set", "num_workers"], "not of the form"),
        (["--set", "num_workers=many"], "no value for it"),
        (["--set", "in_order=1"], "no value for it"),
        (["--set", "num_workers=2", "--loader", "train.py"], "FILE:LINE"),
        (["--loader", "train.py:3"], "give --set too"),
    ],
)
def test_wrong_usage_is_one_clear_line(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "train.py").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "dlcheck", "run", *options, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
