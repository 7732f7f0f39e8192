"""What git says of a working tree: which lines have changed since a commit, and what files held then."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from dlcheck.errors import UserError

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_ABOUT_A_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
_FILES = ("*.py", "*.ipynb")


class GitError(UserError):
    """Git cannot say what is asked."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of the old file that are now lines of the new one: ``old_count`` lines from ``old`` on, and likewise. Where a count
    is 0, the number is that of the line before.
    """

    old: int
    old_count: int
    new: int
    new_count: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of a file: its path then (``None``: it is new) and now (``None``: it is gone), by absolute path, and where it
    differs.
    """

    before: Path | None
    after: Path | None
    hunks: tuple[Hunk, ...]

    def line_before(self, line: int) -> int | None:
        """The number that a line had before; ``None`` where it is new or changed."""
        shift = 0
        for hunk in self.hunks:
            first = hunk.new if hunk.new_count else hunk.new + 1
            if line < first:
                break
            if line < first + hunk.new_count:
                return None
            shift += hunk.old_count - hunk.new_count
        return line + shift

    def hunk_at(self, line: int, *, new: bool) -> Hunk | None:
        """The hunk that a line of the new file, or of the old one, lies in."""
        for hunk in self.hunks:
            first, count = (hunk.new, hunk.new_count) if new else (hunk.old, hunk.old_count)
            if first <= line < first + count:
                return hunk
        return None


@dataclass(frozen=True, slots=True)
class Changes:
    """How a working tree differs from a commit: the files that changed. ``untracked`` ones are new as a whole."""

    root: Path
    commit: str
    files: tuple[FileChange, ...]
    untracked: frozenset[Path] = field(default_factory=frozenset)


def find_changes(folder: Path, revision: str) -> Changes:
    """The changes of the working tree, committed or not, since it left a revision (the common ancestor of both).

    Raises ``GitError`` where there is no git, no repository, or no such revision.
    """
    root = Path(
        run_git(folder, "rev-parse", "--show-toplevel").decode("utf-8", "surrogateescape").rstrip("\n")
    )
    commit = _commit(root, revision)
    diff = run_git(
        root, "-c", "core.quotepath=off", "diff", "--unified=0", "--find-renames", "--no-color", "--no-ext-diff",
        "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules", commit, "--", *_FILES,
    )  # fmt: skip
    listed = run_git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *_FILES)
    names = listed.decode("utf-8", "surrogateescape").split("\0")
    untracked = frozenset(root / name for name in names if name)
    return Changes(root, commit, tuple(_files(root, diff)), untracked)


def files_at(root: Path, commit: str, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """The files with such names that a commit held, by their paths relative to the root."""
    listed = run_git(root, "ls-tree", "-r", "-z", commit).decode("utf-8", "surrogateescape")
    blobs: list[tuple[str, str]] = []
    for entry in listed.split("\0"):
        about, _, name = entry.partition("\t")
        if name.endswith(suffixes) and about.split()[1] == "blob":
            blobs.append((name, about.split()[2]))
    request = "".join(f"{blob}\n" for _, blob in blobs).encode()
    answer = run_git(root, "cat-file", "--batch", given=request)
    out: dict[str, bytes] = {}
    at = 0
    for name, _ in blobs:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        out[name] = answer[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return out


def _commit(root: Path, revision: str) -> str:
    if revision.startswith("-"):
        raise GitError(f"{revision!r} is no commit or branch")
    try:
        found = (
            run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            .decode()
            .strip()
        )
    except GitError as error:
        raise GitError(
            f"git knows no commit or branch {revision!r} here; a shallow clone has to fetch it first "
            "(GitHub: actions/checkout with fetch-depth: 0; GitLab: GIT_DEPTH: 0)"
        ) from error
    try:
        return run_git(root, "merge-base", found, "HEAD").decode().strip()
    except GitError:
        return found  # no common history, or a shallow clone that does not reach it


def run_git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What a git command prints, run in a folder. Raises ``GitError``."""
    # Within a hook these name the repository of the commit, which need not be that of the folder.
    environment = {name: value for name, value in os.environ.items() if name not in _ABOUT_A_REPOSITORY}
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, check=False, env=environment
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(f"git: {text[0].removeprefix('fatal: ') if text else f'status {done.returncode}'}")
    return done.stdout


def _files(root: Path, diff: bytes) -> list[FileChange]:
    out = []
    for part in re.split(rb"^diff --git ", diff, flags=re.MULTILINE)[1:]:
        head, _, _ = part.partition(b"\n@@ ")
        before, after = (
            _path(root, head, rb"--- ", rb"rename from "),
            _path(root, head, rb"\+\+\+ ", rb"rename to "),
        )
        hunks = tuple(
            Hunk(*(int(number) if number else 1 for number in match.groups()))
            for match in _HUNK.finditer(part)
        )
        if before is not None or after is not None:
            out.append(FileChange(before, after, hunks))
    return out


def _path(root: Path, head: bytes, mark: bytes, rename: bytes) -> Path | None:
    """A path in the head of a file's diff; ``None`` for ``/dev/null``."""
    found = re.search(rb"^(?:" + mark + rb"|" + rename + rb")(.+?)\t?$", head, re.MULTILINE)
    if found is None:
        return None
    name = found.group(1)
    if name.startswith(b'"'):
        # Quoted in the manner of C, with octal escapes.
        name = name[1:-1].decode("unicode_escape").encode("latin-1")
    if name == b"/dev/null":
        return None
    if found.group().startswith((b"--- ", b"+++ ")):
        name = name[2:]
    return root / name.decode("utf-8", "surrogateescape")
