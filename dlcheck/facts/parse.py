"""Source text -> facts.

The standard library's parser reads the file: it is ten times faster than a concrete syntax tree, gives exact positions
for nothing, and never runs what it reads. (Edits are another matter: they keep the layout, see ``dlcheck.lint.edit``.)
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any

from dlcheck.facts.model import (
    Assign,
    At,
    Attr,
    Augment,
    Call,
    Clause,
    Comp,
    Cond,
    Const,
    Declare,
    Define,
    DefineClass,
    Do,
    Expr,
    FileFacts,
    For,
    Handler,
    If,
    Import,
    Lambda,
    Mapping,
    Name,
    Op,
    Other,
    Param,
    Raise,
    Return,
    Seq,
    Simple,
    Slice,
    Star,
    Stmt,
    Sub,
    Try,
    While,
    With,
    Yield,
)

_LONGEST_TEXT = 200

_OPERATORS = {
    "Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "Pow": "**", "MatMult": "@",
    "LShift": "<<", "RShift": ">>", "BitOr": "|", "BitXor": "^", "BitAnd": "&", "And": "and", "Or": "or",
    "Not": "not", "UAdd": "+", "USub": "-", "Invert": "~", "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=",
    "Gt": ">", "GtE": ">=", "Is": "is", "IsNot": "is not", "In": "in", "NotIn": "not in",
}  # fmt: skip


def parse(source: bytes) -> FileFacts:
    """The facts of a file's source. A file that cannot be parsed gives facts with ``error`` set and no body."""
    found = _tree(source)
    if isinstance(found, tuple):
        return FileFacts((), found)
    try:
        return FileFacts(_body(found.body))
    except RecursionError:
        return FileFacts((), ("nested too deeply", 1, 1))


def syntax_error(source: bytes) -> tuple[str, int, int] | None:
    """Why a source cannot be parsed, as (message, line, column), or ``None`` where it can."""
    found = _tree(source)
    return found if isinstance(found, tuple) else None


def _tree(source: bytes) -> ast.Module | tuple[str, int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        return (error.msg or "invalid syntax", error.lineno or 1, max(1, error.offset or 1))
    except (ValueError, RecursionError, MemoryError) as error:
        # A null byte, an unknown encoding, or nesting deeper than the parser goes.
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        return (reason, 1, 1)


def _at(node: Any) -> At:
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


def _exprs(nodes: Sequence[ast.expr]) -> tuple[Expr, ...]:
    return tuple([_expr(node) for node in nodes])


def _maybe(node: ast.expr | None) -> Expr | None:
    return None if node is None else _expr(node)


def _body(nodes: Sequence[ast.stmt]) -> tuple[Stmt, ...]:
    out: list[Stmt] = []
    for node in nodes:
        out.extend(_stmt(node))
    return tuple(out)


def _expr(node: ast.expr) -> Expr:
    found: Expr = _EXPRESSIONS.get(type(node), _other)(node)
    return found


def _other(node: Any) -> Expr:
    parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return Other(type(node).__name__.lower(), _exprs(parts), _at(node))


def _constant(node: ast.Constant) -> Expr:
    value = node.value
    if isinstance(value, str):
        value = value[:_LONGEST_TEXT]
    elif value is not None and not isinstance(value, (bool, int, float)):
        value = repr(value)[:_LONGEST_TEXT]
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        value = float("inf")
    return Const(value, _at(node))


def _name(node: ast.Name) -> Expr:
    return Name(node.id, _at(node))


def _attribute(node: ast.Attribute) -> Expr:
    return Attr(_expr(node.value), node.attr, _at(node))


def _call(node: ast.Call) -> Expr:
    keywords = tuple([(k.arg, _expr(k.value)) for k in node.keywords])
    return Call(_expr(node.func), _exprs(node.args), keywords, _at(node))


def _subscript(node: ast.Subscript) -> Expr:
    return Sub(_expr(node.value), _expr(node.slice), _at(node))


def _slice(node: ast.Slice) -> Expr:
    return Slice((_maybe(node.lower), _maybe(node.upper), _maybe(node.step)), _at(node))


def _dict(node: ast.Dict) -> Expr:
    pairs = zip(node.keys, node.values, strict=True)
    return Mapping(tuple([(_maybe(key), _expr(value)) for key, value in pairs]), _at(node))


def _conditional(node: ast.IfExp) -> Expr:
    return Cond(_expr(node.test), _expr(node.body), _expr(node.orelse), _at(node))


def _binary(node: ast.BinOp) -> Expr:
    return Op(_OPERATORS[type(node.op).__name__], (_expr(node.left), _expr(node.right)), _at(node))


def _unary(node: ast.UnaryOp) -> Expr:
    operand = _expr(node.operand)
    if isinstance(node.op, ast.USub) and isinstance(operand, Const) and type(operand.value) in (int, float):
        return Const(-operand.value, _at(node))  # type: ignore[operator]
    return Op(_OPERATORS[type(node.op).__name__], (operand,), _at(node))


def _boolean(node: ast.BoolOp) -> Expr:
    return Op(_OPERATORS[type(node.op).__name__], _exprs(node.values), _at(node))


def _compare(node: ast.Compare) -> Expr:
    op = _OPERATORS[type(node.ops[0]).__name__] if len(node.ops) == 1 else "chain"
    return Op(op, (_expr(node.left), *_exprs(node.comparators)), _at(node))


def _lambda(node: ast.Lambda) -> Expr:
    return Lambda(_params(node.args), _expr(node.body), _at(node))


def _comprehension(node: Any) -> Expr:
    kind = {"ListComp": "list", "SetComp": "set", "DictComp": "dict", "GeneratorExp": "gen"}[
        type(node).__name__
    ]
    elements = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    clauses = [Clause(_expr(g.target), _expr(g.iter), _exprs(g.ifs)) for g in node.generators]
    return Comp(kind, _exprs(elements), tuple(clauses), _at(node))


def _star(node: ast.Starred) -> Expr:
    return Star(_expr(node.value), _at(node))


def _yield(node: ast.Yield) -> Expr:
    return Yield(_maybe(node.value), False, _at(node))


def _yield_from(node: ast.YieldFrom) -> Expr:
    return Yield(_expr(node.value), True, _at(node))


def _walrus(node: ast.NamedExpr) -> Expr:
    return Other("walrus", (_expr(node.target), _expr(node.value)), _at(node))


def _joined(node: ast.JoinedStr) -> Expr:
    parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    if node.values and isinstance(node.values[0], ast.Constant):
        parts.insert(0, node.values[0])  # how it begins: ``f"cuda:{rank}"``
    return Other("fstring", _exprs(parts), _at(node))


_EXPRESSIONS: dict[type[ast.expr], Any] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.List: lambda n: Seq("list", _exprs(n.elts), _at(n)),
    ast.Tuple: lambda n: Seq("tuple", _exprs(n.elts), _at(n)),
    ast.Set: lambda n: Seq("set", _exprs(n.elts), _at(n)),
    ast.Dict: _dict,
    ast.IfExp: _conditional,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.Lambda: _lambda,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.DictComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.Starred: _star,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
    ast.NamedExpr: _walrus,
    ast.JoinedStr: _joined,
}


def _params(args: ast.arguments) -> tuple[Param, ...]:
    def one(arg: ast.arg, kind: str, default: ast.expr | None = None) -> Param:
        return Param(arg.arg, kind, _maybe(default), _maybe(arg.annotation))

    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    out = [one(arg, "positional", default) for arg, default in zip(positional, defaults, strict=True)]
    if args.vararg:
        out.append(one(args.vararg, "args"))
    out += [
        one(arg, "keyword", default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    if args.kwarg:
        out.append(one(args.kwarg, "kwargs"))
    return tuple(out)


def _stmt(node: ast.stmt) -> tuple[Stmt, ...]:
    return _STATEMENTS.get(type(node), _simple)(node)  # type: ignore[no-any-return]


def _simple(node: Any) -> tuple[Stmt, ...]:
    names = tuple(node.names) if isinstance(node, (ast.Global, ast.Nonlocal)) else ()
    parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return (Simple(type(node).__name__.lower(), names, _exprs(parts), _at(node)),)


def _annotated(node: ast.AnnAssign) -> tuple[Stmt, ...]:
    if node.value is None:
        return (Declare(_expr(node.target), _expr(node.annotation), _at(node)),)
    return (Assign((_expr(node.target),), _expr(node.value), _at(node)),)


def _augmented(node: ast.AugAssign) -> tuple[Stmt, ...]:
    return (Augment(_expr(node.target), _OPERATORS[type(node.op).__name__], _expr(node.value), _at(node)),)


def _for(node: Any) -> tuple[Stmt, ...]:
    return (For(_expr(node.target), _expr(node.iter), _body(node.body), _body(node.orelse), _at(node)),)


def _with(node: Any) -> tuple[Stmt, ...]:
    items = tuple([(_expr(item.context_expr), _maybe(item.optional_vars)) for item in node.items])
    return (With(items, _body(node.body), _at(node)),)


def _try(node: Any) -> tuple[Stmt, ...]:
    handlers = [Handler(_maybe(h.type), h.name, _body(h.body), _at(h)) for h in node.handlers]
    return (Try(_body(node.body), tuple(handlers), _body(node.orelse), _body(node.finalbody), _at(node)),)


def _match(node: ast.Match) -> tuple[Stmt, ...]:
    # Each case is a branch that may or may not run; what the patterns bind is not followed.
    rest: tuple[Stmt, ...] = ()
    for case in reversed(node.cases):
        test = Other("case", (_expr(node.subject),), _at(node.subject))
        rest = (If(test, _body(case.body), rest, _at(node)),)
    return rest


def _function(node: Any) -> tuple[Stmt, ...]:
    is_async = isinstance(node, ast.AsyncFunctionDef)
    decorators = _exprs(node.decorator_list)
    return (Define(node.name, _params(node.args), decorators, _body(node.body), is_async, _at(node)),)


def _class(node: ast.ClassDef) -> tuple[Stmt, ...]:
    keywords = tuple([(k.arg, _expr(k.value)) for k in node.keywords])
    decorators = _exprs(node.decorator_list)
    return (DefineClass(node.name, _exprs(node.bases), keywords, decorators, _body(node.body), _at(node)),)


def _import(node: ast.Import) -> tuple[Stmt, ...]:
    # ``import a.b`` binds ``a``; ``import a.b as c`` binds the inner module.
    return tuple([Import(n.name, None, n.asname or n.name.split(".")[0], 0, _at(node)) for n in node.names])


def _import_from(node: ast.ImportFrom) -> tuple[Stmt, ...]:
    module, level = node.module or "", node.level or 0
    return tuple([Import(module, n.name, n.asname or n.name, level, _at(node)) for n in node.names])


_STATEMENTS: dict[type[ast.stmt], Any] = {
    ast.Assign: lambda n: (Assign(_exprs(n.targets), _expr(n.value), _at(n)),),
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: lambda n: (Do(_expr(n.value), _at(n)),),
    ast.Return: lambda n: (Return(_maybe(n.value), _at(n)),),
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: lambda n: (While(_expr(n.test), _body(n.body), _body(n.orelse), _at(n)),),
    ast.If: lambda n: (If(_expr(n.test), _body(n.body), _body(n.orelse), _at(n)),),
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.Match: _match,
    ast.Raise: lambda n: (Raise(_maybe(n.exc), _at(n)),),
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
}
if hasattr(ast, "TryStar"):
    _STATEMENTS[ast.TryStar] = _try
