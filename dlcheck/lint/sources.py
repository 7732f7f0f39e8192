"""The files of one project: their bytes, read once, and what a look at these says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.facts.summary import Summary, summarise

if TYPE_CHECKING:
    from dlcheck.lint.cache import Cache


def is_notebook(file: str) -> bool:
    """Whether a file is a notebook, by its name."""
    return file.endswith(".ipynb")


def read_source(path: Path) -> bytes:
    """The content of a Python file, or the Python source of a notebook. Raises ``OSError``, or ``ValueError`` for no notebook."""
    content = path.read_bytes()
    if is_notebook(path.name):
        from dlcheck.facts.notebook import python_source

        return python_source(content)
    return content


class Sources:
    """Files by their path relative to the project's root, with forward slashes.

    ``overlay`` holds the content of files (by absolute path) that counts in place of what is on disk: of a notebook, its
    Python source. A file that cannot be read is empty, and ``errors`` says why.
    """

    def __init__(self, root: Path, overlay: Mapping[str, bytes], cache: Cache | None = None) -> None:
        self.root = root
        self.errors: dict[str, str] = {}
        self._overlay = overlay
        self._cache = cache
        self._read: dict[str, bytes] = {}
        self._summaries: dict[str, Summary] = {}

    def __call__(self, name: str) -> bytes:
        """The content of a file."""
        if name not in self._read:
            path = self.root / name
            if str(path) in self._overlay:
                self._read[name] = self._overlay[str(path)]
                return self._read[name]
            try:
                self._read[name] = read_source(path)
            except (OSError, ValueError) as error:
                self.errors[name] = (isinstance(error, OSError) and error.strerror) or str(error)
                self._read[name] = b""
        return self._read[name]

    def summary(self, name: str) -> Summary:
        """What a look at a file says; from the cache where the file has not changed since."""
        known = self._summaries.get(name)
        if known is None:
            known = self._summaries[name] = self._summarise(name)
        return known

    def _summarise(self, name: str) -> Summary:
        if self._cache is None or str(self.root / name) in self._overlay:
            return summarise(self(name))
        try:
            stat = (self.root / name).stat()
        except OSError:
            return summarise(self(name))
        known = self._cache.summary(name, stat)
        if known is None:
            known = summarise(self(name))
            if name not in self.errors:
                self._cache.keep_summary(name, stat, known)
        return known
