"""``dlcheck compare`` on real recordings, and its exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def dlcheck(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlcheck", "compare", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def test_a_slower_dataset_fails_a_gate_and_a_faster_one_passes(
    recording: Path, slow_recording: Path, tmp_path: Path
) -> None:
    worse = dlcheck(recording, slow_recording, "--fail-on", "regression", cwd=tmp_path)
    assert worse.returncode == 3
    assert "worse: 0." in worse.stdout and "regression: loader train.py:15" in worse.stdout
    better = dlcheck(slow_recording, recording, "--fail-on", "regression", cwd=tmp_path)
    assert better.returncode == 0 and "better: " in better.stdout
    assert dlcheck(recording, slow_recording, cwd=tmp_path).returncode == 0


def test_json_and_folders_of_recordings(recording: Path, slow_recording: Path, tmp_path: Path) -> None:
    for side, made in (("a", recording), ("b", slow_recording)):
        for number in range(2):
            shutil.copytree(made, tmp_path / side / f"run{number}")
    done = dlcheck("a", "b", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert len(value["a"]) == len(value["b"]) == 2
    (loader,) = value["loaders"]
    assert loader["speed"]["word"] == "worse" and loader["speed"]["high"] < 0.5
    assert loader["settings"] == []


@pytest.mark.parametrize("words", [("missing", "missing"), (".", "."), ("--margin", "2", ".", ".")])
def test_wrong_usage_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = dlcheck(*words, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
