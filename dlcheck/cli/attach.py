"""``dlcheck attach``: look at a training that runs already, and say what its loop waits for."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

_DESCRIPTION = """\
Look at a training that was started without dlcheck, from outside, for a few seconds: what its loop waits for, what
its DataLoader workers are doing, at which lines, and where everybody stands if nothing moves. The job goes on as it
is. Stacks are read by py-spy, which needs the right to trace processes (in a container: SYS_PTRACE).

  dlcheck attach 4711

PID is that of the training process, or of what started it (torchrun, a shell). 'dlcheck run' sees more: single batches,
causes by measurement, predictions.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "attach",
        help="look at a training that runs already",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pid", metavar="PID", type=int, help="the training process, or one that started it")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to look (default: %(default)g)")
    parser.add_argument("--output", metavar="DIR", help="keep what was seen, and report.json, here")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")
    parser.add_argument("--no-check", action="store_true", help="do not check the source code of the job")


def run(arguments: argparse.Namespace) -> int:
    """Print the report to standard output. Returns 0, or 2 where the process cannot be looked at."""
    from dlcheck.cli.command import UsageError, recording_directory
    from dlcheck.probe import outside

    try:
        if not 1 <= arguments.seconds <= 3600:
            raise UsageError("--seconds must lie between 1 and 3600")
        executable = outside.usable_pyspy()
        jobs = outside.find_jobs(arguments.pid, executable)
        recording = recording_directory(arguments.output, [f"attach-{arguments.pid}"])
        if (recording / "recording.json").exists():
            raise UsageError(f"{recording} holds a recording already; give another --output")
        known = outside.recording_of(jobs)
        if known:
            print(f"dlcheck: this job runs under dlcheck already; its recording is {known}", file=sys.stderr)
        outside.watch(jobs, recording, arguments.seconds, executable)
        _report(recording, arguments)
    except (UsageError, outside.AttachError, OSError, ValueError) as error:
        if os.environ.get("DLCHECK_DEBUG"):
            raise
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    return 0


def _report(recording: Path, arguments: argparse.Namespace) -> None:
    from dlcheck.report.build import build_report
    from dlcheck.report.run_json import render_json
    from dlcheck.report.run_text import print_report

    report = build_report(recording, check=not arguments.no_check, fresh=True)
    text = render_json(report)
    (recording / "report.json").write_text(text, encoding="utf-8")
    if arguments.format == "json":
        sys.stdout.write(text)
    else:
        print_report(report, sys.stdout)
