"""Settings as text, in the form of a settings file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlcheck.config.options import OPTIONS
from dlcheck.config.patterns import Pattern
from dlcheck.config.settings import Settings
from dlcheck.config.target import find_target


def show_settings(folder: Path, settings: Settings, root: Path) -> str:
    """The settings that hold in a folder, where they come from, and what was read from the project at ``root``."""
    sources = ", then ".join(map(_shown, settings.sources)) or "no settings file; the defaults"
    lines = [f"# settings for the files in {_shown(folder)}", f"# from {sources}", ""]
    target = find_target(root, settings)
    found = {"target-python": target.python, "target-torch": target.torch}
    for key, option in OPTIONS.items():
        if option.adds or key == "extend":
            continue
        value: Any = getattr(settings, key.replace("-", "_"))
        note = ""
        version = found.get(key)
        if value is None and version is not None:
            value, note = f"{version[0]}.{version[1]}", f"  # declared in {_shown(root)}"
        lines += _table(key, value) if key == "per-file-ignores" else [f"{_entry(key, value)}{note}"]
    return (
        "\n".join([*(line for line in lines if "\n" not in line), *(line for line in lines if "\n" in line)])
        + "\n"
    )


def _entry(key: str, value: Any) -> str:
    return f"# {key}: not set" if value is None else f"{key} = {_toml(value)}"


def _table(key: str, value: Iterable[tuple[Pattern, tuple[str, ...]]]) -> list[str]:
    entries = [f"{_toml(pattern)} = {_toml(codes)}" for pattern, codes in value]
    return ["\n" + "\n".join([f"[{key}]", *entries])] if entries else []


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Pattern):
        return json.dumps(value.text, ensure_ascii=False)
    if isinstance(value, Path):
        return json.dumps(_shown(value), ensure_ascii=False)
    return json.dumps(value if value != "" else "ALL", ensure_ascii=False)


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
