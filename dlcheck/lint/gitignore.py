"""The files that git does not ignore: asked of git itself where there is a repository, else by the ``.gitignore`` files."""

from __future__ import annotations

from pathlib import Path

from dlcheck.config.patterns import Pattern, matcher
from dlcheck.lint.git import GitError, run_git

_LISTING = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--")


def listed_files(root: Path, suffixes: tuple[str, ...]) -> list[str] | None:
    """The files below a folder that git tracks or would track, in order, relative to it and with forward slashes.

    Submodules are repositories of their own, and left out. ``None`` where git cannot say: no repository, no git, or one
    that does not trust the owner of the folder; also where it lists nothing, as in an ignored folder asked for by name.
    """
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return None
    try:
        listed = run_git(root, *_LISTING, *(f"*{suffix}" for suffix in suffixes))
    except GitError:
        return None
    names = listed.decode("utf-8", "surrogateescape").split("\0")
    return sorted(name for name in names if name and (root / name).is_file()) or None


class Ignored:
    """What the ``.gitignore`` files of a folder, and of those walked below it so far, say of a path."""

    def __init__(self, root: Path) -> None:
        self._patterns: list[Pattern] = []
        self._matches = matcher(())
        self.enter(root)

    def __call__(self, path: str) -> bool:
        """Whether a path is ignored; a folder ends in ``/``."""
        return bool(self._matches(path))

    def enter(self, folder: Path) -> None:
        """Take in the ``.gitignore`` of a folder, if it has one."""
        try:
            lines = (folder / ".gitignore").read_text("utf-8", "replace").splitlines()
        except OSError:
            return
        self._patterns += [Pattern(folder, line) for line in lines if _is_pattern(line)]
        self._matches = matcher(self._patterns)


def _is_pattern(line: str) -> bool:
    from dlcheck.config.patterns import compiled

    try:
        return any(pattern.include is not None for pattern in compiled((line,)).patterns)
    except ValueError:
        return False
