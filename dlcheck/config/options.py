"""Every setting that a file may hold: its name, what it takes, and what it means. Reading, showing and help follow this table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.config.patterns import Pattern, compiled
from dlcheck.config.settings import CONFIDENCES, OUTPUT_FORMATS, SEVERITIES, START_METHODS


class WrongValue(ValueError):
    """A value that a setting does not take. ``word`` is the part of it that is wrong, to find its line."""

    def __init__(self, message: str, word: object = None) -> None:
        super().__init__(message)
        self.word = word


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the folder that paths count from, and the codes and names that there are."""

    folder: Path
    codes: dict[str, str]


Read = Callable[[Any, Place], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """``read`` turns the value of the file into that of ``Settings``, or raises ``WrongValue``. ``adds``: to another setting."""

    read: Read
    meaning: str
    adds: str = ""


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint at the word that was meant, to be put at the end of a message; empty where none is near."""
    import difflib

    by_lower = {known.lower(): known for known in words}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.55)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def as_code(word: str, codes: dict[str, str]) -> str:
    """The code, or prefix of codes, that a word names; ``ALL`` is the empty prefix. Names of rules are words too."""
    wanted = word.strip()
    for code, name in codes.items():
        if wanted.lower() == name:
            return code
    wanted = wanted.upper()
    if wanted == "ALL":
        return ""
    if not wanted or not any(code.startswith(wanted) for code in codes):
        raise WrongValue(
            f"no rule has the code, prefix or name {word!r}{nearest(word, [*codes, *codes.values()])}", word
        )
    return wanted


def _list(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise WrongValue(f"a list of strings is needed, not {_kind(value)}")
    for item in value:
        if not isinstance(item, str):
            raise WrongValue(f"a list of strings is needed, and {item!r} is {_kind(item)}", item)
    return value


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), type(value).__name__)


def _text(value: Any, place: Place) -> str:
    if not isinstance(value, str):
        raise WrongValue(f"a string is needed, not {_kind(value)}")
    return value


def _flag(value: Any, place: Place) -> bool:
    if not isinstance(value, bool):
        raise WrongValue(f"true or false is needed, not {_kind(value)}")
    return value


def _codes(value: Any, place: Place) -> tuple[str, ...]:
    return tuple(as_code(word, place.codes) for word in _list(value))


def _patterns(value: Any, place: Place) -> tuple[Pattern, ...]:
    return tuple(_pattern(text, place) for text in _list(value))


def _pattern(text: str, place: Place) -> Pattern:
    try:
        compiled((text,))
    except ValueError as error:
        raise WrongValue(f"{text!r} is no pattern of paths", text) from error
    return Pattern(place.folder, text)


def _codes_by_pattern(value: Any, place: Place) -> tuple[tuple[Pattern, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise WrongValue(f'a table of lists is needed, such as {{"tests/*" = ["DLC2"]}}, not {_kind(value)}')
    return tuple((_pattern(text, place), _codes(codes, place)) for text, codes in value.items())


def _existing(value: Any, place: Place) -> Path:
    path = _path(value, place)
    if not path.exists():
        raise WrongValue(f"no such file or folder: {value}", value)
    return path


def _path(value: Any, place: Place) -> Path:
    return place.folder / Path(_text(value, place)).expanduser()


def _existing_list(value: Any, place: Place) -> tuple[Path, ...]:
    return tuple(_existing(text, place) for text in _list(value))


def _one_of(words: tuple[str, ...]) -> Read:
    def read(value: Any, place: Place) -> str:
        if value not in words:
            hint = nearest(value, words) if isinstance(value, str) else ""
            raise WrongValue(f"one of {', '.join(map(repr, words))} is needed, not {value!r}{hint}")
        return str(value)

    return read


def _version(value: Any, place: Place) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\d+\.\d+(\.\d+)?", value):
        quotes = "" if isinstance(value, str) else ", in quotes"
        raise WrongValue(f'a version such as "3.10" is needed{quotes}, not {value!r}')
    return value


OPTIONS: dict[str, Option] = {
    "extend": Option(_existing, "another settings file, whose settings hold where this one says nothing"),
    "rules": Option(_existing_list, "files, or folders of files, that hold rules of the project's own; they are run"),
    "select": Option(_codes, "the rules to check: codes, prefixes of codes, or names"),
    "extend-select": Option(_codes, "rules to check in addition", adds="select"),
    "ignore": Option(_codes, "rules to leave out; the longer prefix wins over select"),
    "extend-ignore": Option(_codes, "rules to leave out in addition", adds="ignore"),
    "per-file-ignores": Option(_codes_by_pattern, "rules to leave out in some files, by pattern"),
    "extend-per-file-ignores": Option(_codes_by_pattern, "the same, in addition", adds="per-file-ignores"),
    "min-severity": Option(_one_of(SEVERITIES), "the least severity to report"),
    "min-confidence": Option(_one_of(CONFIDENCES), "the least confidence to report"),
    "require-reason": Option(_flag, "whether each suppression must say why (DLC003)"),
    "exclude": Option(_patterns, "files and folders that are not looked at; !name takes back"),
    "extend-exclude": Option(_patterns, "files and folders not to look at, in addition", adds="exclude"),
    "respect-gitignore": Option(_flag, "whether files that git ignores are not looked at"),
    "force-exclude": Option(_flag, "whether exclude holds for files given by name as well"),
    "target-python": Option(_version, "the lowest Python to support; default: from requires-python"),
    "target-torch": Option(_version, "the lowest torch to support; default: from the dependencies"),
    "start-method": Option(_one_of(START_METHODS), "how worker processes start; default: that of the Python versions"),
    "baseline": Option(_path, "a file of known findings that are not reported"),
    "cache-dir": Option(_path, "where facts about files are kept between checks"),
    "output-format": Option(_one_of(OUTPUT_FORMATS), "how findings are written"),
    "fix": Option(_flag, "whether safe fixes are carried out"),
    "unsafe-fixes": Option(_flag, "whether fixes are carried out that may change what the program computes"),
}  # fmt: skip
