"""``dlcheck check -``: a source from standard input, in place of the file that ``--stdin-filename`` names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.cli.check import Overlay, exit_status, write_result
from dlcheck.errors import UserError

if TYPE_CHECKING:
    from dlcheck.config.resolve import Resolver
    from dlcheck.config.settings import Settings
    from dlcheck.lint.api import CheckResult


def run_stdin(arguments: argparse.Namespace, resolver: Resolver, settings: Settings) -> int:
    """Check what is read. With ``--fix`` the fixed source goes to standard output, and the findings to standard error."""
    from dlcheck.lint.checker import check

    for option in ("add_ignores", "write_baseline", "changed_since"):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} needs files, not standard input")
    if any(path != "-" for path in arguments.paths):
        raise UserError("--stdin-filename: give no other files")
    raw = sys.stdin.buffer.read()
    path = Path(arguments.stdin_filename or "stdin.py").absolute()
    source = _source(raw, path)

    def checked(overlay: Overlay) -> CheckResult:
        return check([path], resolver, overlay={str(path): source, **overlay})

    if not (settings.fix or arguments.diff):
        result = checked({})
        write_result(result, arguments, settings)
        return exit_status(result, arguments)

    from dlcheck.lint.fixing import fix_all, unified_diff
    from dlcheck.report.check_parts import shown_path

    fixed = fix_all(checked, unsafe=settings.unsafe_fixes)
    for problem in fixed.problems:
        print(f"dlcheck: {problem}", file=sys.stderr)
    if arguments.diff:
        sys.stdout.write(unified_diff(fixed.changes, shown_path))
        return 1 if fixed.changes else 0
    _, after = fixed.changes.get(str(path), (source, source))
    sys.stdout.flush()
    sys.stdout.buffer.write(_written(raw, after, path))
    sys.stdout.flush()
    _write_to_stderr(fixed.result, arguments, settings)
    return exit_status(fixed.result, arguments)


def _source(raw: bytes, path: Path) -> bytes:
    if path.suffix != ".ipynb":
        return raw
    from dlcheck.facts.notebook import python_source

    try:
        return python_source(raw)
    except ValueError as error:
        raise UserError(f"standard input {error}") from error


def _written(raw: bytes, source: bytes, path: Path) -> bytes:
    if path.suffix != ".ipynb" or source == _source(raw, path):
        return raw if path.suffix == ".ipynb" else source
    from dlcheck.facts.notebook import notebook_with

    return notebook_with(raw, source)


def _write_to_stderr(result: CheckResult, arguments: argparse.Namespace, settings: Settings) -> None:
    """The findings, where they are not in the way of the source."""
    if arguments.output_file is not None:
        write_result(result, arguments, settings)
        return
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        write_result(result, arguments, settings)
    finally:
        sys.stdout = stdout
