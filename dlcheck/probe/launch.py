"""Runs the user's command under the probe, and leaves everything else as it is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.probe import manifest
from dlcheck.probe.monitor import Monitor
from dlcheck.probe.override import ENV_SET
from dlcheck.probe.recording import ENV_RECORDING
from dlcheck.probe.signals import forwarding

_NOTHING_SEEN = (
    "no process of the command imported torch.utils.data under the probe "
    "(python -I, -E and -S, and an environment without PYTHONPATH, keep it out)"
)
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


def run(
    command: list[str],
    recording: Path,
    *,
    sample_stacks: bool = True,
    overrides: dict[str, Any] | None = None,
    notify: Callable[[str], None] | None = None,
) -> RunResult:
    """Run ``command`` as a child process under the probe, and return when it has ended.

    Standard streams, terminal, working directory and process group are the command's own. Signals are treated
    as ``dlcheck.probe.signals.forwarding`` says. ``recording`` is made if need be. Raises OSError when the
    command cannot be started, as ``subprocess.Popen`` does, and FileExistsError when the directory holds a
    recording already. ``overrides``: arguments of loaders to change, see ``dlcheck.probe.override``.
    ``notify``: told, in a sentence, when the run stands still.
    """
    recording = recording.absolute()
    contents = manifest.begin(recording, command, overrides=overrides)
    with forwarding() as (in_child, watch):
        child = subprocess.Popen(command, env=_child_environment(recording, overrides), preexec_fn=in_child)
        watch(child.pid)
        monitor = Monitor(recording, child.pid, sample_stacks, notify)
        monitor.start()
        code = child.wait()
        end, end_wall_s = time.monotonic_ns(), time.time()
        cost = monitor.stop()
    notes = _notes(recording, monitor.notes)
    contents |= {
        "end": end,
        "end_wall_s": end_wall_s,
        "exit_code": code,
        "pid": child.pid,
        "overhead": cost,
        "notes": notes,
    }
    manifest.write(recording, contents)
    return RunResult(code, recording, tuple(notes))


def _notes(recording: Path, notes: list[str]) -> list[str]:
    with contextlib.suppress(OSError):
        if not any((recording / "events").iterdir()):
            return [*notes, _NOTHING_SEEN]
    return notes


def _child_environment(recording: Path, overrides: dict[str, Any] | None) -> dict[str, str]:
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = str(INJECT) if not path else os.pathsep.join((str(INJECT), path))
    environment[ENV_RECORDING] = str(recording)
    environment.pop(ENV_SET, None)
    if overrides is not None:
        environment[ENV_SET] = json.dumps(overrides)
    return environment
