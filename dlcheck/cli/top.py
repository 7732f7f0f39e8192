"""``dlcheck top``: watch the loading of a run that goes on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcheck.live.state import LiveState

_MOST_SHARE = 0.1
"""Part of a core that looking at the recording may cost."""

_DESCRIPTION = """\
Watch the loading of a run that goes on under 'dlcheck run', from another terminal: what each loop waits for, how many
batches lie ready, what each worker does. The figures are of the last 20 seconds. Ends with the run, or with Ctrl-C.

The process of a training that was started without dlcheck is watched from outside, as 'dlcheck attach' does, a few
seconds at a time: what its loop waits for, and how busy its workers are. That needs the right to trace it.
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

    from dlcheck.live.view import render
    from dlcheck.probe.outside import AttachError

    console = Console(highlight=False, markup=False, emoji=False)
    try:
        look = _watched(arguments.target)
        state = look()
        if arguments.once or not console.is_terminal:
            console.print(render(state))
            return 0
        with Live(render(state), console=console, screen=True, auto_refresh=False) as live:
            while state.running:
                begun = time.process_time()
                try:
                    state = look()
                except AttachError:
                    # The process has ended, or is about to.
                    state = replace(state, running=False)
                live.update(render(state), refresh=True)
                if state.running:
                    time.sleep(max(arguments.interval, (time.process_time() - begun) / _MOST_SHARE))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        raise
    except (AttachError, OSError, ValueError) as error:
        print(f"dlcheck: {error}", file=sys.stderr)
        return 2
    console.print(render(state))
    return 0


def _watched(target: str | None) -> Callable[[], LiveState]:
    """A function that looks at what is meant: the recording of a run, or a process from outside."""
    from dlcheck.live.find import NotProbed, newest, recording_of
    from dlcheck.live.state import look

    if target is None:
        return partial(look, newest(Path.cwd()))
    if target.isdecimal() and not Path(target).is_dir():
        try:
            return partial(look, recording_of(int(target)))
        except NotProbed:
            from dlcheck.live.attached import Attached

            return Attached(int(target)).look
    return partial(look, Path(target))
