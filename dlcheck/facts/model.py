"""What one file says, as small plain values that can be stored: expressions, statements, and nothing about layout.

The values are compared by identity and never changed (they are not frozen only because that would triple the cost
of making them, and there are many). They hold what the rules' questions need: names, calls with their arguments,
assignments, branches and loops. Comments, parentheses and spelling are gone. ``at`` is (line, column, end line,
end column) with lines from 1 and columns from 0 in UTF-8 bytes, the end exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

At: TypeAlias = tuple[int, int, int, int]


@dataclass(slots=True, eq=False)
class Const:
    """A literal number, string, ``True``, ``False``, ``None``; bytes and ``...`` are kept as their text."""

    value: str | int | float | bool | None
    at: At


@dataclass(slots=True, eq=False)
class Name:
    id: str
    at: At


@dataclass(slots=True, eq=False)
class Attr:
    base: Expr
    attr: str
    at: At


@dataclass(slots=True, eq=False)
class Call:
    """``keywords`` holds (name, value); ``**mapping`` has the name ``None``. ``*values`` is a ``Star`` in ``args``."""

    func: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]
    at: At


@dataclass(slots=True, eq=False)
class Sub:
    base: Expr
    index: Expr
    at: At


@dataclass(slots=True, eq=False)
class Slice:
    parts: tuple[Expr | None, Expr | None, Expr | None]
    at: At


@dataclass(slots=True, eq=False)
class Seq:
    """A list, tuple or set display."""

    kind: str
    items: tuple[Expr, ...]
    at: At


@dataclass(slots=True, eq=False)
class Mapping:
    """A dict display; ``{**other}`` has the key ``None``."""

    items: tuple[tuple[Expr | None, Expr], ...]
    at: At


@dataclass(slots=True, eq=False)
class Cond:
    test: Expr
    then: Expr
    orelse: Expr
    at: At


@dataclass(slots=True, eq=False)
class Op:
    """An operator with its operands: arithmetic, ``and``/``or``, ``not``, comparisons (``is``, ``in``, ``<`` ...)."""

    op: str
    operands: tuple[Expr, ...]
    at: At


@dataclass(slots=True, eq=False)
class Lambda:
    params: tuple[Param, ...]
    body: Expr
    at: At


@dataclass(slots=True, eq=False)
class Clause:
    """One ``for target in iterable if ...`` of a comprehension."""

    target: Expr
    iterable: Expr
    tests: tuple[Expr, ...]


@dataclass(slots=True, eq=False)
class Comp:
    """A comprehension; ``kind`` is list, set, dict or gen."""

    kind: str
    elements: tuple[Expr, ...]
    clauses: tuple[Clause, ...]
    at: At


@dataclass(slots=True, eq=False)
class Star:
    value: Expr
    at: At


@dataclass(slots=True, eq=False)
class Yield:
    value: Expr | None
    delegates: bool
    at: At


@dataclass(slots=True, eq=False)
class Other:
    """Anything else with parts: f-string, ``await``, ``:=`` (target first, kind ``walrus``)."""

    kind: str
    parts: tuple[Expr, ...]
    at: At


@dataclass(slots=True, eq=False)
class Param:
    """``kind`` is one of positional, keyword, args (``*args``), kwargs (``**kwargs``)."""

    name: str
    kind: str
    default: Expr | None
    annotation: Expr | None


@dataclass(slots=True, eq=False)
class Assign:
    targets: tuple[Expr, ...]
    value: Expr
    at: At


@dataclass(slots=True, eq=False)
class Augment:
    target: Expr
    op: str
    value: Expr
    at: At


@dataclass(slots=True, eq=False)
class Declare:
    """``name: annotation`` with no value."""

    target: Expr
    annotation: Expr
    at: At


@dataclass(slots=True, eq=False)
class Do:
    """An expression that stands as a statement."""

    value: Expr
    at: At


@dataclass(slots=True, eq=False)
class Return:
    value: Expr | None
    at: At


@dataclass(slots=True, eq=False)
class For:
    target: Expr
    iterable: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class While:
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class If:
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class With:
    items: tuple[tuple[Expr, Expr | None], ...]
    body: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class Handler:
    type: Expr | None
    name: str | None
    body: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class Try:
    body: tuple[Stmt, ...]
    handlers: tuple[Handler, ...]
    orelse: tuple[Stmt, ...]
    final: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class Raise:
    value: Expr | None
    at: At


@dataclass(slots=True, eq=False)
class Define:
    """A function. ``at`` is the whole definition without its decorators."""

    name: str
    params: tuple[Param, ...]
    decorators: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    is_async: bool
    at: At


@dataclass(slots=True, eq=False)
class DefineClass:
    name: str
    bases: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]
    decorators: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    at: At


@dataclass(slots=True, eq=False)
class Import:
    """``import module as bound`` (``name`` is ``None``) or ``from module import name as bound``.

    ``level`` counts the leading dots of a relative import; ``from module import *`` has the name ``*``.
    """

    module: str
    name: str | None
    bound: str
    level: int
    at: At


@dataclass(slots=True, eq=False)
class Simple:
    """break, continue, pass, global, nonlocal, del, assert: ``names`` for global and nonlocal, else ``parts``."""

    kind: str
    names: tuple[str, ...]
    parts: tuple[Expr, ...]
    at: At


Expr: TypeAlias = (
    Const
    | Name
    | Attr
    | Call
    | Sub
    | Slice
    | Seq
    | Mapping
    | Cond
    | Op
    | Lambda
    | Comp
    | Star
    | Yield
    | Other
)
Stmt: TypeAlias = (
    Assign
    | Augment
    | Declare
    | Do
    | Return
    | For
    | While
    | If
    | With
    | Try
    | Raise
    | Define
    | DefineClass
    | Import
    | Simple
)


@dataclass(slots=True, eq=False)
class FileFacts:
    """The facts of one file: its module-level statements, functions and classes inside them.

    ``error`` holds (message, line, column) when the file could not be parsed; then ``body`` is empty.
    """

    body: tuple[Stmt, ...]
    error: tuple[str, int, int] | None = None


def parts_of(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions of an expression, in the order of evaluation. A lambda's body is not among them."""
    # Asked of every expression of a program, over and over: the most frequent first, and no `match`, which is slower.
    if isinstance(expr, (Name, Const, Lambda)):
        return ()
    if isinstance(expr, Attr):
        return (expr.base,)
    if isinstance(expr, Call):
        if not expr.keywords:
            return (expr.func, *expr.args)
        return (expr.func, *expr.args, *[value for _, value in expr.keywords])
    if isinstance(expr, Seq):
        return expr.items
    if isinstance(expr, Op):
        return expr.operands
    if isinstance(expr, Other):
        return expr.parts
    if isinstance(expr, Sub):
        return expr.base, expr.index
    if isinstance(expr, Slice):
        return tuple(part for part in expr.parts if part is not None)
    if isinstance(expr, Mapping):
        return tuple(part for pair in expr.items for part in pair if part is not None)
    if isinstance(expr, Cond):
        return expr.test, expr.then, expr.orelse
    if isinstance(expr, Comp):
        inner = [part for c in expr.clauses for part in (c.iterable, *c.tests)]
        return (*inner, *expr.elements)
    if isinstance(expr, Star):
        return (expr.value,)
    return () if expr.value is None else (expr.value,)


def walk(expr: Expr) -> Iterator[Expr]:
    """An expression and all expressions inside it."""
    yield expr
    for part in parts_of(expr):
        yield from walk(part)


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


def root_name(expr: Expr) -> str:
    """``a`` of ``a.b[0].c``, else an empty string."""
    while isinstance(expr, (Attr, Sub)):
        expr = expr.base
    return expr.id if isinstance(expr, Name) else ""
