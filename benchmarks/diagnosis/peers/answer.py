"""What a tool says of a pipeline, and whether that is right."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.diagnosis.program import Pipeline

_LIMIT_S = 180


@dataclass(frozen=True)
class Answer:
    """``right`` is None where the question does not arise, or the tool gave no answer."""

    says: str
    right: bool | None


def run(command: list[str], folder: Path) -> str:
    """Run a tool; returns its standard output, also of one that fails or takes too long."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        return late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
    return done.stdout


def tool(name: str) -> str:
    """The command of a tool that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def of_line(pipeline: Pipeline, function: str) -> Answer:
    """Of a tool that names the hottest line, which lies in ``function``: it should be the one to blame."""
    return Answer(function, pipeline.culprit in function if pipeline.culprit else None)


def of_advice(pipeline: Pipeline, says: str, faulty: bool, *settings: str) -> Answer:
    """Of a tool that can only say that loading is slow, and to raise ``settings``: right of a healthy pipeline if it says
    nothing, of another if raising one of them is the cure.
    """
    if pipeline.is_healthy:
        return Answer(says, not faulty)
    more = any(pipeline.cure.get(name, 0) > pipeline.arguments.get(name, 0) for name in settings)
    return Answer(says, faulty and more)


def function_at(script: Path, line: int) -> str:
    """The innermost function around a line, with its class."""
    found, names = "", [("", ast.parse(script.read_text(encoding="utf-8")))]
    while names:
        name, node = names.pop()
        for child in ast.iter_child_nodes(node):
            below = name
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                below = f"{name}.{child.name}".lstrip(".")
                if child.lineno <= line <= (child.end_lineno or 0) and len(below) > len(found):
                    found = below
            names.append((below, child))
    return found
