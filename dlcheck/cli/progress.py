"""A sign of life on long checks: how many seconds they have taken, on a terminal alone."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_AFTER_S = 1.5
_EVERY_S = 0.5
_ERASE = "\r\x1b[2K"


@contextlib.contextmanager
def shown_progress(quiet: bool) -> Iterator[None]:
    """While this lasts, say so on standard error, from the second second on; nothing is left of it."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    begin = time.monotonic()

    def tell() -> None:
        pause = _AFTER_S
        while not done.wait(pause):
            pause = _EVERY_S
            print(f"{_ERASE}Checking, {time.monotonic() - begin:.0f} s", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if time.monotonic() - begin >= _AFTER_S:
            print(_ERASE, end="", file=sys.stderr, flush=True)
