"""``dlcheck report``: show the report of a recorded run again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "report",
        help="show the report of a recorded run again",
        description="Show the report of a recorded run again. The recording may come from another machine.",
    )
    parser.add_argument("recording", metavar="DIR", help="the folder that 'dlcheck run' left")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the report to standard output. Returns 0, or 2 where there is no recording."""
    from dlcheck.report.build import build_report

    path = Path(arguments.recording)
    try:
        report = build_report(path, check=False)
    except (OSError, ValueError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    if arguments.format == "json":
        from dlcheck.report.run_json import render_json

        sys.stdout.write(render_json(report))
    else:
        from dlcheck.report.run_text import print_report

        print_report(report, sys.stdout)
    return 0
