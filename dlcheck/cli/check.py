"""``dlcheck check``: find data-loading faults in source code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.cli.check_options import add_options, make_resolver
from dlcheck.cli.collector import rest_collector
from dlcheck.errors import UserError

if TYPE_CHECKING:
    from dlcheck.config.resolve import Resolver
    from dlcheck.config.settings import Settings
    from dlcheck.lint.api import CheckResult
    from dlcheck.lint.fixing import Fixed

Overlay = dict[str, bytes]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "check",
        help="find data-loading faults in source code",
        description="Find data-loading faults in Python files and notebooks. Nothing that is read is ever run.",
    )
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 0 (nothing found) or 1 (findings, or files that could not be read)."""
    rest_collector()
    resolver = make_resolver(arguments)
    settings = resolver.settings(Path.cwd())
    if arguments.stdin_filename is not None or arguments.paths == ["-"]:
        from dlcheck.cli.check_stdin import run_stdin

        return run_stdin(arguments, resolver, settings)
    paths = _paths(arguments.paths)
    if arguments.show_settings:
        return _show_settings(paths, resolver)
    if arguments.show_files:
        return _show_files(paths, resolver)
    check = make_check(paths, arguments, resolver, settings)
    if arguments.add_ignores is not None:
        return _add_ignores(check, arguments.add_ignores)
    if arguments.write_baseline is not None:
        return _write_baseline(check, arguments.write_baseline, settings)
    if settings.fix or arguments.diff:
        from dlcheck.lint.fixing import fix_all

        fixed = fix_all(check, unsafe=settings.unsafe_fixes)
        if arguments.diff:
            return _show_diff(fixed)
        result = _write(fixed, arguments.quiet)
    else:
        result = check({})
    write_result(result, arguments, settings)
    return exit_status(result, arguments)


def make_check(
    paths: list[Path], arguments: argparse.Namespace, resolver: Resolver, settings: Settings
) -> Callable[[Overlay], CheckResult]:
    """The check that is asked for, of the files on disk but for those in the overlay."""
    from dlcheck.cli.progress import shown_progress
    from dlcheck.lint.checker import check

    lines = None
    if arguments.changed_since is not None:
        from dlcheck.lint.changed import ChangedLines
        from dlcheck.lint.git import find_changes

        folders = dict.fromkeys(path if path.is_dir() else path.absolute().parent for path in paths)
        found = {
            changes.root: changes for changes in (find_changes(f, arguments.changed_since) for f in folders)
        }
        lines = ChangedLines(found.values())
    known = None
    if settings.baseline is not None and arguments.write_baseline is None:
        from dlcheck.lint.baseline import read_baseline, without_known

        known = read_baseline(settings.baseline)

    def checked(overlay: Overlay) -> CheckResult:
        with shown_progress(arguments.quiet):
            result = check(paths, resolver, overlay=overlay, cached=not arguments.no_cache)
        if lines is not None:
            result = lines.only(result, overlay)
        if known is not None and settings.baseline is not None:
            result = without_known(result, known, settings.baseline)
        return result

    return checked


def write_result(result: CheckResult, arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the findings, or write them to the file that is asked for."""
    from dlcheck.report.ansi import Paint, wants_colour
    from dlcheck.report.check_formats import FOR_PEOPLE, render
    from dlcheck.report.check_parts import error_spot, summary

    output_format = settings.output_format
    to_file = arguments.output_file is not None
    paint = Paint(wants_colour(sys.stdout, arguments.color) and not to_file)
    if arguments.statistics:
        from dlcheck.report.check_statistics import render_statistics

        text = render_statistics(result, output_format)
    else:
        text = render(result, output_format, paint)
    people = output_format in FOR_PEOPLE
    if people:
        for error in result.errors:
            print(f"{error_spot(error, result.sources).text}: {error.message}", file=sys.stderr)
        if not arguments.quiet:
            text += f"{summary(result)}\n"
    for failure in result.failures:
        print(f"dlcheck: {failure} (set DLCHECK_DEBUG=1 for the traceback)", file=sys.stderr)
    if to_file:
        try:
            Path(arguments.output_file).write_text(text, "utf-8", "backslashreplace")
        except OSError as error:
            raise UserError(f"--output-file: {arguments.output_file}: {error.strerror}") from error
    else:
        sys.stdout.write(text)


def exit_status(result: CheckResult, arguments: argparse.Namespace) -> int:
    """2 where a rule broke down; 1 for findings that count, or files that could not be checked; else 0."""
    from dlcheck.config.settings import SEVERITIES

    if result.failures:
        return 2
    if arguments.exit_zero:
        return 0
    least = SEVERITIES.index(arguments.exit_code_from or "info")
    grave = any(SEVERITIES.index(finding.severity) >= least for finding in result.findings)
    return 1 if grave or result.errors else 0


def _paths(texts: list[str]) -> list[Path]:
    paths = [Path(text) for text in texts or ["."]]
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        raise UserError(f"no such file or folder: {missing[0]}")
    return paths


def _show_settings(paths: list[Path], resolver: Resolver) -> int:
    from dlcheck.config.show import show_settings
    from dlcheck.lint.discovery import project_root

    folders = dict.fromkeys(path.absolute() if path.is_dir() else path.absolute().parent for path in paths)
    texts = [show_settings(f, resolver.settings(f), project_root(f)[0]) for f in folders]
    sys.stdout.write("\n".join(texts))
    return 0


def _show_files(paths: list[Path], resolver: Resolver) -> int:
    from dlcheck.lint.checker import files_to_check
    from dlcheck.report.check_parts import shown_path

    for path in files_to_check(paths, resolver):
        print(shown_path(str(path)))
    return 0


def _write_baseline(check: Callable[[Overlay], CheckResult], file: str, settings: Settings) -> int:
    from dlcheck.lint.baseline import write_baseline
    from dlcheck.report.check_parts import shown_path
    from dlcheck.report.words import plural

    path = Path(file).absolute() if file else settings.baseline
    if path is None:
        raise UserError("--write-baseline: name a file, or set 'baseline' in the settings")
    try:
        count = write_baseline(path, check({}))
    except OSError as error:
        raise UserError(f"--write-baseline: {file}: {error.strerror}") from error
    print(f"Wrote {plural(count, 'finding')} to {shown_path(str(path))}.", file=sys.stderr)
    return 0


def _add_ignores(check: Callable[[Overlay], CheckResult], reason: str) -> int:
    from dlcheck.lint.add_ignores import add_ignores
    from dlcheck.lint.fixing import write_changes
    from dlcheck.report.words import plural

    result = check({})
    changes, count = add_ignores(result, reason)
    problems = write_changes(changes)
    for problem in problems:
        print(f"dlcheck: {problem}", file=sys.stderr)
    print(f"Suppressed {plural(count, 'finding')} in {plural(len(changes), 'file')}.", file=sys.stderr)
    return 1 if problems or result.errors else 0


def _show_diff(fixed: Fixed) -> int:
    from dlcheck.lint.fixing import unified_diff
    from dlcheck.report.check_parts import shown_path

    sys.stdout.write(unified_diff(fixed.changes, shown_path))
    for problem in fixed.problems:
        print(f"dlcheck: {problem}", file=sys.stderr)
    return 1 if fixed.changes else 0


def _write(fixed: Fixed, quiet: bool) -> CheckResult:
    from dlcheck.lint.fixing import write_changes
    from dlcheck.report.words import plural

    for problem in [*fixed.problems, *write_changes(fixed.changes)]:
        print(f"dlcheck: {problem}", file=sys.stderr)
    if fixed.count and not quiet:
        print(f"Fixed {plural(fixed.count, 'finding')}.", file=sys.stderr)
    return fixed.result
