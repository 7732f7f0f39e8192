"""``dlcheck compare``: what changed between two recorded runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcheck.report.model import Report

_DESCRIPTION = """\
Say what changed from run A to run B: how much faster or slower each loader's loop is, with a 95 % interval,
which waits shrank or grew, which settings differ, which findings were cured. Each of A and B is the folder of a
recording, or a folder that holds several recordings of one program, which makes the intervals narrower.

  better, worse          the interval shows it, and the difference is no smaller than --margin
  same                   the difference is smaller than --margin, for certain
  cannot be told apart   neither can be said
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "compare",
        help="say what changed between two recorded runs",
        description=_DESCRIPTION,
        epilog="exit status: 0 compared, 2 wrong usage, 3 a condition of --fail-on holds",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="the run before")
    parser.add_argument("b", metavar="B", help="the run after")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")
    parser.add_argument(
        "--margin",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="relative difference that is worth a word (default: %(default)s)",
    )
    parser.add_argument(
        "--fail-on",
        choices=("regression",),
        help="end with status 3 where B is worse: slower loops, more private memory, a failure, an incident",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison. Returns 0, FAILED, or 2 for wrong usage."""
    from dlcheck.comparison.compare import compare
    from dlcheck.diagnosis.guard import visible
    from dlcheck.report.conditions import FAILED

    if not 0 <= arguments.margin < 1:
        print("dlcheck: --margin must be a share, from 0 to less than 1", file=sys.stderr)
        return 2
    try:
        comparison = compare(_reports(arguments.a), _reports(arguments.b), arguments.margin)
    except (OSError, ValueError) as error:
        print(f"dlcheck: {visible(str(error))}", file=sys.stderr)
        return 2
    if arguments.format == "json":
        from dlcheck.report.compare_json import render_comparison

        sys.stdout.write(render_comparison(comparison))
    else:
        from dlcheck.report.compare_text import print_comparison

        print_comparison(comparison, sys.stdout)
    return FAILED if arguments.fail_on and comparison.regressions else 0


def _reports(name: str) -> list[Report]:
    """The recording in a folder, or all recordings of the folders in it."""
    from dlcheck.report.build import build_report

    path = Path(name)
    inside = [] if (path / "recording.json").exists() else sorted(path.glob("*/recording.json"))
    return [build_report(file.parent, check=False) for file in inside] or [build_report(path, check=False)]
