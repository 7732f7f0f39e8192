"""Runs the user's command under the probe, and leaves everything else as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dlcheck.probe.environment import describe_environment
from dlcheck.probe.recording import ENV_RECORDING, VERSION

INJECT = Path(__file__).parent / "inject"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run. ``exit_code`` is the command's own; ``-n`` where signal ``n`` ended it."""

    exit_code: int
    recording: Path
    notes: tuple[str, ...]


def python_command(argv: list[str]) -> list[str]:
    """The command for ``script.py ARGS`` or ``-m module ARGS``: this interpreter, with the same arguments."""
    return [sys.executable, *argv]


def run(command: list[str], recording: Path) -> RunResult:
    """Run ``command`` as a child process under the probe and return when it has ended."""
    recording = recording.absolute()
    for name in ("events", "samples", "stacks"):
        (recording / name).mkdir(parents=True, exist_ok=True)
    manifest = {
        "version": VERSION,
        "command": command,
        "directory": str(Path.cwd()),
        "begin": time.monotonic_ns(),
        "begin_wall_s": time.time(),
        "environment": describe_environment(),
    }
    _write(recording, manifest)
    child = subprocess.Popen(command, env=_child_environment(recording))
    code = child.wait()
    manifest |= {"end": time.monotonic_ns(), "end_wall_s": time.time(), "exit_code": code, "pid": child.pid}
    _write(recording, manifest)
    return RunResult(code, recording, ())


def _child_environment(recording: Path) -> dict[str, str]:
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = str(INJECT) if not path else os.pathsep.join((str(INJECT), path))
    environment[ENV_RECORDING] = str(recording)
    return environment


def _write(recording: Path, manifest: dict[str, object]) -> None:
    temporary = recording / "recording.json.new"
    temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    temporary.replace(recording / "recording.json")
