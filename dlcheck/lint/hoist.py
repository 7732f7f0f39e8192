"""Make a function of a lambda, as libcst nodes."""

from __future__ import annotations

import ast

import libcst as cst

_BLANK = cst.EmptyLine(indent=False)


def function_of(node: cst.Lambda, name: str) -> cst.FunctionDef:
    """``def name(x): return ...`` for ``lambda x: ...``, two lines below what stands above it."""
    body = node.body
    if not _stands_alone(cst.Module([]).code_for_node(body)):
        body = body.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    statement = cst.SimpleStatementLine([cst.Return(body)])
    return cst.FunctionDef(
        cst.Name(name), node.params, cst.IndentedBlock([statement]), leading_lines=[_BLANK, _BLANK]
    )


def _stands_alone(code: str) -> bool:
    """An expression is one without the brackets that were around it."""
    try:
        return len(ast.parse(f"x = {code}\n").body) == 1
    except SyntaxError:
        return False


def two_lines_above(node: cst.BaseStatement) -> cst.BaseStatement:
    """A statement with two blank lines above it and its comments."""
    lines: list[cst.EmptyLine] = list(getattr(node, "leading_lines", ()))
    while lines and lines[0].comment is None:
        del lines[0]
    return node.with_changes(leading_lines=[_BLANK, _BLANK, *lines])
