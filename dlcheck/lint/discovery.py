"""Which files are looked at: the Python files and notebooks under the given paths, and those of the project around them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_MARKERS = ("pyproject.toml", ".git", "setup.py", "setup.cfg", "dlcheck.toml", ".dlcheck.toml")
_SUFFIXES = (".py", ".ipynb")
# Folders that hold no code of the project's own. Virtual environments are known by their pyvenv.cfg, whatever their name.
_SKIPPED = frozenset(
    ".git .hg .svn .bzr .direnv .venv venv .env .tox .nox .mypy_cache .pytest_cache .ruff_cache .eggs __pypackages__ "
    "__pycache__ node_modules build dist site-packages .ipynb_checkpoints .dlcheck .dlcheck_cache".split()
)
# Evidence is sought in so many files at most: around a lone file that belongs to no project, and in a project.
_MOST_STRAY_FILES = 500
_MOST_PROJECT_FILES = 10_000


def _no_opinion(path: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Walk:
    """What is passed over. ``excluded`` says of a path (a folder ends in ``/``) yes, no (though it is by default), or
    nothing. ``gitignore``: files that git ignores are passed over. ``forced``: so are excluded files given by name.
    """

    excluded: Callable[[str], bool | None] = _no_opinion
    gitignore: bool = True
    forced: bool = False

    def skips_folder(self, path: str, name: str) -> bool:
        """Whether a folder is not entered."""
        opinion = self.excluded(f"{path}/")
        if opinion is not None:
            return opinion
        return name in _SKIPPED or name.endswith(".egg-info") or Path(path, "pyvenv.cfg").exists()


def project_root(path: Path) -> tuple[Path, bool]:
    """The root of the project that a path belongs to, and whether a marker file says so.

    With no marker (``pyproject.toml``, ``.git``, ``setup.py``, ...) in any folder above, the folder itself.
    """
    folder = path if path.is_dir() else path.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate, True
    return folder, False


def python_files(root: Path, walk: Walk) -> Iterator[Path]:
    """The files below a folder, in order, without excluded and ignored ones. Links to folders are not followed."""
    if walk.gitignore:
        from dlcheck.lint.gitignore import listed_files

        listed = listed_files(root, _SUFFIXES)
        if listed is not None:
            yield from _without_excluded(root, listed, walk)
            return
    yield from _walked(root, walk)


def _without_excluded(root: Path, listed: Iterable[str], walk: Walk) -> Iterator[Path]:
    """The listed files (relative to the root) that lie in no excluded folder and are not excluded themselves."""
    skipped: dict[str, bool] = {"": False}

    def is_skipped(folder: str) -> bool:
        if folder not in skipped:
            above, _, name = folder.rpartition("/")
            skipped[folder] = is_skipped(above) or walk.skips_folder(f"{root}/{folder}", name)
        return skipped[folder]

    for name in listed:
        path = root / name
        if not is_skipped(name.rpartition("/")[0]) and not walk.excluded(str(path)):
            if not _leads_out(str(path), root):
                yield path


def _walked(root: Path, walk: Walk) -> Iterator[Path]:
    from dlcheck.lint.gitignore import Ignored

    ignored = Ignored(root) if walk.gitignore else None
    for folder, subfolders, files in os.walk(root):
        if ignored is not None and ".gitignore" in files and folder != str(root):
            ignored.enter(Path(folder))
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not walk.skips_folder(f"{folder}/{name}", name)
            and not (ignored is not None and ignored(f"{folder}/{name}/"))
        )
        for name in sorted(files):
            path = f"{folder}/{name}"
            if not name.endswith(_SUFFIXES) or walk.excluded(path) or (ignored and ignored(path)):
                continue
            if Path(path).is_file() and not _leads_out(path, root):  # no pipe, no link to nowhere
                yield Path(path)


def _leads_out(path: str, root: Path) -> bool:
    """A link to a file of somebody else: neither below the folder nor in its project."""
    if not Path(path).is_symlink():
        return False
    target = Path(path).resolve()
    return not target.is_relative_to(root.resolve()) and not target.is_relative_to(
        project_root(root)[0].resolve()
    )


def given_files(paths: Iterable[Path], walk: Walk) -> list[Path]:
    """The files to report on: the given files themselves, and the files below the given folders, each once."""
    out: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            out |= dict.fromkeys(python_files(path, walk))
        elif not (walk.forced and _is_excluded(path, walk)):
            out[path] = None
    return list(out)


def _is_excluded(path: Path, walk: Walk) -> bool:
    return bool(walk.excluded(str(path))) or any(bool(walk.excluded(f"{folder}/")) for folder in path.parents)


def project_files(root: Path, marked: bool, given: Iterable[Path], walk: Walk) -> list[Path]:
    """The files of a project in which evidence is sought.

    Where the project is too large for that, the files of the folders, directly below the root, that hold the given
    files; where these are too many as well, the folders of the given files alone.
    """
    most = _MOST_PROJECT_FILES if marked else _MOST_STRAY_FILES
    below = {root / path.relative_to(root).parts[0] for path in given if path.is_relative_to(root)}
    for folders in ({root}, {folder for folder in below if folder.is_dir()}):
        files = [path for folder in sorted(folders) for path in islice(python_files(folder, walk), most + 1)]
        if len(files) <= most:
            return files
    return [path for folder in sorted({p.parent for p in given}) for path in sorted(folder.glob("*.py"))]
