"""Where a setting stands in a TOML file, for messages. The parser of the standard library does not say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dlcheck.config import toml


def find_line(text: str, keys: Sequence[str], value: object = None) -> int:
    """The line (from 1) of the key, or of ``value`` within its list or table. The last line where the key is not found.

    Longer and longer beginnings of the file are parsed: the key stands in the lines that make it appear.
    """
    lines = text.splitlines()
    start = 1
    for end in range(1, len(lines) + 1):
        try:
            parsed = toml.loads("\n".join(lines[:end]))
        except toml.TOMLDecodeError:
            continue  # in the midst of a list or string of several lines
        if _holds(parsed, keys):
            return _line_of_value(lines, start, end, value)
        start = end + 1
    return max(1, len(lines))


def _holds(parsed: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(parsed, dict) or key not in parsed:
            return False
        parsed = parsed[key]
    return True


def _line_of_value(lines: list[str], start: int, end: int, value: object) -> int:
    if value is not None:
        spellings = (json.dumps(value), f"'{value}'") if isinstance(value, str) else (str(value),)
        # A table goes on after the line that opens it.
        for number in range(start, len(lines) + 1):
            if any(spelling in lines[number - 1] for spelling in spellings):
                return number
    # Comments and empty lines above the key belong to the same beginning.
    return next((n for n in range(start, end + 1) if lines[n - 1].split("#")[0].strip()), end)
