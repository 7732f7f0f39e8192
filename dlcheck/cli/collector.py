"""Commands that make many small values, all of which live to the end."""

from __future__ import annotations

import atexit
import gc


def rest_collector() -> None:
    """Keep Python from looking for garbage: there is none, and looking takes a third of a check.

    At its exit Python would look once more, whatever was disabled; a check of one file took a fifth longer for it.
    """
    gc.disable()
    atexit.register(gc.freeze)
