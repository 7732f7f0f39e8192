"""What a change of the code introduces and what it cures: the findings of the working tree beside those of a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlcheck.config.resolve import Resolver
from dlcheck.lint.api import CheckResult
from dlcheck.lint.checker import check
from dlcheck.lint.finding import Finding
from dlcheck.lint.git import Changes, FileChange, files_at
from dlcheck.lint.lines import dedented, line_text, lines_of
from dlcheck.lint.sources import is_notebook


@dataclass(frozen=True, slots=True)
class Comparison:
    """Findings of the code as it is and as it was, and those of each that the other does not have."""

    now: CheckResult
    before: CheckResult
    introduced: tuple[Finding, ...]
    cured: tuple[Finding, ...]


def compare(
    paths: Iterable[Path], changes: Changes, resolver: Resolver, *, cached: bool = False
) -> Comparison:
    """Check paths as they are and as they were, both under the settings of now, with all evidence of the project."""
    paths = [path.absolute() for path in paths]
    now = check(paths, resolver, root=changes.root, cached=cached)
    overlay, added = _as_before(changes)
    gone = [
        Path(file)
        for file in overlay
        if any(Path(file).is_relative_to(path) for path in paths) and not Path(file).exists()
    ]
    kept = [path for path in paths if str(path) not in added]
    before = check([*kept, *gone], resolver, root=changes.root, overlay=overlay, without=added, cached=cached)
    introduced, cured = _unmatched(now, before, changes)
    return Comparison(now, before, tuple(introduced), tuple(cured))


def _as_before(changes: Changes) -> tuple[dict[str, bytes], frozenset[str]]:
    """The content that changed files had, by absolute path, and the files that were not there."""
    names = {
        c.before.relative_to(changes.root).as_posix(): c.before for c in changes.files if c.before is not None
    }
    contents = files_at(changes.root, changes.commit, tuple(names)) if names else {}
    overlay = {str(path): _source(contents[name], name) for name, path in names.items() if name in contents}
    after = {str(change.after) for change in changes.files if change.after is not None}
    return overlay, frozenset((after | {str(path) for path in changes.untracked}) - overlay.keys())


def _source(content: bytes, name: str) -> bytes:
    if not is_notebook(name):
        return content
    from dlcheck.facts.notebook import python_source

    try:
        return python_source(content)
    except ValueError:
        return b""


def _unmatched(
    now: CheckResult, before: CheckResult, changes: Changes
) -> tuple[list[Finding], list[Finding]]:
    """The findings of now that were not there before, and the other way round.

    A finding is the same if it is of the same rule and stands on the same line, on a line of the same changed piece, on a
    line of the same text elsewhere in the file, or in a function of the same text, which may have moved to another file.
    """
    by_after = {str(change.after): change for change in changes.files if change.after is not None}
    new, old = list(now.findings), list(before.findings)

    def place(finding: Finding) -> object:
        change = by_after.get(finding.place.file)
        file = str(change.before) if change is not None else finding.place.file
        line = change.line_before(finding.place.line) if change is not None else finding.place.line
        return (finding.rule, file, line) if line is not None else finding

    def old_place(finding: Finding) -> object:
        return finding.rule, finding.place.file, finding.place.line

    _pair(new, old, place, old_place)
    by_before = {str(change.before): change for change in changes.files if change.before is not None}
    _pair(new, old, lambda f: _piece(f, by_after, True), lambda f: _piece(f, by_before, False))
    _pair(new, old, lambda f: _text(f, now, by_after), lambda f: _text(f, before, {}))
    _pair(new, old, lambda f: _function(f, now), lambda f: _function(f, before))
    return new, old


def _pair(
    new: list[Finding],
    old: list[Finding],
    new_key: Callable[[Finding], object],
    old_key: Callable[[Finding], object],
) -> None:
    """Take out of both lists what has the same key, one for one."""
    waiting: dict[object, list[Finding]] = {}
    for finding in old:
        waiting.setdefault(old_key(finding), []).append(finding)
    for finding in list(new):
        same = waiting.get(new_key(finding))
        if same:
            new.remove(finding)
            old.remove(same.pop(0))


def _piece(finding: Finding, files: dict[str, FileChange], new: bool) -> object:
    change = files.get(finding.place.file)
    if change is None:
        return finding
    hunk = change.hunk_at(finding.place.line, new=new)
    return (finding.rule, change.before, hunk) if hunk is not None else finding


def _text(finding: Finding, result: CheckResult, files: dict[str, FileChange]) -> object:
    """Rule, text of the line, and the file as it was called before."""
    change = files.get(finding.place.file)
    file = str(change.before) if change is not None else finding.place.file
    return finding.rule, line_text(finding, result.sources), file


def _function(finding: Finding, result: CheckResult) -> object:
    """Rule, and the text of the function that the finding lies in, with the line in it."""
    first, last = finding.scope
    lines = lines_of(finding.place.file, result.sources)[max(0, first - 1) : last]
    return (finding.rule, dedented(lines), finding.place.line - first) if lines else finding


def worst_first(findings: Iterable[Finding], cost: Callable[[Finding], float | None]) -> Iterator[Finding]:
    """Findings in the order in which a person should look at them: what costs most, what is gravest, what is surest."""
    severities, confidences = ("error", "warning", "info"), ("high", "medium", "low")
    yield from sorted(
        findings,
        key=lambda f: (
            -(cost(f) or 0.0),
            severities.index(f.severity),
            confidences.index(f.confidence),
            f.place.file,
            f.place.line,
        ),
    )
