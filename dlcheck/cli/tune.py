"""``dlcheck tune``: find faster settings for a loader, and confirm them with short real runs."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dlcheck.cli.command import USAGE, UsageError, add_target, command_of, place_of

if TYPE_CHECKING:
    from dlcheck.tuning.tune import Tuning

_DESCRIPTION = """\
Find faster settings for the loader that a training waits for: num_workers, prefetch_factor, in_order,
persistent_workers, pin_memory. The training is run once, until its loop has run for a few seconds; a simulation of the
loader replays it under other settings, within the cores, the memory and the shared memory that there are; the best few
are tried in short real runs that take turns with the present setting, until it is clear which is faster.

  dlcheck tune -- train.py --lr 0.1
  dlcheck tune --fix -- train.py
  dlcheck tune -m package.train --lr 0.1

The training is started several times, and each time ended from inside, as sys.exit() does, after some batches. What it
writes it writes each time (checkpoints, logs): give it arguments that let it write elsewhere.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "tune",
        help="find faster settings for a loader, and confirm them with short real runs",
        description=_DESCRIPTION,
        usage=f"dlcheck tune [options] {USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fix", action="store_true", help="make the edit, where the gain is clear")
    parser.add_argument(
        "--budget",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds for all of it (default: %(default)g)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="for how long the loop of the first run goes on (default: %(default)g)",
    )
    parser.add_argument(
        "--most", type=int, default=3, metavar="N", help="settings to try for real (default: %(default)d)"
    )
    parser.add_argument(
        "--loader", metavar="FILE:LINE", help="tune the loader made there (default: the one waited for most)"
    )
    parser.add_argument("--keep-order", action="store_true", help="leave in_order as it is")
    parser.add_argument(
        "--output", metavar="DIR", help="keep the recordings, and the output of each run, here"
    )
    parser.add_argument("--quiet", action="store_true", help="do not say on standard error what is being run")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="--format json")
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tune, and print the result to standard output. Returns 0 where it is settled, 1 where it is not, or where --fix
    could not make the edit, 2 where the program cannot be run or measured.
    """
    from dlcheck.tuning.tune import Options, tune

    try:
        for name in ("budget", "seconds", "most"):
            if getattr(arguments, name) <= 0:
                raise UsageError(f"--{name} must be more than 0")
        options = Options(
            seconds=arguments.seconds,
            budget_s=arguments.budget,
            most=arguments.most,
            place=place_of(arguments.loader),
            keep_order=arguments.keep_order,
        )
        command = command_of(arguments.module, arguments.target)
        with _folder(arguments.output) as folder:
            tuning = tune(command, folder, options, _silent if arguments.quiet else _say)
    except (UsageError, OSError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    return _report(tuning, arguments)


def _report(tuning: Tuning, arguments: argparse.Namespace) -> int:
    diff, after, problem = _edited(tuning)
    written = False
    if arguments.fix and after is not None:
        problem = _write(tuning, after)
        written = not problem
    if arguments.format == "json":
        from dlcheck.report.tune_json import tuning_json

        sys.stdout.write(tuning_json(tuning, diff, written))
    else:
        from dlcheck.report.tune_text import print_tuning

        print_tuning(tuning, diff, written, sys.stdout)
    if problem:
        print(f"dlcheck: the edit was not made: {problem}", file=sys.stderr)
    settled = tuning.outcome is None or tuning.outcome.word != "unclear"
    unfixed = arguments.fix and tuning.winner is not None and not written
    return 0 if settled and not unfixed else 1


def _edited(tuning: Tuning) -> tuple[str, bytes | None, str]:
    """The edit as a diff, the file with it, and what is wrong, if anything."""
    from dlcheck.lint.fixing import unified_diff
    from dlcheck.tuning.edit import carried_out

    fix = tuning.plan.fix if tuning.plan is not None else None
    if fix is None or tuning.content is None:
        return "", None, ""
    try:
        after = carried_out(tuning.content, fix)
    except ValueError as error:
        return "", None, str(error)
    name = tuning.target.shown().rpartition(":")[0]
    return unified_diff({name: (tuning.content, after)}, lambda file: file), after, ""


def _write(tuning: Tuning, after: bytes) -> str:
    """Write the edited file in one step; returns why it was not, if so."""
    from dlcheck.lint.edit import write_atomically

    try:
        if tuning.source.read_bytes() != tuning.content:
            return f"{tuning.source} has been changed meanwhile"
        write_atomically(tuning.source, after)
    except OSError as error:
        return f"{tuning.source}: {error.strerror or error}"
    return ""


@contextlib.contextmanager
def _folder(output: str | None) -> Iterator[Path]:
    """Where the recordings go: ``output``, or a folder that is removed in the end, however it ends."""
    if output is not None:
        folder = Path(output).absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"--output: {folder} is there already")
        yield folder
        return

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    folder = Path(tempfile.mkdtemp(prefix="dlcheck-tune-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(message: str) -> None:
    print(f"dlcheck: {message}", file=sys.stderr, flush=True)


def _silent(message: str) -> None:
    pass
