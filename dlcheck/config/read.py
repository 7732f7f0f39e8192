"""Read settings files. Everything that is wrong with one is said at once, each with its line and the nearest right word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dlcheck.config.options import OPTIONS, Place, WrongValue, nearest
from dlcheck.config.settings import Settings
from dlcheck.errors import UserError

FILES = (".dlcheck.toml", "dlcheck.toml", "pyproject.toml")

# The values of one file or command line, by the name of the setting, ready for ``Settings``.
Layer = dict[str, Any]


class ConfigError(UserError):
    """Settings that cannot be used; one line of text for each thing that is wrong."""


def find_config(folder: Path) -> Path | None:
    """The settings file of a folder itself. A ``pyproject.toml`` is one where it has a table ``[tool.dlcheck]``."""
    for name in FILES:
        path = folder / name
        if path.is_file() and (name != "pyproject.toml" or _table(path, _parse(path)[1]) is not None):
            return path
    return None


def read_layers(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, Layer]]:
    """The layers of a settings file: those that it extends first, its own last. Raises ``ConfigError``."""
    path = Path(os.path.normpath(path.absolute()))
    if path in seen:
        raise ConfigError(f"{_shown(path)}: extends itself")
    text, parsed = _parse(path)
    table = _table(path, parsed)
    if table is None:
        raise ConfigError(f"{_shown(path)}: there is no table [tool.dlcheck]")
    keys = ("tool", "dlcheck") if path.name == "pyproject.toml" else ()
    layer, wrong = read_values(table, path.parent)
    if wrong:
        from dlcheck.config.toml_lines import find_line

        raise ConfigError(
            "\n".join(
                f"{_shown(path)}:{find_line(text, (*keys, key), error.word)}: {error}" for key, error in wrong
            )
        )
    extended = layer.pop("extend", None)
    base = read_layers(extended, (*seen, path)) if extended is not None else []
    return [*base, (path, layer)]


def read_values(
    table: Mapping[str, Any], folder: Path, own: tuple[Path, ...] = ()
) -> tuple[Layer, list[tuple[str, WrongValue]]]:
    """The values of a table of settings, and what is wrong with it, by key. ``own``: where the project's own rules are."""
    layer: Layer = {}
    wrong: list[tuple[str, WrongValue]] = []
    codes: dict[str, str] = {}
    # The project's own rules come first: their codes are known to the rest.
    for key in sorted(table, key=lambda key: key != "rules"):
        option = OPTIONS.get(key)
        if option is None:
            hint = nearest(key, OPTIONS)
            wrong.append((key, WrongValue(f"there is no setting {key!r}{hint or _all_settings()}")))
            continue
        try:
            if not codes and key != "rules":
                codes = _known_codes(layer.get("rules", own))
            layer[key] = option.read(table[key], Place(folder, codes))
        except WrongValue as error:
            wrong.append((key, WrongValue(f"{key}: {error}", error.word)))
    order = list(table)
    return layer, sorted(wrong, key=lambda pair: order.index(pair[0]))


def build(folder: Path, layers: Iterable[tuple[Path | None, Layer]]) -> Settings:
    """One value of layers, each of which overrides those before it; the ``extend-`` settings add."""
    merged: Layer = {"select": ("",)}
    sources: list[Path] = []
    for path, layer in layers:
        sources += [path] if path is not None else []
        merged |= {key: value for key, value in layer.items() if not OPTIONS[key].adds}
        for key, value in layer.items():
            whole = OPTIONS[key].adds
            if whole:
                merged[whole] = (*merged.get(whole, ()), *value)
    return Settings(folder, tuple(sources), **{key.replace("-", "_"): value for key, value in merged.items()})


def _known_codes(own: tuple[Path, ...]) -> dict[str, str]:
    from dlcheck.lint.registry import rule_names

    return rule_names(own)


def _all_settings() -> str:
    return f"; there are {', '.join(OPTIONS)}"


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{_shown(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{_shown(path)}: is not UTF-8") from error
    if path.name == "pyproject.toml" and "dlcheck" not in text:
        return text, {}
    from dlcheck.config import toml

    try:
        return text, toml.loads(text)
    except toml.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        number = int(line.group(1)) if line else max(1, len(text.splitlines()))
        raise ConfigError(f"{_shown(path)}:{number}: this is not TOML: {reason}") from error


def _table(path: Path, parsed: dict[str, Any]) -> dict[str, Any] | None:
    """The table of settings in a parsed file; ``None`` in a ``pyproject.toml`` that has none."""
    if path.name != "pyproject.toml":
        return parsed
    tool = parsed.get("tool")
    table = tool.get("dlcheck") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
