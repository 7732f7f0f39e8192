"""Reads what a recording holds without trusting it: it may come from anywhere, and be damaged or made to do harm.

Files are read up to a limit, and only regular ones that lie in the recording: no link is followed. Text is cut and made
visible, so that no output can be steered by it. Numbers are finite and small enough to be counted with. ``fits`` says whether
a value has the shape that its reader relies on.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 4000
"""Of a text; the rest is cut."""
MOST_NUMBER = 1 << 62
"""Larger numbers are damage: as nanoseconds these are 146 years."""

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    ZeroDivisionError,
)
"""What reading a damaged file can raise."""

_BLANK = re.compile(r"[\n\r\t\v\f\x85\u2028\u2029]\s*")
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What JSON must hold for any value in it to need a change: few files do.
_ODD = re.compile(
    rb'\\[bfnrtu]|[\x00-\x08\x0b-\x1f\x7f]|NaN|Infinity|[eE]\+?[0-9]{2}|[0-9]{19}|"[^"\\]{4000}'
    rb"|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe1\xa0\x8e|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef(?:\xbb\xbf|\xbf)|\xf3\xa0"
)


def read(path: Path, most: int) -> bytes:
    """At most ``most`` bytes of a file of a recording. Raises OSError, also for what is a link or no regular file."""
    if path.parent.is_symlink():
        raise OSError(0, "its folder is a link, which is not followed", str(path))
    if path.is_symlink():
        raise OSError(0, "a link, which is not followed", str(path))
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "no regular file", str(path))
        return file.read(most)


def read_json(path: Path, most: int) -> Any:
    """The value that a file of JSON holds. Raises OSError, and ValueError where it is damaged or too large."""
    raw = read(path, most + 1)
    if len(raw) > most:
        raise ValueError(f"{path.name} is too large")
    return parse(raw)


def parse(raw: bytes) -> Any:
    """A value of JSON, clean. Raises ValueError where it is none, or holds a number that cannot be one."""
    text = raw.decode("utf-8", "replace")
    try:
        if not _ODD.search(raw):
            return json.loads(text)
        return clean(json.loads(text, parse_constant=_no_number))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


DAMAGED = object()
"""A line that holds no value."""


def parse_lines(data: bytes) -> Iterator[Any]:
    """The values of lines of JSON, clean; DAMAGED for each that holds none."""
    odd = _ODD.search(data) is not None
    for raw in data.splitlines():
        try:
            yield parse(raw) if odd else json.loads(raw)
        except (ValueError, RecursionError):
            yield DAMAGED


def clean(value: Any) -> Any:
    """The same with text made visible. Raises ValueError for a number that cannot be one."""
    match value:
        case str():
            return visible(value)
        case bool():
            return value
        case int() | float():
            if not -MOST_NUMBER <= value <= MOST_NUMBER:
                raise ValueError("a number that cannot be one")
            return value
        case list():
            return [clean(item) for item in value]
        case dict():
            return {visible(name): clean(item) for name, item in value.items()}
    return value


def visible(text: str) -> str:
    """A text on one line, no longer than ``MOST_CHARACTERS``, with characters that cannot be seen written out."""
    short = text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", _BLANK.sub(" ", short))


@dataclass(frozen=True, slots=True)
class Number:
    """The shape of a number: from ``least`` to ``most``, ``whole`` or not."""

    least: float = 0
    most: float = MOST_NUMBER
    whole: bool = True

    def fits(self, value: Any) -> bool:
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.least <= value <= self.most


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape: a type; a Number; None; a tuple of shapes, any of which will do; ``[shape]``, a list of it; a
    list of several, one of each; ``{str: shape}``, an object of it; ``{name: shape}``, an object in which those fit that are not
    null.
    """
    match shape:
        case None:
            return value is None
        case Number():
            return shape.fits(value)
        case tuple():
            return any(fits(value, one) for one in shape)
        case [one]:
            return isinstance(value, list) and all(fits(item, one) for item in value)
        case list():
            return (
                isinstance(value, list)
                and len(value) == len(shape)
                and all(fits(item, one) for item, one in zip(value, shape, strict=True))
            )
        case dict() if str in shape:
            return isinstance(value, dict) and all(fits(item, shape[str]) for item in value.values())
        case dict():
            return isinstance(value, dict) and all(
                value.get(name) is None or fits(value[name], one) for name, one in shape.items()
            )
    return isinstance(value, shape)


def prune(value: dict[str, Any], shape: dict[str, Any], needed: tuple[str, ...] = ()) -> list[str]:
    """Take out of an object what does not fit the shape; its names. Raises ValueError where one of ``needed`` is missing."""
    gone: list[str] = []
    for name, one in shape.items():
        item = value.get(name)
        if item is None or fits(item, one):
            continue
        if isinstance(item, dict) and isinstance(one, dict) and str not in one:
            gone += [f"{name}.{inner}" for inner in prune(item, one)]
            continue
        if isinstance(item, list) and isinstance(one, list) and len(one) == 1:
            value[name] = [part for part in item if fits(part, one[0])]
        else:
            del value[name]
        gone.append(name)
    if any(value.get(name) is None for name in needed):
        raise ValueError(f"{needed} are needed")
    return gone


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
