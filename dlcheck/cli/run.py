"""``dlcheck run``: run a training script as it is, and say why its loop waits for data."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.cli.command import (
    USAGE,
    UsageError,
    add_target,
    command_of,
    overrides_of,
    place_of,
    recording_directory,
)

if TYPE_CHECKING:
    from dlcheck.probe.launch import Experiment
    from dlcheck.report.conditions import Condition

_REAL_S = 10.0
"""For how long a loop that is to be replayed is a real one first."""

_DESCRIPTION = """\
Run a training script as it is, and say why its loop waits for data: which line is to blame, what to change,
and how much faster that would be. Output, arguments, working directory and exit status are the command's own;
the report follows on standard error when it has ended.

  dlcheck run train.py --lr 0.1
  dlcheck run -m package.train --lr 0.1
  dlcheck run -- torchrun --nproc-per-node 2 train.py
  dlcheck run --set num_workers=4 --loader train.py:40 train.py
  dlcheck run --replay --seconds 30 train.py
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "run",
        help="run a training script and say why its loop waits for data",
        description=_DESCRIPTION,
        usage=f"dlcheck run [options] {USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help=(
            "keep the recording and report.json here (default: a new folder in .dlcheck/runs; "
            "'dlcheck report DIR' shows it again)"
        ),
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")
    parser.add_argument(
        "--live",
        action="store_true",
        help="say at the bottom of the terminal how loading goes, while it runs",
    )
    parser.add_argument("--html", metavar="FILE", help="write the report as a page with charts, too")
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="CONDITION",
        help="end with status 3 where this holds of a run that ended well, such as 'wait_share > 0.2'",
    )
    parser.add_argument("--quiet", action="store_true", help="print no report; report.json is still written")
    parser.add_argument("--no-check", action="store_true", help="do not check the source code of the run")
    parser.add_argument("--no-stacks", action="store_true", help="do not sample stacks: no lines are named")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE,...",
        help="make every loader with these arguments instead of its own, such as num_workers=4,in_order=False",
    )
    parser.add_argument(
        "--loader", metavar="FILE:LINE", help="change, or replay, only the loader that is made there"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="end the training from inside, as sys.exit() does, when its loop has run for so long",
    )
    parser.add_argument(
        "--replay",
        action="store_true",
        help=(
            "measure how fast the loop is when loading costs nothing: after some real ones it gets cached batches, the"
            " first real ones again and again. The training computes something else then, so do not keep its results"
        ),
    )
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command. Returns its exit status; ends by the same signal where one ended it; 2 for wrong
    usage; 3 where it ended well and a condition of --fail-on holds.
    """
    from dlcheck.cli.gate import read_conditions
    from dlcheck.probe import launch

    try:
        conditions = read_conditions(arguments.fail_on)
    except ValueError as error:
        return _fail(str(error))
    try:
        if arguments.html is not None and not Path(arguments.html).absolute().parent.is_dir():
            raise UsageError(f"--html: there is no folder {Path(arguments.html).absolute().parent}")
        experiment = _experiment(arguments)
        command = command_of(arguments.module, arguments.target)
        recording = recording_directory(arguments.output, arguments.module or arguments.target)
        with _live(recording) if arguments.live else contextlib.nullcontext():
            result = launch.run(
                command,
                recording,
                sample_stacks=not arguments.no_stacks,
                experiment=experiment,
                notify=None if arguments.quiet else _say,
            )
    except UsageError as error:
        return _fail(str(error))
    except FileExistsError as error:
        return _fail(f"{error}; give another --output")
    except OSError as error:
        return _fail(f"the run cannot be started: {error}")
    failed = 3 if conditions else 0
    if not (recording / "recording.json").exists():
        _say(f"no report: {'; '.join(result.notes) or f'nothing is left of the recording in {recording}'}")
        return _pass_on(result.exit_code or failed)
    try:
        failed = _report(recording, arguments, conditions)
    except Exception as error:
        # The user's run is over, and its status is what counts: a report that fails must not change it.
        if os.environ.get("DLCHECK_DEBUG"):
            raise
        print(
            f"dlcheck: no report: {type(error).__name__}: {error} (recording: {recording})", file=sys.stderr
        )
    return _pass_on(result.exit_code or failed)


def _experiment(arguments: argparse.Namespace) -> Experiment:
    """What --set, --seconds and --replay change in the run. Raises UsageError."""
    from dlcheck.probe.launch import Experiment

    if arguments.seconds is not None and arguments.seconds <= 0:
        raise UsageError("--seconds must be more than 0")
    if arguments.replay and (arguments.fail_on or arguments.html or arguments.live):
        raise UsageError("--replay measures another loop than yours: no --fail-on, --html or --live with it")
    place = place_of(arguments.loader)
    replay = {"real_s": _REAL_S, "loader": place} if arguments.replay else None
    if replay and arguments.seconds is not None:
        replay["real_s"] = min(_REAL_S, arguments.seconds / 2)
    return Experiment(
        overrides=overrides_of(arguments.set, None if replay and not arguments.set else arguments.loader),
        stop=None if arguments.seconds is None else {"seconds": arguments.seconds},
        replay=replay,
    )


def _report(recording: Path, arguments: argparse.Namespace, conditions: list[Condition]) -> int:
    """Write and print the report. Returns 3 where a condition holds, else 0."""
    from dlcheck.cli.gate import status_of
    from dlcheck.report.build import build_report
    from dlcheck.report.run_json import render_json

    if arguments.replay:
        return _report_ceiling(recording, arguments)
    report = build_report(recording, check=not arguments.no_check, fresh=True)
    text = render_json(report)
    _keep(recording / "report.json", text)
    if arguments.quiet:
        pass
    elif arguments.format == "json":
        sys.stderr.write(text)
    else:
        from dlcheck.report.run_text import print_report

        sys.stdout.flush()
        print_report(report, sys.stderr)
    if arguments.html is not None:
        from dlcheck.report.run_html import render_html

        Path(arguments.html).write_text(render_html(report), encoding="utf-8")
        if not arguments.quiet:
            print(f"Page with charts: {arguments.html}", file=sys.stderr)
    return status_of(conditions, report)


def _report_ceiling(recording: Path, arguments: argparse.Namespace) -> int:
    """Write and print what a run with cached batches has measured: no verdict, since it was another loop."""
    from dlcheck.report.ceiling import ceiling_json, print_ceilings
    from dlcheck.tuning.ceiling import ceilings

    found = ceilings(recording)
    text = ceiling_json(found)
    _keep(recording / "replay.json", text)
    if arguments.format == "json" and not arguments.quiet:
        sys.stderr.write(text)
    elif not arguments.quiet:
        print_ceilings(found, sys.stderr)
    return 0


def _keep(path: Path, text: str) -> None:
    """Write a file of the recording; where that cannot be done, what it says is printed all the same."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        path.unlink(missing_ok=True)
        _say(f"{path} was not written: {error.strerror}")


def _pass_on(code: int) -> int:
    """The status of the command: where a signal ended it, end by the same signal, as a shell would see it."""
    if code >= 0:
        return code
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return 128 - code


def _live(recording: Path) -> contextlib.AbstractContextManager[None]:
    """Lines at the bottom of the terminal that say how loading goes, where there is one."""
    from dlcheck.live.panel import panel

    for stream in (sys.stderr, sys.stdout):
        if stream.isatty():
            return panel(recording, stream.fileno())
    _say("--live is left out: there is no terminal")
    return contextlib.nullcontext()


def _say(message: str) -> None:
    print(f"dlcheck: {message}", file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    print(f"dlcheck: {message}", file=sys.stderr)
    return 2
