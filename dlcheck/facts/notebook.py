"""Jupyter notebooks as Python source, and back.

The code cells stand one after the other, each headed by a comment with its number among all cells, counted from 1. What
only IPython understands (``%magic``, ``!shell``, ``name?``) becomes a call that nothing is known of, with the line itself
behind it in a comment; so the number of lines of a cell stays the same, and all of it can be put back.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from bisect import bisect_right
from typing import Any

_HEAD = "#%%dlcheck-cell "
_ONLY_IPYTHON = "#%%dlcheck-ipython "
_UNKNOWN = "__ipython__()"
_WORTH_READING = (b"oader", b"__getitem__", b"torch", b"Trainer", b"dlcheck")
# Cell magics whose cell is still Python.
_PYTHON_CELL_MAGICS = re.compile(r"%%(time|timeit|capture|prun|python3?|debug)\b")
_MAGIC = re.compile(r"\s*[%!?]|.*\?\s*$|\s*[\w.,\s\[\]]+=\s*[%!]")


def python_source(raw: bytes) -> bytes:
    """The Python source of a notebook's code cells; empty where it says nothing about data loading, or is of another language.

    Raises ``ValueError`` where the file is no notebook.
    """
    if not any(word in raw for word in _WORTH_READING):
        return b""
    notebook = _load(raw)
    out: list[str] = []
    for number, cell in enumerate(notebook["cells"], 1):
        if _is_code(cell):
            out += [f"{_HEAD}{number}", *_plain(_text(cell).split("\n"))]
    return "".join(f"{line}\n" for line in out).encode("utf-8", "surrogatepass")


def notebook_with(raw: bytes, source: bytes) -> bytes:
    """A notebook whose code cells are those of a source that ``python_source`` gave, after a change."""
    notebook = _load(raw)
    cells = _cells(source.decode("utf-8", "surrogatepass"))
    if list(cells) != [n for n, cell in enumerate(notebook["cells"], 1) if _is_code(cell)]:
        raise ValueError("a change goes beyond one cell")
    for number, lines in cells.items():
        text = "\n".join(lines)
        cell = notebook["cells"][number - 1]
        if text != _text(cell):
            cell["source"] = text.splitlines(keepends=True) if isinstance(cell["source"], list) else text
    found = re.match(rb"\{\r?\n([ \t]+)", raw)
    indent = found.group(1).decode() if found else None
    separators = None if found or b'": ' in raw else (",", ":")
    written = json.dumps(notebook, indent=indent, separators=separators, ensure_ascii=raw.isascii())
    return (written + "\n" * raw.endswith(b"\n")).encode("utf-8", "surrogatepass")


class CellMap:
    """Where the cells of a source that ``python_source`` gave begin: ``starts`` holds the lines of their heads by number."""

    def __init__(self, source: bytes) -> None:
        lines = enumerate(source.decode("utf-8", "replace").split("\n"), 1)
        self.starts = {int(text[len(_HEAD) :]): line for line, text in lines if text.startswith(_HEAD)}
        self._numbers = list(self.starts)
        self._starts = list(self.starts.values())

    def place(self, line: int) -> tuple[int, int]:
        """(cell, line in the cell) of a line of the source, both from 1; cell 0 is no cell."""
        at = bisect_right(self._starts, line) - 1
        return (self._numbers[at], line - self._starts[at]) if at >= 0 else (0, line)


def shown_line(line: str) -> str:
    """A line of the source as the notebook has it."""
    code, mark, original = line.partition(_ONLY_IPYTHON)
    return code[: len(code) - len(code.lstrip())] + original if mark else line


def _load(raw: bytes) -> dict[str, Any]:
    try:
        notebook = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not a notebook: {error}") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError("is not a notebook of format 4")
    metadata = notebook.get("metadata") or {}
    language = (metadata.get("language_info") or {}).get("name") or (metadata.get("kernelspec") or {}).get(
        "language"
    )
    return (
        notebook
        if str(language or "python").lower().startswith(("python", "ipython"))
        else {**notebook, "cells": []}
    )


def _is_code(cell: dict[str, Any]) -> bool:
    if cell.get("cell_type") != "code":
        return False
    first = _text(cell).lstrip().split("\n")[0]
    return not first.startswith("%%") or _PYTHON_CELL_MAGICS.match(first) is not None


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _plain(lines: list[str]) -> list[str]:
    """The lines of a cell without what only IPython understands: taken out where the parser stumbles over it."""
    lines = list(lines)
    for _ in range(len(lines)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ast.parse("\n".join(lines))
                return lines
            except SyntaxError as error:
                number = (error.lineno or 1) - 1
            except (ValueError, RecursionError):
                return lines
        if not 0 <= number < len(lines) or not _MAGIC.match(lines[number]) or _ONLY_IPYTHON in lines[number]:
            return lines
        first = lines[number]
        indent = first[: len(first) - len(first.lstrip())]
        target = re.match(r"\s*([\w.,\s\[\]]+=)\s*[%!]", first)
        call = f"{target.group(1)} {_UNKNOWN}" if target else _UNKNOWN
        goes_on = True
        while goes_on and number < len(lines):
            line = lines[number]
            goes_on = line.rstrip().endswith("\\")
            lines[number] = f"{indent}{call}  {_ONLY_IPYTHON}{line.removeprefix(indent)}"
            call = _UNKNOWN
            number += 1
    return lines


def _cells(source: str) -> dict[int, list[str]]:
    out: dict[int, list[str]] = {}
    number = 0
    for line in source.removesuffix("\n").split("\n"):
        if line.startswith(_HEAD):
            number = int(line[len(_HEAD) :])
            out[number] = []
        elif number:
            out[number].append(shown_line(line))
    return out
