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

_LEAST = re.compile(r"(?:>=|~=|==|>|\^|~)\s*v?(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Target:
    """``python`` and ``torch``: the lowest supported versions, ``None`` where nothing says. ``start_method``: what the settings
    say of the workers; ``None`` is the default of Python and platform.
    """

    python: Version | None = None
    torch: Version | None = None
    start_method: str | None = None


def find_target(root: Path, settings: Settings) -> Target:
    """The versions that the settings name, and those that the project at ``root`` declares for what they leave open.

    ``pyproject.toml`` (PEP 621 and Poetry), ``setup.cfg``, ``setup.py`` and ``requirements*.txt`` are read, never run.
    """
    return Target(
        _version(settings.target_python) or _lowest(_declared_python(root)),
        _version(settings.target_torch) or _lowest(_declared_torch(root)),
        settings.start_method,
    )


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


def _lowest(specifier: str) -> Version | None:
    """The lowest version that a specifier such as ``>=3.9,<3.14`` allows; ``None`` where it names none."""
    versions = [(int(major), int(minor or 0)) for major, minor in _LEAST.findall(specifier)]
    return max(versions, default=None)
