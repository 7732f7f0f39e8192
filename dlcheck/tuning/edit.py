"""The edit that makes a setting the loader's own: the call that makes it is found, and given other arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlcheck.lint.fix import Edit, Fix, RemoveArgument, Replace, SetArgument

if TYPE_CHECKING:
    from dlcheck.facts.model import At

# Of torch.utils.data.DataLoader; the other settings are keyword-only.
_POSITIONS = {"num_workers": 5, "pin_memory": 7}
_WITH_WORKERS = ("prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to change the call: ``fix``, or None and why not."""

    fix: Fix | None
    why_not: str = ""


def plan(source: bytes, line: int, made_class: str, change: Mapping[str, Any]) -> Plan:
    """The edit of the call at ``line`` that makes a loader of the class ``made_class`` (its full name)."""
    package, _, name = made_class.rpartition(".")
    if not package.startswith(("torch.", "torchdata.")):
        return Plan(None, f"it is made by {made_class}, which decides about its arguments itself")
    try:
        call = _find_call(ast.parse(source), line, name)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Plan(None, f"the file cannot be parsed: {error}")
    if call is None:
        return Plan(None, f"no single call of {name} was found there")
    edits: list[Edit] = []
    for argument, value in change.items():
        edit = _edit(call, argument, repr(value))
        if isinstance(edit, str):
            return Plan(None, edit)
        edits.append(edit)
    if change.get("num_workers") == 0:
        given = {keyword.arg for keyword in call.keywords}
        edits += [RemoveArgument(_at(call), each) for each in _WITH_WORKERS if each in given - set(change)]
    return Plan(Fix(in_words(change), tuple(edits), safe=False))


def carried_out(content: bytes, fix: Fix) -> bytes:
    """The file with the edit. Raises ValueError where it cannot be placed."""
    from dlcheck.lint.edit import apply_fixes

    after, done = apply_fixes(content, [fix])
    if not done or after == content:
        raise ValueError("the edit finds no place")
    return after


def in_words(change: Mapping[str, Any]) -> str:
    """As arguments: ``num_workers=4, in_order=False``."""
    return ", ".join(f"{name}={value!r}" for name, value in change.items())


def _find_call(tree: ast.Module, line: int, name: str) -> ast.Call | None:
    names = {name, *_aliases(tree, name)}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    own = [call for call in calls if _called(call) in names]
    return own[0] if len(own) == 1 else None


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _aliases(tree: ast.Module, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == name and alias.asname:
                    yield alias.asname


def _edit(call: ast.Call, argument: str, value: str) -> Edit | str:
    """The edit of one argument, or why there is none."""
    for keyword in call.keywords:
        if keyword.arg == argument:
            if isinstance(keyword.value, ast.Constant):
                return SetArgument(_at(call), argument, value)
            return f"{argument} is given there as {ast.unparse(keyword.value)}: set that to {value}"
    position = _POSITIONS.get(argument)
    if any(isinstance(arg, ast.Starred) for arg in call.args):
        return f"its arguments come from a sequence: set {argument}={value} there"
    if position is not None and len(call.args) > position:
        given = call.args[position]
        if isinstance(given, ast.Constant):
            return Replace(_at(given), value)
        return f"{argument} is given there as {ast.unparse(given)}: set that to {value}"
    if any(keyword.arg is None for keyword in call.keywords):
        return f"arguments of it come from a dictionary: set {argument}={value} there"
    return SetArgument(_at(call), argument, value)


def _at(node: ast.expr) -> At:
    return (
        node.lineno,
        node.col_offset,
        node.end_lineno or node.lineno,
        node.end_col_offset or node.col_offset,
    )
