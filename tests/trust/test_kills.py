"""kill -9 of each process of a probed run: a slice of ``benchmarks/kills.py``, which says what is looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_fate_recording_and_leftovers_after_kills() -> None:
    command = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    done = subprocess.run(
        [sys.executable, str(command), "--times", "6", "--seed", "5", "--seconds", "1.5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-5:]]
    assert sum(int(runs) for _, runs, _, _ in rows) == 6
    # On a machine in a hurry one or the other has ended before its moment comes.
    assert sum(int(killed) for _, _, killed, _ in rows) >= 2
