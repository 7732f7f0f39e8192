"""``dlcheck run --replay``: the ceiling, measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """\
import time, sys
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

class Slow(Dataset):
    def __len__(self):
        return 160
    def __getitem__(self, index):
        time.sleep(0.004)
        return {"x": torch.full((8,), float(index)), "y": index}

class Stream(IterableDataset):
    def __iter__(self):
        return (Slow()[i] for i in range(160))

if __name__ == "__main__":
    counts = []
    for dataset in (Slow(), Stream()):
        loader = DataLoader(dataset, batch_size=4, num_workers=1)
        for epoch in range(3):
            labels = []
            for batch in loader:
                labels += batch.pop("y").tolist()  # a cached batch must not lack it the next time
                time.sleep(0.004)
            counts.append((len(labels), len(set(labels))))
    print(counts)
"""


def dlcheck(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlcheck", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
def test_the_loop_gets_as_many_batches_and_they_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    done = dlcheck(tmp_path, "run", "--replay", "--no-stacks", "--output", "rec", "train.py")
    assert done.returncode == 0, done.stderr
    # The first 20 batches are real, the other 100 are 16 of these again and again. Of a stream the length is known when
    # it has ended once.
    assert done.stdout.strip() == "[(160, 80), (160, 64), (160, 64), (160, 160), (160, 64), (160, 64)]"
    assert "A replay" in done.stderr and "should be deleted" in done.stderr
    replay: dict[str, Any] = json.loads((tmp_path / "rec" / "replay.json").read_text(encoding="utf-8"))
    assert replay["schema"] == "dlcheck.replay/1"
    slow, stream = sorted(replay["loaders"], key=lambda loader: loader["dataset"])
    assert (slow["real_batches"], slow["replayed_batches"]) == (20, 100)
    assert (stream["real_batches"], stream["replayed_batches"]) == (40, 80)
    for loader in (slow, stream):
        # Four sleeps of 4 ms and a step of 4 ms, against the step alone.
        assert loader["replayed_batch_s"] < loader["real_batch_s"]
        assert loader["ceiling_measured"]["value"] > 2 and loader["ceiling_predicted"] > 2


@pytest.mark.slow
def test_no_verdict_comes_of_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM.replace("range(3)", "range(1)"), encoding="utf-8")
    words = (
        "run",
        "--replay",
        "--quiet",
        "--no-stacks",
        "--output",
        "rec",
        "--loader",
        "train.py:20",
        "train.py",
    )
    done = dlcheck(tmp_path, *words)
    assert done.returncode == 0 and not done.stderr
    assert not (tmp_path / "rec" / "report.json").exists()
    for command in (("report", "rec"), ("compare", "rec", "rec")):
        shown = dlcheck(tmp_path, *command)
        assert shown.returncode == 2 and "replay with cached batches" in shown.stderr, shown.stderr
    refused = dlcheck(tmp_path, "run", "--replay", "--fail-on", "wait_share > 1%", "train.py")
    assert refused.returncode == 2 and "--fail-on" in refused.stderr
