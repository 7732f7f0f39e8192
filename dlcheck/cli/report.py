"""``dlcheck report``: show the report of a recorded run again, or its data in another format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_DESCRIPTION = """\
Show the report of a recorded run again, or what was recorded in a format that other tools read. The recording
may come from another machine.

  text          for a terminal
  json          schema dlcheck.report/1
  html          one page with charts, complete in itself
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    from dlcheck.report.run_formats import FORMATS

    parser = commands.add_parser(
        "report",
        help="show the report of a recorded run again",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="DIR", help="the folder that 'dlcheck run' left")
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write to this file (default: standard output; html, where that is a terminal: DIR/report.html)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report. Returns 0, or 2 where there is no recording."""
    from dlcheck.report.build import build_report
    from dlcheck.report.run_formats import write_report

    path = Path(arguments.recording)
    try:
        report = build_report(path, check=False)
        output = arguments.output
        if output is None and arguments.format == "html" and sys.stdout.isatty():
            output = path / "report.html"
        if output is None:
            write_report(report, arguments.format, sys.stdout)
        else:
            with Path(output).open("w", encoding="utf-8") as file:
                write_report(report, arguments.format, file)
            print(f"written to {output}", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    return 0
