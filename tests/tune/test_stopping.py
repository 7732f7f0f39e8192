"""Runs that end from inside, and from outside where they do not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dlcheck.probe import ending
from dlcheck.probe.launch import Experiment, run
from dlcheck.probe.stopping import STOPPED

PROGRAM = """\
import atexit, sys, threading
import torch
from torch.utils.data import DataLoader

def train(loader):
    got = 0
    try:
        for epoch in range(1000):
            for batch in loader:
                got += 1
    finally:
        print("finally", got)

if __name__ == "__main__":
    atexit.register(print, "atexit")
    other = DataLoader(list(range(4)))
    loader = DataLoader(list(range(40)), batch_size=4, num_workers=2)
    for value in other:
        pass
    if sys.argv[1:] == ["thread"]:
        thread = threading.Thread(target=train, args=[loader])
        thread.start()
        thread.join()
    else:
        train(loader)
"""

RANKS = """\
import multiprocessing, os, sys
os.environ["WORLD_SIZE"] = "2"
from torch.utils.data import DataLoader

def train(barrier):
    got = 0
    try:
        for epoch in range(1000):
            for batch in DataLoader(list(range(4000))):
                barrier.wait(20)  # as ranks wait for each other's gradients
                got += 1
    finally:
        sys.stdout.write(f"finally {got}\\n")
        sys.stdout.flush()

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    ranks = [context.Process(target=train, args=[barrier]) for _ in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    sys.exit(max(abs(rank.exitcode) for rank in ranks))
"""


def stopped(
    folder: Path, stop: dict[str, Any], *arguments: str, program: str = PROGRAM
) -> tuple[int, str, Path]:
    """Exit code and output of a program that is stopped, and its recording."""
    (folder / "train.py").write_text(program, encoding="utf-8")
    command = [sys.executable, str(folder / "train.py"), *arguments]
    experiment = Experiment(stop=stop, deadline_s=60.0, output=folder / "log")
    result = run(command, folder / "rec", sample_stacks=False, experiment=experiment)
    return result.exit_code, (folder / "log").read_text(encoding="utf-8"), folder / "rec"


@pytest.mark.slow
def test_after_so_many_batches_of_one_loader(tmp_path: Path) -> None:
    line = (
        PROGRAM.splitlines().index("    loader = DataLoader(list(range(40)), batch_size=4, num_workers=2)")
        + 1
    )
    code, output, recording = stopped(tmp_path, {"batches": 25, "loader": ["train.py", line]})
    # Blocks of finally and exit handlers have run, and the batches of the other loader did not count.
    assert (code, output.splitlines()) == (0, ["finally 25", "atexit"])
    assert (recording / STOPPED).read_text(encoding="ascii") == "25"
    manifest = json.loads((recording / "recording.json").read_text(encoding="utf-8"))
    assert manifest["stop"]["batches"] == 25 and manifest["replay"] is None


@pytest.mark.slow
def test_after_so_many_seconds(tmp_path: Path) -> None:
    code, output, _ = stopped(tmp_path, {"seconds": 0.5})
    assert code == 0 and output.splitlines()[-1] == "atexit" and "Traceback" not in output


@pytest.mark.slow
def test_a_loop_in_a_thread_ends_the_program_too(tmp_path: Path) -> None:
    code, output, _ = stopped(tmp_path, {"batches": 25}, "thread")
    assert "finally 21" in output and "KeyboardInterrupt" in output and code != 0


@pytest.mark.slow
def test_ranks_stop_at_the_same_batch(tmp_path: Path) -> None:
    code, output, recording = stopped(tmp_path, {"seconds": 0.5}, program=RANKS)
    where = (recording / STOPPED).read_text(encoding="ascii")
    # Neither waits for the other in vain.
    assert code == 0 and sorted(output.splitlines()) == [f"finally {where}"] * 2


def test_a_program_that_goes_on_is_ended_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_GRACE_S", 0.5)
    (tmp_path / STOPPED).touch()
    child = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(['sleep', '1000'])"],
        stdout=subprocess.PIPE,
    )
    code, note = ending.wait(child, tmp_path, None)
    # The pipe is closed when the child and what it started are gone.
    assert child.communicate(timeout=10)[0] == b"" and code != 0 and "went on" in note


def test_a_program_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    begun = time.monotonic()
    code, note = ending.wait(child, tmp_path, 0.3)
    assert code == -15 and "ended after" in note and time.monotonic() - begun < 30
