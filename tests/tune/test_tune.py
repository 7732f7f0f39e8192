"""``dlcheck tune`` from end to end, on real programs that sleep, whatever the machine does besides."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """\
import sys, time
import torch
from torch.utils.data import DataLoader, Dataset


class Data(Dataset):
    def __len__(self):
        return 4000

    def __getitem__(self, index):
        time.sleep(SAMPLE)
        return torch.full((8,), float(index))


def main():
    loader = DataLoader(Data(), batch_size=4, num_workers=2)
    for batch in loader:
        time.sleep(STEP)
    raise RuntimeError("it is never reached")


if __name__ == "__main__":
    main()
"""


def tune(folder: Path, sample_s: float, step_s: float, *options: str, program: str = PROGRAM) -> Any:
    """What came of tuning."""
    source = program.replace("SAMPLE", str(sample_s)).replace("STEP", str(step_s))
    (folder / "train.py").write_text(source, encoding="utf-8")
    # Names of sockets, which torch makes there, may not be long.
    temporary = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "dlcheck", "tune", "--seconds", "2", *options, "--", "train.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=200, check=False,
        env=dict(os.environ, TMPDIR=str(temporary)),
    )  # fmt: skip
    # Nothing is left behind.
    assert not list(temporary.glob("dlcheck-*")) and not (folder / ".dlcheck").exists()
    shutil.rmtree(temporary)
    return done


def test_a_loop_that_waits_gets_more_workers(tmp_path: Path) -> None:
    done = tune(tmp_path, 0.01, 0.004, "--json", "--fix", "--most", "1", "--budget", "100", "--keep-order")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["schema"] == "dlcheck.tune/1" and result["result"] == "clear"
    present, best = result["tried"]
    assert result["winner"] == best["change"] and best["change"]["num_workers"] > 2
    assert "in_order" not in best["change"] and "persistent_workers" not in best["change"]
    measured, predicted = best["measured"], best["predicted"]
    assert measured["low"] > 1 and measured["rounds"] == len(best["batch_s"]) == len(present["batch_s"]) >= 2
    assert predicted["speedup"] == pytest.approx(measured["speedup"], rel=0.35)
    assert result["runs"] == 1 + len(best["batch_s"]) + len(present["batch_s"])
    # Each of them is said, and the edit is made.
    assert sum(": num_workers=" in line for line in done.stderr.splitlines()) == len(best["batch_s"])
    source, edit = (tmp_path / "train.py").read_text(encoding="utf-8"), result["edit"]
    line = f"    loader = DataLoader(Data(), batch_size=4, {edit['arguments']})\n"
    assert line in source and "+" + line in edit["diff"] and edit["written"]


def test_a_loop_that_does_not_wait_is_left_alone(tmp_path: Path) -> None:
    done = tune(tmp_path, 0.002, 0.05, "--fix", "--quiet")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "No other setting makes this loop faster: leave it as it is." in " ".join(done.stdout.split())
    assert "started once" in done.stdout and "num_workers=2)" in (tmp_path / "train.py").read_text(
        encoding="utf-8"
    )


def test_a_program_that_fails_is_said_with_its_last_words(tmp_path: Path) -> None:
    done = tune(tmp_path, 0.0, 0.0, program="import sys\nsys.exit('no data here')\n")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "dlcheck: the program fails as it is: it ended with status 1: no data here"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loader", "train.py:3", "train.py"], "they are made at train.py:1"),
        (["--budget", "0", "train.py"], "--budget must be more than 0"),
        (["--loader", "train.py", "train.py"], "FILE:LINE"),
        (["--", "missing.py"], "no such script: missing.py"),
    ],
)
def test_wrong_usage_is_one_clear_line(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "train.py").write_text("[b for b in __import__('torch').utils.data.DataLoader([1] * 20)]\n")
    command = [sys.executable, "-m", "dlcheck", "tune", "--quiet", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
