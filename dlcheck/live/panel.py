"""A few lines at the bottom of a terminal that a training goes on printing to.

The terminal is told to scroll only what lies above them (DECSTBM), so that progress bars and line breaks of the
training stay in their own part, and the lines are drawn in one write, with the cursor saved and put back. When the
terminal is resized, the part is set anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dlcheck.live.state import look
from dlcheck.live.view import render_short

LINES = 6
_PERIOD_S = 1.0
_MOST_SHARE = 0.05
"""Part of a core that looking at the recording may cost."""

_SAVE, _RESTORE = "\x1b7", "\x1b8"


@contextlib.contextmanager
def panel(recording: Path, fd: int) -> Iterator[None]:
    """Keep the lines up to date while the body runs. ``fd``: of the terminal."""
    place = _Place(fd)
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(recording, place, done), name="dlcheck_live", daemon=True)
    place.take()
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        place.give_back()


def _follow(recording: Path, place: _Place, done: threading.Event) -> None:
    # The run is being started by a fork: this thread must hold no lock at that moment.
    done.wait(_PERIOD_S)
    while not done.is_set():
        begun = time.thread_time()
        with contextlib.suppress(Exception):
            # What is being written may be read at a bad moment: the next look will do.
            place.draw(_lines(recording, place.columns))
        done.wait(max(_PERIOD_S, (time.thread_time() - begun) / _MOST_SHARE))


def _lines(recording: Path, columns: int) -> list[str]:
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=columns, force_terminal=True, highlight=False, markup=False, emoji=False
    )
    with console.capture() as capture:
        console.print(render_short(look(recording), LINES - 1))
    return capture.get().splitlines()


class _Place:
    """The bottom lines of a terminal, as long as it is high enough for them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rows = 0
        self.columns = 80

    def take(self) -> None:
        """Make room: what is on the terminal moves up, and what follows scrolls above the lines."""
        size = os.get_terminal_size(self._fd)
        self._rows, self.columns = size.lines, size.columns
        if self._is_high_enough:
            keep = self._rows - LINES
            self._write("\n" * LINES + f"\x1b[{LINES}A{_SAVE}\x1b[1;{keep}r{_RESTORE}")

    def draw(self, lines: list[str]) -> None:
        """Show ``lines``, no wider than the terminal."""
        size = os.get_terminal_size(self._fd)
        if (size.lines, size.columns) != (self._rows, self.columns):
            # A terminal that shrinks moves its contents up: the lines are at its bottom still.
            self._rows = size.lines
            self.give_back()
            self.take()
        if self._is_high_enough:
            top = self._rows - LINES + 1
            shown = ["\x1b[2m" + "─" * self.columns + "\x1b[0m", *lines, *[""] * LINES][:LINES]
            text = "".join(f"\x1b[{top + number};1H\x1b[2K{line}" for number, line in enumerate(shown))
            self._write(f"{_SAVE}\x1b[?7l{text}\x1b[?7h{_RESTORE}")

    def give_back(self) -> None:
        """Clear the lines, and let all of the terminal scroll again."""
        if self._is_high_enough:
            clear = "".join(f"\x1b[{self._rows - LINES + 1 + number};1H\x1b[2K" for number in range(LINES))
            self._write(f"{_SAVE}{clear}\x1b[r{_RESTORE}")

    @property
    def _is_high_enough(self) -> bool:
        return self._rows >= 2 * LINES

    def _write(self, text: str) -> None:
        # The terminal may be gone: the run goes on without the lines.
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())
