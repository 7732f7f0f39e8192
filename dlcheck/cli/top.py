"""``dlcheck top``: watch the loading of a run that goes on."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

_MOST_SHARE = 0.1
"""Part of a core that looking at the recording may cost."""

_DESCRIPTION = """\
Watch the loading of a run that goes on under 'dlcheck run', from another terminal: what each loop waits for, how many
batches lie ready, what each worker does. The figures are of the last 20 seconds. Ends with the run, or with Ctrl-C.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "top",
        help="watch the loading of a run that goes on",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="PID|DIR",
        help="a process of the run, or the folder of its recording (default: the newest in .dlcheck/runs)",
    )
    parser.add_argument("--once", action="store_true", help="print the state once")
    parser.add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="(default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch. Returns 0, or 2 where there is no such run."""
    from rich.console import Console
    from rich.live import Live

    from dlcheck.live.state import look
    from dlcheck.live.view import render

    console = Console(highlight=False, markup=False, emoji=False)
    try:
        recording = _recording(arguments.target)
        state = look(recording)
        if arguments.once or not console.is_terminal:
            console.print(render(state))
            return 0
        with Live(render(state), console=console, screen=True, auto_refresh=False) as live:
            while state.running:
                begun = time.process_time()
                state = look(recording)
                live.update(render(state), refresh=True)
                time.sleep(max(arguments.interval, (time.process_time() - begun) / _MOST_SHARE))
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    console.print(render(state))
    return 0


def _recording(target: str | None) -> Path:
    from dlcheck.live.find import newest, recording_of

    if target is None:
        return newest(Path.cwd())
    if target.isdecimal() and not Path(target).is_dir():
        return recording_of(int(target))
    return Path(target)
