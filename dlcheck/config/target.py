"""Which versions of Python and torch a project supports, and how its workers start, where that changes what is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcheck.config import toml
from dlcheck.config.settings import Settings

Version = tuple[int, int]

# The default start method on Linux is forkserver from this Python on (docs.python.org/3/whatsnew/3.14.html), fork before.
_FORKSERVER_FROM: Version = (3, 14)
_BOUND = re.compile(r"(>=|~=|==|>|<=|<|\^|~)\s*v?(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Target:
    """``python`` and ``torch``: the lowest supported versions, ``None`` where nothing says. ``python_below``: the first
    Python that is not supported any more. ``start_method``: what the settings say; ``None`` is the default of the platform.
    """

    python: Version | None = None
    python_below: Version | None = None
    torch: Version | None = None
    start_method: str | None = None

    @property
    def may_fork(self) -> bool:
        """Whether workers may be forked by default on Linux."""
        if self.start_method is not None:
            return self.start_method == "fork"
        return self.python is None or self.python < _FORKSERVER_FROM

    @property
    def may_pickle(self) -> bool:
        """Whether the dataset may have to be pickled for the workers by default on Linux, with a Python that is allowed."""
        if self.start_method is not None:
            return self.start_method != "fork"
        return self.python_below is None or self.python_below > _FORKSERVER_FROM


def find_target(root: Path, settings: Settings) -> Target:
    """The versions that the settings name, and those that the project at ``root`` declares for what they leave open.

    ``pyproject.toml`` (PEP 621 and Poetry), ``setup.cfg``, ``setup.py`` and ``requirements*.txt`` are read, never run.
    """
    python, torch = _bounds(_declared_python(root)), _bounds(_declared_torch(root))
    lowest = _version(settings.target_python) or python[0]
    return Target(lowest, python[1], _version(settings.target_torch) or torch[0], settings.start_method)


def _declared_python(root: Path) -> str:
    project, poetry = _pyproject(root)
    declared = project.get("requires-python") or _poetry_version(poetry.get("python"))
    if isinstance(declared, str) and declared:
        return declared
    for name in ("setup.cfg", "setup.py"):
        found = re.search(r"""python_requires\s*=\s*["']?([^"'\n#]+)""", _text(root / name))
        if found:
            return found.group(1)
    return ""


def _declared_torch(root: Path) -> str:
    _, poetry = _pyproject(root)
    if poetry.get("torch"):
        return _poetry_version(poetry["torch"])
    for requirement in _requirements(root):
        found = re.match(r"\s*torch\b(?![-_.\w])\s*(?:\[[^]]*\])?\s*\(?([^;#)]*)", requirement)
        if found and found.group(1).strip():
            return found.group(1)
    return ""


def _requirements(root: Path) -> Iterator[str]:
    project, _ = _pyproject(root)
    listed = project.get("dependencies")
    optional = project.get("optional-dependencies")
    groups = [listed, *(optional.values() if isinstance(optional, dict) else ())]
    for group in groups:
        if isinstance(group, list):
            yield from (text for text in group if isinstance(text, str))
    for name in ("setup.cfg", "setup.py"):
        yield from re.findall(r"""(?<![\w-])torch\s*[><=~!][^"'\n]*""", _text(root / name))
    for path in sorted(root.glob("requirements*.txt")):
        yield from _text(path).splitlines()


def _pyproject(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables ``[project]`` and ``[tool.poetry.dependencies]``; empty where there are none, or the file is broken."""
    try:
        parsed: Any = toml.loads(_text(root / "pyproject.toml"))
    except toml.TOMLDecodeError:
        return {}, {}
    project, poetry = parsed.get("project"), parsed
    for key in ("tool", "poetry", "dependencies"):
        poetry = poetry.get(key) if isinstance(poetry, dict) else None
    return project if isinstance(project, dict) else {}, poetry if isinstance(poetry, dict) else {}


def _poetry_version(value: Any) -> str:
    text = value.get("version", "") if isinstance(value, dict) else value
    # In Poetry's words ``^3.8`` is at least 3.8 and below 4.
    return text if isinstance(text, str) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _version(text: str | None) -> Version | None:
    if text is None:
        return None
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


def _bounds(specifier: str) -> tuple[Version | None, Version | None]:
    """The lowest version that a specifier such as ``>=3.9,<3.14`` allows, and the first that it does not any more."""
    lowest: Version | None = None
    below: Version | None = None
    for sign, major_text, minor_text in _BOUND.findall(specifier):
        major, minor = int(major_text), int(minor_text or 0)
        if sign in (">=", "~=", "==", ">", "^", "~"):
            lowest = max(lowest or (0, 0), (major, minor))
        if sign in ("<=", "=="):
            below = (major, minor + 1)
        elif sign == "<":
            below = (major, minor)
        elif sign == "~":
            below = (major, minor + 1)
        elif sign in ("^", "~="):
            below = (major + 1, 0)
    return lowest, below
