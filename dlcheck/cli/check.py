"""``dlcheck check``: find data-loading faults in source code."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcheck.lint.api import CheckResult
    from dlcheck.lint.fixing import Fixed


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "check",
        help="find data-loading faults in source code",
        description="Find data-loading faults in Python files. Nothing that is read is ever run.",
    )
    parser.add_argument(
        "paths", nargs="*", default=["."], metavar="PATH", help="files or folders (default: .)"
    )
    parser.add_argument(
        "--select", metavar="CODES", default="", help="only these rules: codes or prefixes, by comma"
    )
    parser.add_argument(
        "--ignore", metavar="CODES", default="", help="without these rules: codes or prefixes, by comma"
    )
    parser.add_argument("--low-confidence", action="store_true", help="also report what is only likely")
    parser.add_argument(
        "--fix", action="store_true", help="carry out the safe fixes, and report what is left"
    )
    parser.add_argument(
        "--unsafe-fixes",
        action="store_true",
        help="with --fix or --diff: also the fixes that may change what the program computes",
    )
    parser.add_argument(
        "--diff", action="store_true", help="show what --fix would change, and change nothing"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="neither use nor write what earlier checks found out"
    )
    parser.add_argument(
        "--output-format", choices=("full", "concise", "json"), default="full", help="(default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 0 (nothing found), 1 (findings, or files that could not be read) or 2 (wrong usage)."""
    from dlcheck.lint.api import check_paths

    paths = [Path(p) for p in arguments.paths]
    missing = [p for p in paths if not p.exists()]
    if missing:
        print(f"dlcheck: no such file or folder: {missing[0]}", file=sys.stderr)
        return 2
    select, ignore = _codes(arguments.select), _codes(arguments.ignore)
    wrong = _unknown_code(select + ignore)
    if wrong is not None:
        print(f"dlcheck: no rule has the code or prefix {wrong!r}; see 'dlcheck rules'", file=sys.stderr)
        return 2
    gc.disable()  # a check makes many small values that live to its end: collecting finds nothing and takes a third

    def check(overlay: dict[str, bytes]) -> CheckResult:
        low = arguments.low_confidence
        return check_paths(
            paths,
            select=select,
            ignore=ignore,
            low_confidence=low,
            overlay=overlay,
            cached=not arguments.no_cache,
        )

    if arguments.fix or arguments.diff:
        from dlcheck.lint.fixing import fix_all

        fixed = fix_all(check, unsafe=arguments.unsafe_fixes)
        if arguments.diff:
            return _show_diff(fixed)
        result = _write(fixed)
    else:
        result = check({})
    if arguments.output_format == "json":
        from dlcheck.report.check_json import render_json

        sys.stdout.write(render_json(result))
    elif result.findings or result.errors or sys.stdout.isatty():
        from dlcheck.report.check_text import print_text

        print_text(result, concise=arguments.output_format == "concise")
    else:
        print("No findings.")
    return 1 if result.findings or result.errors else 0


def _show_diff(fixed: Fixed) -> int:
    from dlcheck.lint.fixing import unified_diff
    from dlcheck.report.check_json import shown_path

    sys.stdout.write(unified_diff(fixed.changes, shown_path))
    for problem in fixed.problems:
        print(f"dlcheck: {problem}", file=sys.stderr)
    return 1 if fixed.changes else 0


def _write(fixed: Fixed) -> CheckResult:
    from dlcheck.lint.fixing import write_changes

    problems = [*fixed.problems, *write_changes(fixed.changes)]
    for problem in problems:
        print(f"dlcheck: {problem}", file=sys.stderr)
    if fixed.count:
        print(f"Fixed {fixed.count} finding{'s' * (fixed.count != 1)}.", file=sys.stderr)
    return fixed.result


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip().upper() for code in text.split(",") if code.strip())


def _unknown_code(codes: tuple[str, ...]) -> str | None:
    if not codes:
        return None
    from dlcheck.lint.registry import all_rules

    known = [rule.code for rule in all_rules()]
    return next((c for c in codes if not any(k.startswith(c) for k in known)), None)
