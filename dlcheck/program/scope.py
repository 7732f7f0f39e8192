"""Scopes: what each module, class and function binds, calls, stores and loops over.

Their parts are never changed, and not frozen for the reason that facts are not (``dlcheck.facts.model``): there are many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from dlcheck.facts.model import (
    At,
    Attr,
    Call,
    Expr,
    If,
    Import,
    Lambda,
    Name,
    Op,
    Param,
    Raise,
    Simple,
    Sub,
    Try,
    Yield,
)

if TYPE_CHECKING:
    from dlcheck.program.project import Module

BlockKind = Literal["for", "while", "if", "else", "with", "try", "except", "comp", "orelse", "finally"]


@dataclass(slots=True, eq=False)
class Block:
    """A nested block of a scope: a loop's body, a branch, a comprehension. ``node`` is the statement it belongs to."""

    kind: BlockKind
    node: Any
    parent: Block | None
    first: tuple[int, int]
    last: tuple[int, int]

    def chain(self) -> Iterator[Block]:
        """This block and those around it, innermost first."""
        block: Block | None = self
        while block is not None:
            yield block
            block = block.parent


@dataclass(slots=True, eq=False)
class Binding:
    """One way in which a name gets a value in a scope.

    ``kind``: assign, unpack (an element of ``value``), for (an element of the iterable ``value``), with, param, import,
    def, class, except, augment. ``node`` is what binds: a statement, a parameter, an expression.
    """

    kind: str
    node: Any
    value: Expr | None
    block: Block | None
    at: At
    index: int | None = None


@dataclass(slots=True, eq=False)
class CallSite:
    """A call as it stands in a scope."""

    call: Call
    scope: Scope
    block: Block | None
    statement: Any

    @property
    def at(self) -> At:
        return self.call.at


@dataclass(slots=True, eq=False)
class Store:
    """``base.attr = value`` or ``base[index] = value`` (then ``attr`` is ``None``)."""

    base: Expr
    attr: str | None
    index: Expr | None
    value: Expr
    block: Block | None
    at: At
    augmented: bool = False
    element: int | None = None


@dataclass(slots=True, eq=False)
class Loop:
    """A ``for`` statement, a comprehension clause or a ``while`` (no target, no iterable)."""

    kind: Literal["for", "comp", "while"]
    target: Expr | None
    iterable: Expr | None
    node: Any
    scope: Scope
    block: Block | None
    inner: Block
    at: At


@dataclass(eq=False)
class Scope:
    """A module, class, function or lambda with all that stands directly in it."""

    kind: Literal["module", "class", "function", "lambda"]
    name: str
    module: Module
    parent: Scope | None
    node: Any
    params: tuple[Param, ...] = ()
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    calls: list[CallSite] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    returns: list[tuple[Expr, Block | None]] = field(default_factory=list)
    yields: list[tuple[Yield, Block | None]] = field(default_factory=list)
    raises: list[tuple[Raise, Block | None]] = field(default_factory=list)
    tries: list[tuple[Try, Block | None]] = field(default_factory=list)
    branches: list[tuple[If, Block | None]] = field(default_factory=list)
    breaks: list[tuple[Simple, Block | None]] = field(default_factory=list)
    continues: list[tuple[Simple, Block | None]] = field(default_factory=list)
    attrs: list[tuple[Attr, Block | None]] = field(default_factory=list)
    subs: list[tuple[Sub, Block | None]] = field(default_factory=list)
    names: list[tuple[Name, Block | None]] = field(default_factory=list)
    tests: list[tuple[Expr, Block | None]] = field(default_factory=list)
    ops: list[tuple[Op, Block | None]] = field(default_factory=list)
    lambdas: list[tuple[Lambda, Block | None]] = field(default_factory=list)
    globals: set[str] = field(default_factory=set)
    stars: list[Import] = field(default_factory=list)
    functions: dict[str, Scope] = field(default_factory=dict)
    classes: dict[str, Scope] = field(default_factory=dict)
    all_functions: list[Scope] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    lambda_scopes: dict[int, Scope] = field(default_factory=dict)

    @property
    def at(self) -> At:
        return self.node.at if self.node is not None else (1, 0, 1, 0)

    @property
    def is_generator(self) -> bool:
        return bool(self.yields)

    @cached_property
    def owner(self) -> Scope | None:
        """The class that this function is a method of."""
        return self.parent if self.parent is not None and self.parent.kind == "class" else None

    @cached_property
    def is_static(self) -> bool:
        decorators = getattr(self.node, "decorators", ())
        return any(isinstance(d, Name) and d.id == "staticmethod" for d in decorators)

    @property
    def self_name(self) -> str | None:
        """The name of the first parameter of a method (``self``), if this is one."""
        if self.kind == "function" and self.owner is not None and not self.is_static and self.params:
            return self.params[0].name
        return None

    def is_global(self, name: str) -> bool:
        """Whether a name is the module's here, and not bound in this scope or in one around it."""
        owner: Scope | None = self
        while owner is not None and owner.kind != "module":
            if name in owner.bindings:
                return False
            owner = owner.parent
        return True

    def block_at(self, at: At) -> Block | None:
        """The innermost block that holds a position."""
        point = (at[0], at[1])
        best: Block | None = None
        for block in self.blocks:
            if block.first <= point < block.last:
                best = block  # blocks are in order of opening: a later match is deeper
        return best

    def descend(self) -> Iterator[Scope]:
        """This scope and every scope inside it."""
        yield self
        for inner in (*self.all_functions, *self.classes.values(), *self.lambda_scopes.values()):
            yield from inner.descend()
