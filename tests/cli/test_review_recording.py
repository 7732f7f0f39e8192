"""A review with a recorded run: what the change introduces is priced in seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from repository import Repository

from dlcheck.cli.main import main

TRAIN = """\
import json
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

LABELS = Path(__file__).with_name("labels.json")


class Words(Dataset):
    def __init__(self):
        self.labels = json.loads(LABELS.read_text())

    def __len__(self):
        return 200

    def __getitem__(self, index):
        return torch.tensor(self.labels[index])


def main():
    loader = DataLoader(Words(), batch_size=10, num_workers=1)
    for epoch in range(2):
        for batch in loader:
            batch.sum()


if __name__ == "__main__":
    main()
"""
SLOW = "        with open(LABELS) as file:\n            return torch.tensor(json.load(file)[index])\n"


@pytest.mark.slow
def test_findings_are_priced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = Repository(
        tmp_path, {"pyproject.toml": "", "train.py": TRAIN, ".gitignore": "labels.json\nrecording\n"}
    )
    (tmp_path / "labels.json").write_text(json.dumps([n % 7 for n in range(60_000)]))
    repository.write({"train.py": TRAIN.replace("        return torch.tensor(self.labels[index])\n", SLOW)})
    command = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--output", "recording", "train.py"]
    subprocess.run(command, check=True, timeout=300)

    assert main(["review", "--base", "HEAD", "--recording", "recording", "--format", "json"]) == 1
    introduced = json.loads(capsys.readouterr().out)["introduced"]
    # What costs most comes first.
    assert introduced[0]["rule"] == "DLC102"
    assert introduced[0]["cost_s"] > 0
    assert 0 < introduced[0]["cost_share"] <= 1
    costs = [finding["cost_s"] or 0 for finding in introduced]
    assert costs == sorted(costs, reverse=True)

    assert main(["review", "--base", "HEAD", "--recording", "recording"]) == 1
    text = capsys.readouterr().out
    assert " s of waiting, " in text
    assert "A recording (`dlcheck run`" not in text
    assert main(["review", "--base", "HEAD", "--recording", "nowhere"]) == 2
