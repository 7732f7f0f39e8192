"""What earlier checks of a project found out: one file per project in the user's cache folder.

It holds the summary of each file (by its time of change and size), the facts of those that were parsed (by content),
and the results of the last checks (by everything that they depend on). It is only ever a short cut: whatever is
missing, damaged, of another version or not writable is worked out anew, and nobody hears of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlcheck.facts import model
from dlcheck.facts.summary import Summary

# What a cache file may hold besides plain values. Nothing else is made when one is read.
_MODULES = frozenset(
    f"dlcheck.{name}" for name in ("facts.model", "facts.summary", "lint.finding", "lint.fix", "lint.api")
)
_MOST_RESULTS = 20
# A file may change again within the clock tick of its last change: younger ones are read again.
_SETTLED_NS = 2_000_000_000
_KEPT_DAYS = 30


def cache_folder() -> Path:
    """``DLCHECK_CACHE_DIR``, or ``dlcheck`` in the user's cache folder."""
    own = os.environ.get("DLCHECK_CACHE_DIR")
    if own:
        return Path(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "dlcheck"


def tool_digest() -> str:
    """Stands for this version of the checker, its rules, and the Python that parses."""
    package = Path(__file__).parent.parent
    rules = [Path(folder) for folder in importlib.import_module("dlcheck.rules").__path__]
    hasher = hashlib.blake2b(repr(sys.version_info[:3]).encode(), digest_size=16)
    folders = [package / name for name in ("facts", "lint", "program", "config")]
    for folder in (*folders, *rules):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name) if folder.is_dir() else ():
            if entry.name.endswith(".py"):
                stat = entry.stat()
                hasher.update(f"{entry.name} {stat.st_mtime_ns} {stat.st_size}\n".encode())
    return hasher.hexdigest()


class Cache:
    """The cache of one project, read when made, written by ``save``."""

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        name = hashlib.blake2b(str(root).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        self._path = (folder or cache_folder()) / f"{name}.cache"
        self._version = tool_digest()
        self._summaries: dict[str, tuple[int, int, Summary]] = {}
        self._facts: dict[str, bytes] = {}
        self._results: dict[str, bytes] = {}
        self._changed = False
        self._started = time.time_ns()
        try:
            stored = _read(self._path.read_bytes())
            if stored["version"] == self._version:
                self._summaries, self._facts, self._results = (
                    stored[key] for key in ("summaries", "facts", "results")
                )
        except Exception:
            self._summaries, self._facts, self._results = {}, {}, {}

    def summary(self, name: str, stat: os.stat_result) -> Summary | None:
        """The summary of a file that has not changed since."""
        known = self._summaries.get(name)
        if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size):
            return known[2]
        return None

    def keep_summary(self, name: str, stat: os.stat_result, summary: Summary) -> None:
        if stat.st_mtime_ns < self._started - _SETTLED_NS:
            self._summaries[name] = (stat.st_mtime_ns, stat.st_size, summary)
            self._changed = True

    def facts(self, digest: str) -> Any:
        """The facts of a file of this content, or ``None``."""
        return _value(self._facts.get(digest))

    def keep_facts(self, digest: str, facts: object) -> None:
        try:
            self._facts[digest] = _written(facts)
        except RecursionError:
            return
        self._changed = True

    def result(self, key: str) -> Any:
        """The result of a check with this key, or ``None``."""
        return _value(self._results.get(key))

    def keep_result(self, key: str, result: object) -> None:
        self._results.pop(key, None)
        self._results[key] = pickle.dumps(result, 5)
        self._changed = True

    def save(self, names: Iterable[str]) -> None:
        """Write what is known of the files that the project still has. Does nothing where that is not possible."""
        if not self._changed:
            return
        names = set(names)
        summaries = {name: entry for name, entry in self._summaries.items() if name in names}
        contents = {entry[2].digest for entry in summaries.values()}
        results = dict(list(self._results.items())[-_MOST_RESULTS:])
        content = {
            "version": self._version,
            "summaries": summaries,
            "facts": {digest: facts for digest, facts in self._facts.items() if digest in contents},
            "results": results,
        }
        try:
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(pickle.dumps(content, 5))
                Path(temporary).replace(self._path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            _remove_old(folder)
        except OSError:
            return


def _remove_old(folder: Path) -> None:
    oldest = time.time() - _KEPT_DAYS * 86_400
    for path in folder.iterdir():
        if path.suffix in (".cache", ".tmp") and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _as_call(value: Any) -> tuple[type, tuple[Any, ...]]:
    return type(value), tuple([getattr(value, name) for name in value.__slots__])


# Facts are many: a call of their class takes half of the time, and two thirds of the room, of a state that is set.
_AS_CALLS = {
    cls: _as_call for cls in vars(model).values() if isinstance(cls, type) and dataclasses.is_dataclass(cls)
}


def _written(facts: object) -> bytes:
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.dispatch_table = _AS_CALLS
    pickler.dump(facts)
    return file.getvalue()


class _Reader(pickle.Unpickler):
    """Makes the checker's own values and nothing else, so that a damaged or planted file can do no harm."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name.isidentifier():
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} does not belong in a cache")


def _read(content: bytes) -> Any:
    return _Reader(io.BytesIO(content)).load()


def _value(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return _read(content)
    except Exception:
        return None
