"""Carry out fixes on source text with libcst, which keeps comments, layout, line ends and encoding."""

from __future__ import annotations

import ast
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor, ImportItem
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from dlcheck.facts.model import At
from dlcheck.facts.text import utf8
from dlcheck.lint.fix import (
    AddImport,
    ChangeComment,
    Defer,
    Edit,
    Enclose,
    Fix,
    Guard,
    Hoist,
    Insert,
    InsertInBody,
    Move,
    RemoveArgument,
    Replace,
    SetArgument,
)
from dlcheck.lint.hoist import function_of, two_lines_above

# (line, column, end line, end column), columns in characters.
_Key = tuple[int, int, int, int]
_Body = Sequence[cst.BaseStatement]
_Compound = TypeVar("_Compound", cst.For, cst.While, cst.FunctionDef, cst.ClassDef)


def apply_fixes(source: bytes, fixes: Iterable[Fix]) -> tuple[bytes, tuple[Fix, ...]]:
    """The source with the fixes carried out, and those that were: one whose edits find no place is left out as a whole.

    Raises ``ValueError`` where the source, or what comes of it, cannot be parsed; the source is then to be left alone.
    """
    fixes = list(fixes)
    try:
        while True:
            changed, misplaced = _apply(source, fixes)
            if not misplaced:
                break
            fixes = [fix for fix in fixes if not misplaced & set(map(id, fix.edits))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(changed)
    except (cst.ParserSyntaxError, cst.CSTValidationError, SyntaxError, RecursionError) as error:
        raise ValueError(f"cannot be edited: {error}") from error
    return changed, tuple(fixes)


def _apply(source: bytes, fixes: Sequence[Fix]) -> tuple[bytes, set[int]]:
    """The changed source, and the ids of the edits that found no place."""
    edits = [edit for fix in fixes for edit in fix.edits]
    module = cst.parse_module(source)
    changer = _Changer(edits, source, module.config_for_parsing)
    changed = MetadataWrapper(module, unsafe_skip_copy=True).visit(changer)
    imports = [ImportItem(edit.module, edit.name) for edit in edits if isinstance(edit, AddImport)]
    if imports:
        changed = AddImportsVisitor(CodemodContext(), imports).transform_module(changed)
    return changed.bytes, changer.misplaced()


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
    """Applies edits to the nodes that stand at their places."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, edits: Sequence[Edit], source: bytes, config: cst.PartialParserConfig) -> None:
        super().__init__()
        self._lines = utf8(source).splitlines(keepends=True)
        self._config = config
        self._edits = edits
        self._done: set[int] = set()
        self._exact: dict[_Key, list[SetArgument | RemoveArgument | Replace | Defer | Enclose | Hoist]] = {}
        for edit in edits:
            if isinstance(edit, SetArgument | RemoveArgument | Defer):
                self._exact.setdefault(self._key(edit.call), []).append(edit)
            elif isinstance(edit, Replace | Enclose | Hoist):
                self._exact.setdefault(self._key(edit.at), []).append(edit)
        self._comments: dict[int, list[ChangeComment]] = {}
        for edit in edits:
            if isinstance(edit, ChangeComment):
                self._comments.setdefault(edit.line, []).append(edit)
        self._moved: dict[int, cst.BaseStatement] = {}
        self._hoisted: dict[int, cst.FunctionDef] = {}

    def misplaced(self) -> set[int]:
        """The edits that found no place."""
        return {id(e) for e in self._edits if not isinstance(e, AddImport)} - self._done

    def on_leave(  # type: ignore[override]
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNode]:
        node = super().on_leave(original_node, updated_node)
        if self._exact and isinstance(node, cst.BaseExpression):
            for edit in self._exact.get(self._place(original_node), ()):
                if isinstance(edit, Replace):
                    node = cst.parse_expression(edit.code, self._config)
                elif isinstance(edit, Enclose):
                    node = _enclosed(node, edit)
                elif isinstance(edit, Hoist):
                    if isinstance(node, cst.Lambda):
                        self._hoisted[id(edit)] = function_of(node, edit.name)
                        node = cst.Name(edit.name)
                    continue
                elif not isinstance(node, cst.Call):
                    continue
                elif isinstance(edit, SetArgument):
                    node = _set(node, edit.name, edit.value)
                elif isinstance(edit, Defer):
                    node = _deferred(node)
                else:
                    node = _remove(node, edit.name)
                self._done.add(id(edit))
        return node

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> cst.For:
        return self._in_body(original_node, updated_node)

    def leave_While(self, original_node: cst.While, updated_node: cst.While) -> cst.While:
        return self._in_body(original_node, updated_node)

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        return self._in_body(original_node, updated_node)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        return self._in_body(original_node, updated_node)

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body = self._statements(original_node.body, updated_node.body, top=False)
        return updated_node if body is None else updated_node.with_changes(body=body)

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        body = self._statements(original_node.body, updated_node.body, top=True)
        return updated_node if body is None else updated_node.with_changes(body=body)

    def leave_TrailingWhitespace(
        self, original_node: cst.TrailingWhitespace, updated_node: cst.TrailingWhitespace
    ) -> cst.TrailingWhitespace:
        text = self._comment(original_node.comment)
        if text is None:
            return updated_node
        if text:
            return updated_node.with_changes(comment=cst.Comment(text))
        return updated_node.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))

    def leave_EmptyLine(
        self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine
    ) -> cst.EmptyLine | cst.RemovalSentinel:
        text = self._comment(original_node.comment)
        if text is None:
            return updated_node
        return updated_node.with_changes(comment=cst.Comment(text)) if text else cst.RemoveFromParent()

    def _comment(self, comment: cst.Comment | None) -> str | None:
        """What is to stand in place of a comment; ``None`` where nothing changes."""
        if comment is None or not self._comments:
            return None
        edits = self._comments.get(self._place(comment)[0], ())
        text = comment.value
        for edit in edits:
            if edit.old in text:
                text = text.replace(edit.old, edit.new, 1)
                self._done.add(id(edit))
        return text.strip() if edits else None

    def _in_body(self, original: _Compound, updated: _Compound) -> _Compound:
        for edit in self._edits:
            if isinstance(edit, InsertInBody) and self._key(edit.at)[:2] == self._place(original)[:2]:
                if not isinstance(updated.body, cst.IndentedBlock):
                    continue
                body = list(updated.body.body)
                at = len(body) if edit.where == "last" else _after_docstring(body)
                body[at:at] = self._parse(edit.code)
                updated = updated.with_changes(body=updated.body.with_changes(body=body))
                self._done.add(id(edit))
        return updated

    def _statements(
        self, original: Sequence[cst.BaseStatement], updated: _Body, top: bool
    ) -> list[cst.BaseStatement] | None:
        """A block's statements with those inserted, taken out and guarded that lie in it; None where nothing changes."""
        wanted = [
            e for e in self._edits if isinstance(e, Insert | Move | Hoist | Guard) and id(e) not in self._done
        ]
        if not wanted or len(original) != len(updated):
            return None
        before: dict[int, list[cst.BaseStatement]] = {}
        after: dict[int, list[cst.BaseStatement]] = {}
        hoisted: dict[int, list[cst.BaseStatement]] = {}
        taken: set[int] = set()
        guard: tuple[int, int] | None = None
        spans = [self._place(node) for node in original]
        for edit in wanted:
            match edit:
                case Insert(at, code, where) if top or where != "top":
                    number = _holding(spans, self._key(at))
                    if number is not None:
                        (after if where == "after" else before).setdefault(number, []).extend(
                            self._parse(code)
                        )
                        self._done.add(id(edit))
                case Move(at, loop):
                    number = _holding(spans, self._key(at))
                    if number is not None and id(edit) not in self._moved:
                        self._moved[id(edit)] = updated[number]
                        taken.add(number)
                    elif id(edit) in self._moved:
                        number = _holding(spans, self._key(loop))
                        if number is not None and spans[number][:2] == self._key(loop)[:2]:
                            before.setdefault(number, []).append(self._moved[id(edit)])
                            self._done.add(id(edit))
                case Hoist(at, _) if top and id(edit) in self._hoisted:
                    number = _holding(spans, self._key(at))
                    if number is not None:
                        hoisted.setdefault(number, []).append(self._hoisted[id(edit)])
                        self._done.add(id(edit))
                case Guard(first, last) if top:
                    start, end = _holding(spans, self._key(first)), _holding(spans, self._key(last))
                    if start is not None and end is not None and start <= end:
                        guard = (start, end)
                        self._done.add(id(edit))
        if not before and not after and not hoisted and not taken and guard is None:
            return None
        out: list[cst.BaseStatement] = []
        guarded: list[cst.BaseStatement] = []
        for number, node in enumerate(updated):
            inside = guard is not None and guard[0] <= number <= guard[1]
            into = guarded if inside else out
            if number in hoisted:
                out += hoisted[number]  # never below the guard, where workers would not find them
                node = node if inside else two_lines_above(node)
            into += before.get(number, [])
            if number not in taken:
                into.append(node)
            into += after.get(number, [])
            if guard is not None and number == guard[1]:
                below = _under_guard(guarded)
                spaced = any(guard[0] <= n <= guard[1] for n in hoisted)
                out.append(two_lines_above(below) if spaced else below)
        return out

    def _parse(self, code: str) -> list[cst.BaseStatement]:
        module = cst.parse_module(code, self._config)
        first, *rest = module.body
        return [
            _indented(first, [*module.header, *_leading(first)]),
            *(_indented(s, _leading(s)) for s in rest),
        ]

    def _place(self, node: cst.CSTNode) -> _Key:
        where = self.get_metadata(PositionProvider, node)
        assert isinstance(where, CodeRange)
        return (where.start.line, where.start.column, where.end.line, where.end.column)

    def _key(self, at: At) -> _Key:
        return (
            at[0],
            _characters(self._lines, at[0], at[1]),
            at[2],
            _characters(self._lines, at[2], at[3]),
        )


def _holding(spans: Sequence[_Key], key: _Key) -> int | None:
    """The number of the statement that a place starts in."""
    for number, span in enumerate(spans):
        if span[:2] <= key[:2] < span[2:]:
            return number
    return None


def _after_docstring(body: Sequence[cst.BaseStatement]) -> int:
    match body:
        case [cst.SimpleStatementLine(body=[cst.Expr(value=cst.SimpleString())]), *_]:
            return 1
    return 0


def _leading(node: cst.BaseStatement) -> Sequence[cst.EmptyLine]:
    lines: Sequence[cst.EmptyLine] = getattr(node, "leading_lines", ())
    return lines


def _indented(node: cst.BaseStatement, lines: Sequence[cst.EmptyLine]) -> cst.BaseStatement:
    """A statement with these lines above it, of which those with a comment are indented as it is, and no others."""
    return node.with_changes(
        leading_lines=[line.with_changes(indent=line.comment is not None) for line in lines]
    )


def _under_guard(body: Sequence[cst.BaseStatement]) -> cst.BaseStatement:
    guard = cst.parse_statement('if __name__ == "__main__":\n    pass\n')
    assert isinstance(guard, cst.If)
    first = body[0]
    lines = _leading(first)
    blank = [line for line in lines if line.comment is None]
    kept = [line for line in lines if line.comment is not None]
    return guard.with_changes(
        leading_lines=blank[:2],
        body=cst.IndentedBlock([_indented(first, kept), *(_indented(s, _leading(s)) for s in body[1:])]),
    )


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


def _enclosed(node: cst.BaseExpression, edit: Enclose) -> cst.Call:
    arguments = [node, *map(cst.parse_expression, edit.arguments)]
    return cst.Call(cst.parse_expression(edit.function), [cst.Arg(argument) for argument in arguments])


def _deferred(call: cst.Call) -> cst.Call:
    space = call.whitespace_before_args
    if not isinstance(space, cst.ParenthesizedWhitespace):
        space = cst.SimpleWhitespace(" ")
    first = cst.Arg(call.func, comma=cst.Comma(whitespace_after=space))
    return call.with_changes(func=cst.Name("partial"), args=[first, *call.args])


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
