"""Which files are looked at: the Python files under the given paths, and those of the project around them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_MARKERS = ("pyproject.toml", ".git", "setup.py", "setup.cfg")
_SKIPPED = frozenset(
    ".git .hg .svn .venv venv env .env .tox .nox .mypy_cache .pytest_cache .ruff_cache .eggs __pycache__ node_modules "
    "build dist site-packages .ipynb_checkpoints .dlcheck .dlcheck_cache".split()
)
# Around a lone file that belongs to no project, evidence is sought in so many files at most.
_MOST_STRAY_FILES = 500


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
        subfolders[:] = sorted(name for name in subfolders if name not in _SKIPPED and not name.endswith(".egg-info"))
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


def project_files(root: Path, marked: bool) -> list[Path]:
    """The files of a project in which evidence is sought."""
    out: list[Path] = []
    for path in python_files(root):
        out.append(path)
        if not marked and len(out) >= _MOST_STRAY_FILES:
            break
    return out
