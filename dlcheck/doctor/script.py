"""What a training script says of its loading, read and not run: the file itself, and the modules beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MOST_FILES = 40
_MOST_BYTES = 1_000_000
_WORKERS = frozenset(("num_workers", "workers", "n_workers", "num_loader_workers"))
_METHODS = frozenset(("fork", "spawn", "forkserver"))


@dataclass
class Script:
    """``workers``: places and numbers of workers; ``folders``: existing folders that it names, with the place;
    ``start_method``: with the place; ``calls``: the dotted names that it calls.
    """

    workers: list[tuple[str, int]] = field(default_factory=list)
    folders: list[tuple[Path, str]] = field(default_factory=list)
    start_method: tuple[str, str] | None = None
    calls: set[str] = field(default_factory=set)


def read_script(path: Path) -> Script:
    """Read the script and what it imports from its own folder. Raises OSError, or ValueError where it is no Python."""
    script = Script()
    waiting, seen = [path], {path.resolve()}
    while waiting and len(seen) <= _MOST_FILES:
        file = waiting.pop(0)
        try:
            tree = _parse(file)
        except (OSError, ValueError):
            if file == path:
                raise
            continue
        _take(script, tree, file, path.parent)
        for module in _imported(tree, file, path.parent):
            if module.resolve() not in seen:
                seen.add(module.resolve())
                waiting.append(module)
    return script


def _parse(file: Path) -> ast.Module:
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{file} is too large")
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{file} cannot be parsed: {error}") from None


def _take(script: Script, tree: ast.Module, file: Path, home: Path) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            script.calls.add(name)
            _take_call(script, node, name, file)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            folder = _folder(node.value, home)
            if folder is not None and folder not in (known for known, _ in script.folders):
                script.folders.append((folder, f"{file.name}:{node.lineno}"))


def _take_call(script: Script, node: ast.Call, name: str, file: Path) -> None:
    place = f"{file.name}:{node.lineno}"
    for keyword in node.keywords:
        number = _constant(keyword.value)
        if keyword.arg in _WORKERS and isinstance(number, int):
            script.workers.append((f"{file.name}:{keyword.value.lineno}", number))
        if keyword.arg == "multiprocessing_context" and number in _METHODS:
            script.start_method = str(number), place
    first = _constant(node.args[0]) if node.args else None
    if name.rpartition(".")[2] in ("set_start_method", "get_context") and first in _METHODS:
        script.start_method = str(first), place
    if name.rpartition(".")[2] == "add_argument" and isinstance(first, str):
        default = next((_constant(k.value) for k in node.keywords if k.arg == "default"), None)
        options = [str(_constant(argument)).lstrip("-").replace("-", "_") for argument in node.args]
        if isinstance(default, int) and not _WORKERS.isdisjoint(options):
            script.workers.append((place, default))


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _folder(text: str, home: Path) -> Path | None:
    """The folder that a string names, from the script's own folder or the working directory."""
    if not text or len(text) > 300 or "\n" in text or "\0" in text or text in (".", "..", "/"):
        return None
    for base in (home, Path.cwd()):
        try:
            if (base / text).is_dir():
                return (base / text).resolve()
        except (OSError, ValueError):
            return None
    return None


def _imported(tree: ast.Module, file: Path, home: Path) -> Iterator[Path]:
    """The files of the modules that are imported and lie beside the script, or beside the importing file."""
    for node in ast.walk(tree):
        names: list[str] = []
        bases = [home]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] + [
                f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names
            ]
            bases = [home, file.parents[min(node.level, len(file.parents)) - 1]] if node.level else [home]
        for name in filter(None, names):
            for base in bases:
                stem = base.joinpath(*name.split("."))
                yield from (
                    path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()
                )
