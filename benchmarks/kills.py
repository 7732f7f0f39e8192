"""Whether kill -9 of any process of a probed run, at any moment, changes the training's fate or leaves something behind.

    python benchmarks/kills.py --times 100 --seed 1

A small training runs under ``dlcheck run``, with two workers that stay or are started anew for each epoch. One of its processes
is killed at a random moment: the launcher, the training process, a worker, py-spy, or the process that py-spy is tried on. Then

- the exit status of the training and what it printed are those of the plain run, with the same process killed after as many
  batches (what is random there is repeated; the outcomes may not be disjoint); killed helpers and launchers change nothing;
- ``dlcheck report`` reads the recording: it holds every batch that the loop got, and a note where its end is missing;
- no process, no shared memory and no temporary file is left, but for what is left without the probe, too: folders ``pymp-*``
  by a killed process with a resource sharer; and by torch, where the signal of a killed worker meets what it does just then, the
  folder ``torchinductor_*`` (an import) and a file ``tmp*`` (its look at the limit of open files, in ``_try_get_data``).

The exit status is 1 where some of it does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from traces_left import Place, own_shared_memory, role_of

_PROGRAM = Path(__file__).parent / "programs" / "steady.py"
_VICTIMS = ("launcher", "loop", "worker", "py-spy", "helper")
_RATE, _EPOCH = 60, 50
_LIMIT_S = 120.0
_PATIENCE_S = 15.0
"""torch's workers look for their parent every 5 s."""
_MOST_S = {"helper": 0.05, "py-spy": 4.0}
"""Of the training process until the kill. The helper and the first py-spy live for less than a second."""
_AGAIN = 4
_OWN_LEFT = {
    "loop": ("temporary file pymp-", "temporary file torchinductor_"),
    "worker": ("temporary file pymp-", "temporary file torchinductor_", "temporary file tmp"),
}
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``status``: of the training, None where nobody could wait for it; ``killed_after``: batches that
    had been printed then, None: nothing was killed.
    """

    status: int | None
    stdout: str
    stderr: str
    killed_after: int | None
    left: tuple[str, ...]
    hung: bool
    seconds: float


@dataclass(frozen=True)
class Kill:
    """When to kill: after so many seconds of the training process, and so many batches that were printed."""

    victim: str
    seconds: float = 0.0
    batches: int = 0


@dataclass
class Tally:
    """Of one victim."""

    runs: int = 0
    killed: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="length of a training (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no more kills after that (default: %(default)g)"
    )
    parser.add_argument("--only", choices=_VICTIMS, help="kill no other than this")
    arguments = parser.parse_args()
    private = own_shared_memory()
    # Children of a killed launcher become ours, so that their status can be had.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}", end="")
    print(", /dev/shm of its own" if private else ", /dev/shm shared with others", flush=True)
    tallies = {victim: Tally() for victim in _VICTIMS}
    # Also a run that is cut short ends its processes, and prints its table.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        place = Place(Path(folder))
        try:
            _kill_all(place, arguments, random.Random(arguments.seed), tallies)
        finally:
            place.end_all()
            _print_table(tallies)
    sys.exit(1 if any(tally.wrong for tally in tallies.values()) else 0)


def _kill_all(
    place: Place, arguments: argparse.Namespace, chance: random.Random, tallies: dict[str, Tally]
) -> None:
    deadline = time.monotonic() + arguments.minutes * 60
    programs = {stay: _program(arguments.seconds, stay) for stay in (False, True)}
    full = {stay: _run(place, None, program, None) for stay, program in programs.items()}
    for number in range(arguments.times):
        if time.monotonic() > deadline:
            return
        # Each victim, and both kinds of workers, in turn: what is random is the moment.
        victim = arguments.only or _VICTIMS[number % len(_VICTIMS)]
        stay = bool(number // len(_VICTIMS) % 2)
        recording = place.folder / f"recording-{number}"
        kill = Kill(victim, seconds=chance.uniform(0, _MOST_S.get(victim, full[stay].seconds)))
        outcome = _run(place, recording, programs[stay], kill)
        wrong = _judge(place, victim, programs[stay], outcome, recording, full[stay])
        tally = tallies[victim]
        tally.runs += 1
        tally.killed += outcome.killed_after is not None
        tally.wrong += wrong
        for line in wrong:
            print(f"kill {number} ({victim}, after {outcome.killed_after} batches): {line}", flush=True)
        place.end_all()
        if not wrong:
            shutil.rmtree(recording, ignore_errors=True)


def _print_table(tallies: dict[str, Tally]) -> None:
    print(f"{'victim':<10} {'runs':>5} {'killed':>7} {'wrong':>6}")
    for victim, tally in tallies.items():
        print(f"{victim:<10} {tally.runs:5} {tally.killed:7} {len(tally.wrong):6}")


def _program(seconds: float, stay: bool) -> list[str]:
    """The training, with workers that stay for all epochs or do not."""
    options = ["--rate", str(_RATE), "--seconds", str(seconds), "--epoch", str(_EPOCH), "--every", "1"]
    return [sys.executable, str(_PROGRAM), *options, *(["--persistent"] if stay else [])]


def _run(place: Place, recording: Path | None, program: Sequence[str], kill: Kill | None) -> Outcome:
    """A run of the program: plain where there is no recording."""
    command = list(program)
    if recording is not None:
        probe = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--no-check", "--output", str(recording)]
        command = [*probe, "--", *command]
    output, errors = place.folder / "stdout", place.folder / "stderr"
    with output.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen(
            command,
            env=place.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=place.folder,
        )
    statuses: dict[int, int] = {}
    killed_after = loop = begun = None
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        _reap(statuses)
        running = {p.pid: role_of(p, child.pid if recording else 0, str(_PROGRAM)) for p in place.processes()}
        if child.pid in statuses and loop not in running:
            break
        loop = loop or next((pid for pid, role in running.items() if role == "loop"), None)
        begun = begun or (time.monotonic() if loop is not None else None)
        if begun is not None and kill is not None and killed_after is None:
            count = output.read_bytes().count(b"\n")
            victims = [pid for pid, role in running.items() if role == kill.victim]
            if victims and count >= kill.batches and time.monotonic() - begun >= kill.seconds:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victims[-1], signal.SIGKILL)
                    killed_after = count
        time.sleep(0.005)
    ended = time.monotonic()
    left = tuple(place.left(0.0 if ended >= deadline else _PATIENCE_S))
    _reap(statuses)
    # The launcher hands on the status of the training, unless it was killed itself.
    first = child.pid if kill is None or kill.victim != "launcher" or killed_after is None else loop
    return Outcome(
        status=statuses.get(first or 0),
        stdout=output.read_text(),
        stderr=errors.read_text(),
        killed_after=killed_after,
        left=left,
        hung=ended >= deadline,
        seconds=ended - (begun or ended),
    )


def _reap(statuses: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])


def _judge(
    place: Place, victim: str, program: Sequence[str], seen: Outcome, recording: Path, full: Outcome
) -> list[str]:
    """What does not hold."""
    wrong = [f"left behind: {line}" for line in seen.left if not line.startswith(_OWN_LEFT.get(victim, ()))]
    if seen.hung:
        return [*wrong, f"hangs, without an end: {seen.stderr[-500:]}"]
    if not full.stdout.startswith(seen.stdout):
        wrong.append("it printed what the plain run does not print")
    if victim in ("loop", "worker") and seen.killed_after is not None:
        wrong += _other_fate(place, victim, program, seen)
    else:
        # A launcher that is killed when the training has ended has taken its status along.
        gone = victim == "launcher" and seen.status is None
        if seen.status != full.status and not gone:
            wrong.append(f"status {seen.status}, not {full.status}: {seen.stderr[-500:]}")
        if seen.stdout != full.stdout:
            wrong.append(
                f"{len(seen.stdout.splitlines())} lines were printed, not {len(full.stdout.splitlines())}"
            )
    return wrong + _misread(victim, seen, recording)


def _other_fate(place: Place, victim: str, program: Sequence[str], seen: Outcome) -> list[str]:
    """Whether the plain run never ends as this one did, when the same process is killed after as many batches."""
    fates = []
    for _ in range(_AGAIN):
        count = seen.killed_after or 0
        plain = _run(place, None, program, Kill(victim, batches=count))
        place.end_all()
        fates.append((plain.status, "done" in plain.stdout))
        if fates[-1] == (seen.status, "done" in seen.stdout):
            return []
    return [f"status {seen.status}, done: {'done' in seen.stdout}; plain runs: {fates}; {seen.stderr[-500:]}"]


def _misread(victim: str, seen: Outcome, recording: Path) -> list[str]:
    """What is wrong with the report of the recording."""
    done = subprocess.run(
        [sys.executable, "-m", "dlcheck", "report", "--format", "json", str(recording)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [f"dlcheck report: status {done.returncode}: {done.stderr[-500:]}"]
    report = json.loads(done.stdout)
    printed = sum(line[0].isdigit() for line in seen.stdout.splitlines())
    read = sum(loader["batches"] for loader in report["loaders"])
    wrong = []
    # The loop prints a batch after it got it.
    if not printed <= read <= printed + 1:
        wrong.append(f"the recording holds {read} batches, and {printed} were printed")
    notes = " ".join(report["notes"])
    # Between the end of the training and the report the launcher has written that it ended.
    ended = "end" in json.loads((recording / "recording.json").read_text(encoding="utf-8"))
    if victim == "launcher" and seen.killed_after is not None and not ended:
        if "the end of the run was not recorded" not in notes:
            wrong.append(f"no note says that the end is missing: {notes}")
    # What py-spy was writing is of no use without the launcher.
    strays = (".new",) if victim == "launcher" else (".new", ".raw")
    stray = [path.name for path in recording.rglob("*") if path.suffix in strays]
    return wrong + [f"left in the recording: {name}" for name in stray]


if __name__ == "__main__":
    main()
