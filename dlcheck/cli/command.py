"""The user's command on the command line, and where its recording goes: shared by ``run`` and ``tune``."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

USAGE = "(SCRIPT ARGS... | -m MODULE ARGS... | -- COMMAND ARGS...)"


class UsageError(Exception):
    """What the user must put right, in one line."""


def add_target(parser: argparse.ArgumentParser) -> None:
    """Everything after the script, the module or ``--`` belongs to the user's command."""
    parser.add_argument(
        "-m",
        dest="module",
        nargs=argparse.REMAINDER,
        metavar="MODULE ARGS",
        help="run a module, as python -m does",
    )
    parser.add_argument("target", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def command_of(module: list[str] | None, target: list[str]) -> list[str]:
    """The command to run. Raises UsageError."""
    from dlcheck.probe.launch import python_command

    if module is not None:
        if not module:
            raise UsageError("-m needs the name of a module")
        return python_command(["-m", *module])
    if target[:1] == ["--"]:
        if len(target) < 2:
            raise UsageError("there is no command after --")
        if shutil.which(target[1]) is not None:
            return target[1:]
        if target[1].endswith(".py") and Path(target[1]).is_file():
            return python_command(target[1:])
        what = "script" if target[1].endswith(".py") else "command"
        raise UsageError(f"no such {what}: {target[1]}")
    if not target:
        raise UsageError("give a script, -m MODULE, or -- and a command; see 'dlcheck --help'")
    script = Path(target[0])
    # A directory or archive with a __main__.py is run by python too.
    if script.is_file() or (script / "__main__.py").is_file():
        return python_command(target)
    if not script.exists() and script.suffix != ".py" and shutil.which(target[0]) is not None:
        return target
    raise UsageError(f"no such script: {script}")


def recording_directory(output: str | None, target: list[str]) -> Path:
    """Where the recording goes: ``output``, or a new folder in .dlcheck/runs. Raises UsageError, OSError."""
    from dlcheck.probe.manifest import new_folder

    if output is not None:
        path = Path(output)
        if path.exists() and not path.is_dir():
            raise UsageError(f"--output is a file: {path}")
        return path.absolute()
    words = [word for word in target if not word.startswith("-")]
    name = re.sub(r"[^\w.-]+", "-", Path(words[0] if words else "run").stem)[:40]
    try:
        return new_folder(name)
    except FileExistsError as error:
        raise UsageError(f"{error}; give --output") from None


def overrides_of(settings: list[str], loader: str | None) -> dict[str, Any] | None:
    """What ``--set`` and ``--loader`` ask for, as ``dlcheck.probe.override`` reads it. Raises UsageError."""
    changes: dict[str, Any] = {}
    for word in ",".join(settings).split(","):
        if word.strip():
            name, value = _setting(word.strip())
            changes[name] = value
    if not changes:
        if loader is not None:
            raise UsageError("--loader says which loader --set changes: give --set too")
        return None
    return {"changes": changes, "loader": place_of(loader)}


def _setting(word: str) -> tuple[str, Any]:
    from dlcheck.probe.override import ARGUMENTS

    name, sign, text = (part.strip() for part in word.partition("="))
    if not sign or not text:
        raise UsageError(f"--set {word!r} is not of the form num_workers=4")
    if name not in ARGUMENTS:
        raise UsageError(f"--set cannot change {name!r}; it changes {', '.join(ARGUMENTS)}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if not _KINDS[name](value):
        raise UsageError(f"--set {name}: {text!r} is no value for it")
    return name, value


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_positive(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_flag(value: Any) -> bool:
    return type(value) is bool


_KINDS: dict[str, Callable[[Any], bool]] = {
    "num_workers": _is_count,
    "prefetch_factor": _is_positive,
    "persistent_workers": _is_flag,
    "pin_memory": _is_flag,
    "in_order": _is_flag,
    "batch_size": _is_positive,
    "timeout": lambda value: type(value) in (int, float) and value >= 0,
    "multiprocessing_context": lambda value: value in ("fork", "spawn", "forkserver"),
}


def place_of(text: str | None) -> list[Any] | None:
    """What ``--loader`` names, as ``dlcheck.probe.override.is_at`` takes it; None: every loader. Raises UsageError."""
    if text is None:
        return None
    file, _, line = text.rpartition(":")
    if not file or not line.isdecimal():
        raise UsageError(f"--loader {text!r} is not of the form FILE:LINE")
    return [file.removeprefix("./"), int(line)]
