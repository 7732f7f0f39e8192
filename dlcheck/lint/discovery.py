"""Which files are looked at: the Python files under the given paths, and those of the project around them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

_MARKERS = ("pyproject.toml", ".git", "setup.py", "setup.cfg")
_SKIPPED = frozenset(
    ".git .hg .svn .venv venv env .env .tox .nox .mypy_cache .pytest_cache .ruff_cache .eggs "
    "__pycache__ node_modules build dist site-packages .ipynb_checkpoints .dlcheck .dlcheck_cache".split()
)
# Evidence is sought in so many files at most: around a lone file that belongs to no project, and in a project.
_MOST_STRAY_FILES = 500
_MOST_PROJECT_FILES = 10_000


def project_root(path: Path) -> tuple[Path, bool]:
    """The root of the project that a path belongs to, and whether a marker file says so.

    With no marker (``pyproject.toml``, ``.git``, ``setup.py``, ``setup.cfg``) in any folder above, the folder itself.
    """
    folder = path if path.is_dir() else path.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate, True
    return folder, False


def python_files(root: Path) -> Iterator[Path]:
    """The Python files below a folder, in order, without hidden, built and installed ones. Links to folders are not followed."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(
            name for name in subfolders if name not in _SKIPPED and not name.endswith(".egg-info")
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder) / name


def given_files(paths: Iterable[Path]) -> list[Path]:
    """The files to report on: the given files themselves, and the Python files below the given folders, each once."""
    out: dict[Path, None] = {}
    for path in paths:
        for found in python_files(path) if path.is_dir() else (path,):
            out[found] = None
    return list(out)


def project_files(root: Path, marked: bool, given: Iterable[Path]) -> list[Path]:
    """The files of a project in which evidence is sought.

    Where the project is too large for that, the files of the folders, directly below the root, that hold the given
    files; where these are too many as well, the folders of the given files alone.
    """
    most = _MOST_PROJECT_FILES if marked else _MOST_STRAY_FILES
    below = {root / path.relative_to(root).parts[0] for path in given if path.is_relative_to(root)}
    for folders in ({root}, {folder for folder in below if folder.is_dir()}):
        files = [path for folder in sorted(folders) for path in islice(python_files(folder), most + 1)]
        if len(files) <= most:
            return files
    return [path for folder in sorted({p.parent for p in given}) for path in sorted(folder.glob("*.py"))]
