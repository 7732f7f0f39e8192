"""Colours for a terminal, and when to use them."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36}
SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}


def wants_colour(stream: TextIO, choice: str = "auto") -> bool:
    """Whether a stream gets colours: as chosen, else as ``NO_COLOR`` and ``FORCE_COLOR`` say, else if it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Paint:
    """Styles text, or leaves it as it is."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, style: str) -> str:
        if not self._on or not text:
            return text
        codes = ";".join(str(_CODES[word]) for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"
