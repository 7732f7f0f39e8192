"""What one file says, as small plain values that can be stored: expressions, statements, and nothing about layout.

The values are named tuples, so that they are immutable, cheap, and can be written as nested lists. They hold what the
rules' questions need: names, calls with their arguments, assignments, branches and loops. Comments, parentheses
and spelling are gone. ``at`` is (line, column, end line, end column) with lines from 1 and columns from 0 in
UTF-8 bytes, the end exclusive.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, Union

At: TypeAlias = tuple[int, int, int, int]


class Const(NamedTuple):
    """A literal number, string, ``True``, ``False``, ``None``; bytes and ``...`` are kept as their text."""

    value: Union[str, int, float, bool, None]
    at: At


class Name(NamedTuple):
    id: str
    at: At


class Attr(NamedTuple):
    base: Expr
    attr: str
    at: At


class Call(NamedTuple):
    """``keywords`` holds (name, value); ``**mapping`` has the name ``None``. ``*values`` is a ``Star`` in ``args``."""

    func: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]
    at: At


class Sub(NamedTuple):
    base: Expr
    index: Expr
    at: At


class Slice(NamedTuple):
    parts: tuple[Expr | None, Expr | None, Expr | None]
    at: At


class Seq(NamedTuple):
    """A list, tuple or set display."""

    kind: str
    items: tuple[Expr, ...]
    at: At


class Mapping(NamedTuple):
    """A dict display; ``{**other}`` has the key ``None``."""

    items: tuple[tuple[Expr | None, Expr], ...]
    at: At


class Cond(NamedTuple):
    test: Expr
    then: Expr
    orelse: Expr
    at: At


class Op(NamedTuple):
    """An operator with its operands: arithmetic, ``and``/``or``, ``not``, comparisons (``is``, ``in``, ``<`` ...)."""

    op: str
    operands: tuple[Expr, ...]
    at: At


class Lambda(NamedTuple):
    params: tuple[Param, ...]
    body: Expr
    at: At


class Clause(NamedTuple):
    """One ``for target in iterable if ...`` of a comprehension."""

    target: Expr
    iterable: Expr
    tests: tuple[Expr, ...]


class Comp(NamedTuple):
    """A comprehension; ``kind`` is list, set, dict or gen."""

    kind: str
    elements: tuple[Expr, ...]
    clauses: tuple[Clause, ...]
    at: At


class Star(NamedTuple):
    value: Expr
    at: At


class Yield(NamedTuple):
    value: Expr | None
    delegates: bool
    at: At


class Other(NamedTuple):
    """Anything else with parts: f-string, ``await``, ``:=`` (target first, kind ``walrus``)."""

    kind: str
    parts: tuple[Expr, ...]
    at: At


class Param(NamedTuple):
    """``kind`` is one of positional, keyword, args (``*args``), kwargs (``**kwargs``)."""

    name: str
    kind: str
    default: Expr | None
    annotation: Expr | None


class Assign(NamedTuple):
    targets: tuple[Expr, ...]
    value: Expr
    at: At


class Augment(NamedTuple):
    target: Expr
    op: str
    value: Expr
    at: At


class Declare(NamedTuple):
    """``name: annotation`` with no value."""

    target: Expr
    annotation: Expr
    at: At


class Do(NamedTuple):
    """An expression that stands as a statement."""

    value: Expr
    at: At


class Return(NamedTuple):
    value: Expr | None
    at: At


class For(NamedTuple):
    target: Expr
    iterable: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


class While(NamedTuple):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


class If(NamedTuple):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


class With(NamedTuple):
    items: tuple[tuple[Expr, Expr | None], ...]
    body: tuple[Stmt, ...]
    at: At


class Handler(NamedTuple):
    type: Expr | None
    name: str | None
    body: tuple[Stmt, ...]
    at: At


class Try(NamedTuple):
    body: tuple[Stmt, ...]
    handlers: tuple[Handler, ...]
    orelse: tuple[Stmt, ...]
    final: tuple[Stmt, ...]
    at: At


class Raise(NamedTuple):
    value: Expr | None
    at: At


class Define(NamedTuple):
    """A function. ``at`` is the whole definition without its decorators."""

    name: str
    params: tuple[Param, ...]
    decorators: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    is_async: bool
    at: At


class DefineClass(NamedTuple):
    name: str
    bases: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]
    decorators: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    at: At


class Import(NamedTuple):
    """``import module as bound`` (``name`` is ``None``) or ``from module import name as bound``.

    ``level`` counts the leading dots of a relative import; ``from module import *`` has the name ``*``.
    """

    module: str
    name: str | None
    bound: str
    level: int
    at: At


class Simple(NamedTuple):
    """break, continue, pass, global, nonlocal, del, assert: ``names`` for global and nonlocal, else ``parts``."""

    kind: str
    names: tuple[str, ...]
    parts: tuple[Expr, ...]
    at: At


Expr: TypeAlias = Union[
    Const, Name, Attr, Call, Sub, Slice, Seq, Mapping, Cond, Op, Lambda, Comp, Star, Yield, Other
]
Stmt: TypeAlias = Union[
    Assign, Augment, Declare, Do, Return, For, While, If, With, Try, Raise, Define, DefineClass, Import, Simple
]


class FileFacts(NamedTuple):
    """The facts of one file: its module-level statements, functions and classes inside them.

    ``error`` holds (message, line, column) when the file could not be parsed; then ``body`` is empty.
    """

    body: tuple[Stmt, ...]
    error: tuple[str, int, int] | None = None


def parts_of(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions of an expression, in the order of evaluation. A lambda's body is not among them."""
    match expr:
        case Const() | Name() | Lambda():
            return ()
        case Attr(base, _, _) | Star(base, _):
            return (base,)
        case Call(func, args, keywords, _):
            return (func, *args, *(value for _, value in keywords))
        case Sub(base, index, _):
            return (base, index)
        case Slice(parts, _):
            return tuple(part for part in parts if part is not None)
        case Seq(_, items, _) | Op(_, items, _) | Other(_, items, _):
            return items
        case Mapping(items, _):
            return tuple(part for pair in items for part in pair if part is not None)
        case Cond(test, then, orelse, _):
            return (test, then, orelse)
        case Comp(_, elements, clauses, _):
            inner = [part for c in clauses for part in (c.iterable, *c.tests)]
            return (*inner, *elements)
        case Yield(value, _, _):
            return () if value is None else (value,)
    return ()


def dotted(expr: Expr) -> str:
    """``a.b.c`` for a chain of names, else an empty string."""
    names: list[str] = []
    while isinstance(expr, Attr):
        names.append(expr.attr)
        expr = expr.base
    if not isinstance(expr, Name):
        return ""
    names.append(expr.id)
    return ".".join(reversed(names))
