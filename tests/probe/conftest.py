"""Runs a program with the probe and without it, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.timeline import LoaderLife, Timeline

PROGRAMS = Path(__file__).parent / "programs"

_LAUNCHER = """
import sys
from pathlib import Path
from dlcheck.probe.launch import python_command, run
from dlcheck.probe.signals import exit_as
stacks, recording, *argv = sys.argv[1:]
exit_as(run(python_command(argv), Path(recording), sample_stacks=stacks == "stacks").exit_code)
"""


@dataclass(frozen=True)
class Outcome:
    """What a run of a program gave."""

    stdout: str
    stderr: str
    exit_code: int
    timeline: Timeline
    recording: Path

    def loader(self, function: str) -> LoaderLife:
        """The one loader that was created in ``function``."""
        (found,) = [life for life in self.timeline.loaders if life.created_at.function == function]
        return found


Probe = Callable[..., Outcome]


def plain(
    *argv: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without the probe."""
    return _python(list(argv), env, cwd)


def launcher_command(recording: Path, *argv: str, stacks: bool = False) -> list[str]:
    """The command line that runs a program under the probe."""
    return [sys.executable, "-c", _LAUNCHER, "stacks" if stacks else "none", str(recording), *argv]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    """``probe(script, *arguments, stacks=False, env={}, cwd=None)``: see ``prober``."""
    return prober(tmp_path)


def prober(directory: Path) -> Probe:
    """A function that runs a program under the probe, records to ``directory``, and reads the recording."""

    def run(
        *argv: str, stacks: bool = False, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> Outcome:
        recording = directory / "recording"
        done = _python(launcher_command(recording, *argv, stacks=stacks)[1:], env, cwd)
        return Outcome(done.stdout, done.stderr, done.returncode, load(recording), recording)

    return run


def _python(
    argv: list[str], env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        check=False,
    )
