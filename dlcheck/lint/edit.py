"""Carry out fixes on source text with libcst, which keeps comments, layout, line ends and encoding."""

from __future__ import annotations

import ast
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from dlcheck.lint.fix import Edit, Fix, RemoveArgument, SetArgument


def apply_fixes(source: bytes, fixes: Iterable[Fix]) -> bytes:
    """The source with the fixes carried out; fixes that touch a call that an earlier one changed are all applied to it.

    Raises ``ValueError`` where the source, or what comes of it, cannot be parsed; the source is then to be left alone.
    """
    try:
        module = cst.parse_module(source)
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        changer = _Changer([edit for fix in fixes for edit in fix.edits], source)
        changed = wrapper.visit(changer).bytes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(changed)
    except (cst.ParserSyntaxError, SyntaxError, RecursionError) as error:
        raise ValueError(f"cannot be edited: {error}") from error
    return changed


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content in one step, with its permissions kept. A link is followed to the file it names."""
    target = path.resolve()
    mode = target.stat().st_mode
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(mode & 0o7777)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _Changer(cst.CSTTransformer):
    """Applies edits to the calls that stand at their places."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, edits: Sequence[Edit], source: bytes) -> None:
        super().__init__()
        lines = source.splitlines(keepends=True)
        self._edits: dict[tuple[int, int, int, int], list[Edit]] = {}
        for edit in edits:
            start, end = edit.call[:2], edit.call[2:]
            key = (start[0], _characters(lines, *start), end[0], _characters(lines, *end))
            self._edits.setdefault(key, []).append(edit)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        where = self.get_metadata(PositionProvider, original_node)
        key = (where.start.line, where.start.column, where.end.line, where.end.column)
        for edit in self._edits.get(key, ()):
            match edit:
                case SetArgument(_, name, value):
                    updated_node = _set(updated_node, name, value)
                case RemoveArgument(_, name):
                    updated_node = _remove(updated_node, name)
        return updated_node


def _characters(lines: Sequence[bytes], line: int, offset: int) -> int:
    """A column in UTF-8 bytes as one in characters."""
    if not 0 < line <= len(lines):
        return offset
    text = lines[line - 1]
    if line == 1 and text.startswith(b"\xef\xbb\xbf"):
        text = text[3:]
    return len(text[:offset].decode("utf-8", "replace"))


def _set(call: cst.Call, name: str, value: str) -> cst.Call:
    expression = cst.parse_expression(value)
    args = list(call.args)
    for number, arg in enumerate(args):
        if arg.keyword is not None and arg.keyword.value == name:
            args[number] = arg.with_changes(value=expression)
            return call.with_changes(args=args)
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    added = cst.Arg(expression, keyword=cst.Name(name), equal=tight)
    if not args:
        return call.with_changes(args=[added])
    last = args[-1]
    added = added.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    args[-1] = last.with_changes(comma=_separator(call), whitespace_after_arg=cst.SimpleWhitespace(""))
    return call.with_changes(args=[*args, added])


def _separator(call: cst.Call) -> cst.Comma:
    """A comma as the call has them between its arguments: with a line break where each has a line of its own."""
    if len(call.args) > 1 and isinstance(call.args[-2].comma, cst.Comma):
        return call.args[-2].comma
    opening = call.whitespace_before_args
    if isinstance(opening, cst.ParenthesizedWhitespace):
        return cst.Comma(whitespace_after=opening)
    return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def _remove(call: cst.Call, name: str) -> cst.Call:
    kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != name]
    if kept and len(kept) < len(call.args):
        # The new last argument ends as the old one did: with or without a comma, on its own line or not.
        last = call.args[-1]
        kept[-1] = kept[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return call.with_changes(args=kept)
