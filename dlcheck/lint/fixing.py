"""Fix what was found: edit, check again, until nothing more can be fixed."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlcheck.facts.text import decode, split_lines
from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.lint.sources import is_notebook

# A fix may uncover another; more rounds than this would mean that two fixes undo each other.
_MOST_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Fixed:
    """What fixing did: how many findings were fixed, what is left, and each changed file's content before and after."""

    count: int
    result: CheckResult
    changes: dict[str, tuple[bytes, bytes]]
    problems: tuple[str, ...]


def fixable(finding: Finding, unsafe: bool) -> bool:
    """Whether a finding has a fix that may be applied."""
    return finding.fix is not None and (finding.fix.safe or unsafe)


def fix_all(check: Callable[[dict[str, bytes]], CheckResult], *, unsafe: bool) -> Fixed:
    """Fix everything that may be fixed, in memory. ``check`` checks with some files' content replaced."""
    changes: dict[str, tuple[bytes, bytes]] = {}
    problems: dict[str, str] = {}
    count = 0
    result = check({})
    for _ in range(_MOST_ROUNDS):
        groups: dict[str, list[Finding]] = {}
        for finding in result.findings:
            if fixable(finding, unsafe) and finding.place.file not in problems:
                groups.setdefault(finding.place.file, []).append(finding)
        if not groups:
            break
        for file, findings in groups.items():
            count += _fix_file(file, findings, result, changes, problems)
        result = check({file: after for file, (_, after) in changes.items()})
    return Fixed(count, result, changes, tuple(f"{file}: {text}" for file, text in problems.items()))


def _fix_file(
    file: str,
    findings: list[Finding],
    result: CheckResult,
    changes: dict[str, tuple[bytes, bytes]],
    problems: dict[str, str],
) -> int:
    from dlcheck.lint.edit import apply_fixes

    before = result.sources[file]
    try:
        after, done = apply_fixes(before, [f.fix for f in findings if f.fix is not None])
    except ValueError as error:
        problems[file] = str(error)
        return 0
    if after == before:
        problems[file] = "a fix could not be placed"
        return 0
    changes[file] = (changes[file][0] if file in changes else before, after)
    return len(done)


def unified_diff(changes: dict[str, tuple[bytes, bytes]], shown: Callable[[str], str]) -> str:
    """The changes as a unified diff."""
    out: list[str] = []
    for file, (before, after) in sorted(changes.items()):
        name = shown(file)
        old, new = (split_lines(decode(text)) for text in (before, after))
        out += difflib.unified_diff(old, new, name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in out)


def write_changes(changes: dict[str, tuple[bytes, bytes]]) -> list[str]:
    """Write the changed files, each in one step; what could not be written is returned as problems."""
    from dlcheck.lint.edit import write_atomically

    problems = []
    for file, (_, after) in sorted(changes.items()):
        path = Path(file)
        try:
            write_atomically(path, _in_notebook(path, after) if is_notebook(file) else after)
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {(isinstance(error, OSError) and error.strerror) or error}")
    return problems


def _in_notebook(path: Path, source: bytes) -> bytes:
    from dlcheck.facts.notebook import notebook_with

    return notebook_with(path.read_bytes(), source)
