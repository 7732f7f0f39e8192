"""Only the findings on lines that have changed since a commit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.lint.git import Changes, FileChange, Hunk
from dlcheck.lint.sources import is_notebook, read_source


class ChangedLines:
    """Which lines have changed since a commit."""

    def __init__(self, changes: Iterable[Changes]) -> None:
        self._new: set[str] = set()
        self._changed: dict[str, tuple[Changes, FileChange]] = {}
        for found in changes:
            self._new |= {str(path) for path in found.untracked}
            self._changed |= {str(c.after): (found, c) for c in found.files if c.after is not None}
        self._hunks: dict[str, tuple[Hunk, ...]] = {}

    def only(self, result: CheckResult, overlay: Mapping[str, bytes]) -> CheckResult:
        """The findings whose lines have changed. ``overlay``: content that counts in place of what is on disk."""
        kept = tuple(f for f in result.findings if self._touches(f, overlay))
        hidden = {**result.hidden, "on unchanged lines": len(result.findings) - len(kept)}
        return replace(result, findings=kept, hidden=hidden)

    def _touches(self, finding: Finding, overlay: Mapping[str, bytes]) -> bool:
        place = finding.place
        file = str(Path(place.file))
        if file in self._new:
            return True
        if file not in self._changed:
            return False
        hunks = self._hunks_of(file)
        if file in overlay:
            hunks = (*_moved(hunks, file, overlay[file]),)
        for hunk in hunks:
            last = hunk.new + hunk.new_count - 1
            if hunk.new_count == 0:
                # Lines went between two others: that concerns what spans both.
                if place.line <= hunk.new < place.end_line:
                    return True
            elif hunk.new <= place.end_line and place.line <= last:
                return True
        return False

    def _hunks_of(self, file: str) -> tuple[Hunk, ...]:
        changes, change = self._changed[file]
        if not is_notebook(file):
            return change.hunks
        if file not in self._hunks:
            self._hunks[file] = _notebook_hunks(changes, change)
        return self._hunks[file]


def _notebook_hunks(changes: Changes, change: FileChange) -> tuple[Hunk, ...]:
    """The changes between the Python sources of a notebook then and now; its file tells of outputs and counts as well."""
    from dlcheck.facts.notebook import python_source
    from dlcheck.lint.git import files_at

    try:
        before = b""
        if change.before is not None:
            name = change.before.relative_to(changes.root).as_posix()
            before = python_source(files_at(changes.root, changes.commit, (name,)).get(name, b""))
    except ValueError:
        before = b""
    assert change.after is not None
    try:
        return tuple(_hunks(before, read_source(change.after)))
    except (OSError, ValueError):
        return ()


def _moved(hunks: Iterable[Hunk], file: str, content: bytes) -> Iterable[Hunk]:
    """The hunks in a content that an edit made of the file on disk; what the edit changed counts as changed."""
    try:
        on_disk = read_source(Path(file))
    except (OSError, ValueError):
        return
    edits = list(_hunks(on_disk, content))
    yield from edits
    for hunk in hunks:
        shift = sum(e.new_count - e.old_count for e in edits if e.old + e.old_count <= hunk.new)
        yield replace(hunk, new=hunk.new + shift)


def _hunks(before: bytes, after: bytes) -> Iterable[Hunk]:
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind != "equal":
            yield Hunk(i1 + (i2 > i1), i2 - i1, j1 + (j2 > j1), j2 - j1)
