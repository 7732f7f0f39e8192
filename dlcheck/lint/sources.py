"""The files of one project: their bytes, read once, and what a look at these says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.facts.settings_file import parse_settings
from dlcheck.facts.summary import Summary, summarise

if TYPE_CHECKING:
    from dlcheck.facts.model import Expr
    from dlcheck.lint.cache import Cache


_MOST_SETTINGS_BYTES = 1_000_000


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


def _digest(content: bytes | None) -> str:
    return "" if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()


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
        self.settings_read: dict[str, str] = {}

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

    def settings(self, name: str) -> Expr | None:
        """What a file of settings holds; ``None`` where there is none, or it lies outside of the project."""
        content = self._settings_bytes(name)
        self.settings_read[name] = _digest(content)
        return None if content is None else parse_settings(name, content)

    def settings_as_before(self, digests: Iterable[tuple[str, str]]) -> bool:
        """Whether files of settings hold what they held when they had these digests."""
        return all(_digest(self._settings_bytes(name)) == digest for name, digest in digests)

    def _settings_bytes(self, name: str) -> bytes | None:
        path = self.root / name
        try:
            if not path.is_file() or path.stat().st_size > _MOST_SETTINGS_BYTES:
                return None
            return path.read_bytes() if path.resolve().is_relative_to(self.root.resolve()) else None
        except OSError:
            return None

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
