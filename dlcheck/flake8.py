"""The plugin for flake8, for projects that run it already: ``flake8`` with dlcheck installed reports the codes ``DLC...``.

The settings are those of ``[tool.dlcheck]``; flake8's own ``select``, ``ignore`` and ``noqa`` count beside them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlcheck import __version__

_STDIN = frozenset(("stdin", "-", "(none)"))


class Plugin:
    """Made by flake8 for each file, and run."""

    name = "dlcheck"
    version = __version__

    def __init__(self, tree: ast.AST, filename: str, lines: Sequence[str]) -> None:
        self._filename = filename
        self._lines = lines

    def run(self) -> Iterator[tuple[int, int, str, type[Any]]]:
        """(line from 1, column from 0, code and message, this class) of each finding."""
        text = "".join(self._lines)
        if (
            "torch" not in text
            and "oader" not in text
            and "dlcheck" not in text
            and "__getitem__" not in text
        ):
            return
        from dlcheck.config.resolve import Resolver
        from dlcheck.errors import UserError
        from dlcheck.facts.text import encoded
        from dlcheck.lint.checker import check

        unsaved = self._filename in _STDIN or not Path(self._filename).exists()
        path = Path("stdin.py" if self._filename in _STDIN else self._filename).absolute()
        overlay = {str(path): encoded(text)} if unsaved else None
        try:
            result = check([path], Resolver(), overlay=overlay, cached=True)
        except UserError as error:
            yield 1, 0, f"DLC000 {' '.join(str(error).splitlines())}", type(self)
            return
        for finding in result.findings:
            message = f"{finding.rule} {finding.message}"
            yield finding.place.line, finding.place.column - 1, message, type(self)
