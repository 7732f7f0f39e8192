"""Runs the user's command under the probe, and leaves everything else as it is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.probe import ending, manifest
from dlcheck.probe.monitor import Monitor
from dlcheck.probe.override import ENV_SET
from dlcheck.probe.recording import ENV_RECORDING
from dlcheck.probe.replaying import ENV_REPLAY
from dlcheck.probe.signals import forwarding
from dlcheck.probe.stopping import ENV_STOP

_NOTHING_SEEN = (
    "no process of the command imported torch.utils.data under the probe "
    "(python -I, -E and -S, and an environment without PYTHONPATH, keep it out)"
)
INJECT = Path(__file__).parent / "inject"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run. ``exit_code`` is the command's own; ``-n`` where signal ``n`` ended it. ``signals``: those
    that came for the command meanwhile.
    """

    exit_code: int
    recording: Path
    notes: tuple[str, ...]
    signals: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is different from the plain command, beyond its being observed. None, or False: nothing.

    ``overrides``: arguments of loaders to change (``dlcheck.probe.override``); ``stop``: when to end it from inside
    (``dlcheck.probe.stopping``), and after ``deadline_s`` from outside; ``replay``: cached batches
    (``dlcheck.probe.replaying``). ``output``: a file that takes standard output and error; there is no input then.
    """

    overrides: dict[str, Any] | None = None
    stop: dict[str, Any] | None = None
    deadline_s: float | None = None
    replay: dict[str, Any] | None = None
    output: Path | None = None


PLAIN = Experiment()


def python_command(argv: list[str]) -> list[str]:
    """The command for ``script.py ARGS`` or ``-m module ARGS``: this interpreter, with the same arguments."""
    return [sys.executable, *argv]


def run(
    command: list[str],
    recording: Path,
    *,
    sample_stacks: bool = True,
    experiment: Experiment = PLAIN,
    notify: Callable[[str], None] | None = None,
) -> RunResult:
    """Run ``command`` as a child process under the probe, and return when it has ended.

    Standard streams, terminal, working directory and process group are the command's own. Signals are treated
    as ``dlcheck.probe.signals.forwarding`` says. ``recording`` is made if need be. Raises OSError when the
    command cannot be started, as ``subprocess.Popen`` does, and FileExistsError when the directory holds a
    recording already. ``notify``: told, in a sentence, when the run stands still.
    """
    recording = recording.absolute()
    asked = {"overrides": experiment.overrides, "stop": experiment.stop, "replay": experiment.replay}
    contents = manifest.begin(recording, command, **asked)
    with _streams(experiment.output) as streams, forwarding() as (in_child, watch):
        environment = _child_environment(recording, experiment)
        child = subprocess.Popen(command, env=environment, preexec_fn=in_child, **streams)
        received = watch(child.pid)
        monitor = Monitor(recording, child.pid, sample_stacks, notify)
        monitor.start()
        ended = ""
        if experiment.stop is None:
            code = child.wait()
        else:
            code, ended = ending.wait(child, recording, experiment.deadline_s)
        end, end_wall_s = time.monotonic_ns(), time.time()
        cost = monitor.stop()
    notes = _notes(recording, [*monitor.notes, *filter(None, (ended,))])
    contents |= {
        "end": end,
        "end_wall_s": end_wall_s,
        "exit_code": code,
        "pid": child.pid,
        "overhead": cost,
        "notes": notes,
    }
    manifest.write(recording, contents)
    return RunResult(code, recording, tuple(notes), tuple(received))


@contextlib.contextmanager
def _streams(output: Path | None) -> Iterator[dict[str, Any]]:
    if output is None:
        yield {}
        return
    with output.open("wb") as file:
        yield {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}


def _notes(recording: Path, notes: list[str]) -> list[str]:
    with contextlib.suppress(OSError):
        if not any((recording / "events").iterdir()):
            return [*notes, _NOTHING_SEEN]
    return notes


def _child_environment(recording: Path, experiment: Experiment) -> dict[str, str]:
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = str(INJECT) if not path else os.pathsep.join((str(INJECT), path))
    environment[ENV_RECORDING] = str(recording)
    asked = {ENV_SET: experiment.overrides, ENV_STOP: experiment.stop, ENV_REPLAY: experiment.replay}
    for name, value in asked.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = json.dumps(value)
    return environment
