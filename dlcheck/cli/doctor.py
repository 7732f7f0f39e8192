"""``dlcheck doctor``: look at the ground that a training runs on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_DESCRIPTION = """\
Look at the ground that a training runs on, and say what it means for loading: cores against quota and affinity,
/dev/shm, memory, the limit of open files, the start method of workers, the build of torch, thread pools, the right to
trace, page cache and storage of the data. Takes about a second; torch is not imported, and no code is run.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "doctor",
        help="look at the machine: what it means for loading",
        description=_DESCRIPTION,
        epilog="exit status: 0 nothing bad, 1 something is bad, 2 wrong usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "script",
        nargs="?",
        metavar="SCRIPT",
        help="a training script: its num_workers, start method and folders of data are looked at too (it is not run)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of samples; may be given several times",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the remarks. Returns 0, 1 where something is bad, 2 for wrong usage."""
    from dlcheck.doctor.examine import examine
    from dlcheck.report.doctor_text import print_remarks, render_remarks

    folders = [Path(name) for name in arguments.data]
    for folder in folders:
        if not folder.is_dir():
            print(f"dlcheck: --data: no such folder: {folder}", file=sys.stderr)
            return 2
    try:
        remarks = examine(Path(arguments.script) if arguments.script is not None else None, folders)
    except (OSError, ValueError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    if arguments.format == "json":
        sys.stdout.write(render_remarks(remarks))
    else:
        print_remarks(remarks, sys.stdout)
    return 1 if any(remark.status == "bad" for remark in remarks) else 0
