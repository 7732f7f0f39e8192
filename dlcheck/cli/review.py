"""``dlcheck review``: what a change introduces and what it cures, as a comment for its pull request."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.cli.check_options import add_settings_options, make_resolver
from dlcheck.cli.collector import rest_collector
from dlcheck.config.settings import SEVERITIES
from dlcheck.errors import UserError

if TYPE_CHECKING:
    from dlcheck.lint.compare import Comparison
    from dlcheck.lint.finding import Finding
    from dlcheck.report.markdown import Cost


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "review",
        help="say what a change introduces and what it cures",
        description="Compare the working tree with the commit at which it left a branch, and write a report in Markdown.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders (default: the repository)")
    parser.add_argument(
        "--base", metavar="REV", default="origin/main", help="the branch or commit (default: %(default)s)"
    )
    parser.add_argument(
        "--recording", metavar="DIR", help="a recorded run ('dlcheck run') that tells what findings cost"
    )
    parser.add_argument("--output-file", metavar="FILE", help="write the report to a file")
    parser.add_argument(
        "--format", choices=("markdown", "json"), default="markdown", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--exit-zero", action="store_true", help="exit with 0 even if something is introduced"
    )
    parser.add_argument(
        "--exit-code-from", choices=SEVERITIES, default="info", metavar="SEVERITY",
        help="exit with 1 only if something is introduced that is at least so grave",
    )  # fmt: skip
    add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report. Returns 1 where something is introduced, else 0."""
    from dlcheck.lint.compare import compare
    from dlcheck.lint.git import find_changes

    rest_collector()
    changes = find_changes(Path.cwd(), arguments.base)
    paths = [Path(text) for text in arguments.paths] or [changes.root]
    comparison = compare(paths, changes, make_resolver(arguments), cached=not arguments.no_cache)
    costs = _costs(Path(arguments.recording), comparison) if arguments.recording else None
    base = f"{arguments.base} ({changes.commit[:10]})"
    if arguments.format == "json":
        from dlcheck.report.review_json import render_review_json

        text = render_review_json(comparison, changes.commit, costs)
    else:
        from dlcheck.report.review_markdown import render_review

        text = render_review(comparison, base, costs)
    if arguments.output_file:
        try:
            Path(arguments.output_file).write_text(text, "utf-8", "backslashreplace")
        except OSError as error:
            raise UserError(f"--output-file: {arguments.output_file}: {error.strerror}") from error
    else:
        sys.stdout.write(text)
    if arguments.exit_zero:
        return 0
    least = SEVERITIES.index(arguments.exit_code_from)
    return int(any(SEVERITIES.index(finding.severity) >= least for finding in comparison.introduced))


def _costs(recording: Path, comparison: Comparison) -> dict[Finding, Cost]:
    """What a recorded run tells of the findings of now and then. Its files may have lain in another folder."""
    from dataclasses import replace

    from dlcheck.diagnosis.diagnose import diagnose
    from dlcheck.diagnosis.recording import load
    from dlcheck.report.markdown import Cost

    try:
        timeline = load(recording)
    except (OSError, ValueError) as error:
        raise UserError(f"--recording: {error}") from error
    recorded = str(timeline.environment.get("directory") or "")

    def there(file: str) -> str:
        return os.path.normpath(os.path.join(recorded, os.path.relpath(file))) if recorded else file  # noqa: PTH118

    costs: dict[Finding, Cost] = {}
    for findings in (comparison.introduced, comparison.cured):
        moved = {replace(f, place=replace(f.place, file=there(f.place.file))): f for f in findings}
        for priced in diagnose(timeline, moved).findings:
            costs[moved[priced.finding]] = Cost(priced.cost_s, priced.cost_share, priced.why)
    return costs
