"""``dlcheck report``: show the report of a recorded run again, or its data in another format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dlcheck.report.model import Report

_DESCRIPTION = """\
Show the report of a recorded run again, or what was recorded in a format that other tools read. The recording
may come from another machine.

  text          for a terminal
  json          schema dlcheck.report/1
  html          one page with charts, complete in itself
  chrome        a trace with arrows from workers to the loop, for ui.perfetto.dev and chrome://tracing
  speedscope    stack samples, for speedscope.app
  collapsed     stack samples, one line per stack, for flamegraph.pl and inferno
  openmetrics   the main figures, for Prometheus
  otlp          the main figures as JSON, for OpenTelemetry
  parquet       batches, waits, loaders, workers and ranks as tables, for DuckDB, Polars, pandas: with --output FOLDER all of
                them, with --output FILE.parquet the batches (needs pyarrow: pip install 'dlcheck[parquet]')
"""

_EPILOG = """\
conditions of --fail-on: wait_share, wait_s, wall_s, batches_per_s, samples_per_s, worker_rss, worker_private, verdict,
or a cause of waits (fetch-io, as a share of the loop), of any loader, or of those named in front
('TrainSet: wait_share > 20%'); findings, events and exit_code of the run. One that cannot be judged holds.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    from dlcheck.report.run_formats import FORMATS

    parser = commands.add_parser(
        "report",
        help="show the report of a recorded run again",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recording",
        metavar="DIR",
        nargs="+",
        help=(
            "the folder that 'dlcheck run' left; of a job on several nodes those of all, or the folder that they"
            " lie in"
        ),
    )
    parser.add_argument(
        "--format", choices=(*FORMATS, "parquet"), default="text", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=(
            "write to this file, compressed where it ends in .gz (default: standard output; html, where that is a"
            " terminal: DIR/report.html)"
        ),
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="CONDITION",
        help="end with status 3 where this holds, such as 'wait_share > 0.2'; may be given several times",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report. Returns 0, 2 where there is no recording, 3 where a condition of --fail-on holds."""
    from dlcheck.cli.gate import read_conditions, status_of
    from dlcheck.diagnosis.guard import visible
    from dlcheck.diagnosis.nodes import find_recordings
    from dlcheck.report.build import build_report
    from dlcheck.report.run_formats import loaders_shown, write_report

    try:
        conditions = read_conditions(arguments.fail_on)
        paths = find_recordings(list(map(Path, arguments.recording)))
        report = build_report(paths, check=False, most_loaders=loaders_shown(arguments.format))
        output = arguments.output
        if output is None and arguments.format == "html" and sys.stdout.isatty():
            output = _own_page(paths[0])
        if arguments.format == "parquet":
            _write_parquet(report, paths, output)
        elif output is None:
            write_report(report, arguments.format, sys.stdout)
        else:
            with _opened(Path(output)) as file:
                write_report(report, arguments.format, file)
        if output is not None:
            print(f"written to {output}", file=sys.stderr)
    except BrokenPipeError:
        raise  # its reader has gone: no fault of the recording
    except (OSError, ValueError) as error:
        print(f"dlcheck: {visible(str(error))}", file=sys.stderr)
        return 2
    return status_of(conditions, report)


def _own_page(recording: Path) -> Path:
    """Where the page of a recording goes by itself. Raises ValueError where that would write elsewhere."""
    page = recording / "report.html"
    if page.is_symlink():
        raise ValueError(f"{page} is a link: give --output")
    return page


def _write_parquet(report: Report, paths: list[Path], output: str | None) -> None:
    from dlcheck.report.build import each_source
    from dlcheck.report.run_parquet import write_parquet

    if output is None:
        raise ValueError("--format parquet needs --output FOLDER, or FILE.parquet for the batches alone")
    # A job on several nodes is named by the folder that the nodes lie in.
    run = paths[0] if len(paths) == 1 else paths[0].parent
    write_parquet(report, each_source(paths), Path(output), run.resolve().name)


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        import gzip

        return gzip.open(path, "wt", encoding="utf-8")
    return path.open("w", encoding="utf-8")
