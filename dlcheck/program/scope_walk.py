"""Builds scopes: one walk over the statements of a module, with all functions and classes inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlcheck.facts.model import (
    Assign,
    At,
    Attr,
    Augment,
    Call,
    Comp,
    Cond,
    Const,
    Declare,
    Define,
    DefineClass,
    Do,
    Expr,
    For,
    If,
    Import,
    Lambda,
    Name,
    Op,
    Other,
    Param,
    Raise,
    Return,
    Seq,
    Simple,
    Star,
    Stmt,
    Sub,
    Try,
    While,
    With,
    Yield,
    parts_of,
)
from dlcheck.program.scope import Binding, Block, BlockKind, CallSite, Loop, Scope, Store

if TYPE_CHECKING:
    from dlcheck.program.project import Module


def build(module: Module, body: tuple[Stmt, ...]) -> Scope:
    """The scope of a module, with all scopes inside it."""
    scope = Scope("module", module.name, module, None, None)
    _Walk(scope).body(body, None)
    return scope


_AFTER_INIT = ("__post_init__", "__attrs_post_init__")


class _Walk:
    """One walk over the statements of one scope. Functions and classes inside are walked as scopes of their own."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.statement: Any = None

    # -- statements -----------------------------------------------------------------------------------------------

    def body(self, body: tuple[Stmt, ...], block: Block | None) -> None:
        for statement in body:
            self.statement = statement
            self.stmt(statement, block)

    def open(
        self, kind: BlockKind, node: Any, parent: Block | None, body: tuple[Stmt, ...], start: Any = None
    ) -> Block | None:
        if not body:
            return None
        first = start or (body[0].at[0], body[0].at[1])
        block = Block(kind, node, parent, first, (body[-1].at[2], body[-1].at[3]))
        self.scope.blocks.append(block)
        return block

    def nested(self, kind: BlockKind, node: Any, parent: Block | None, body: tuple[Stmt, ...]) -> None:
        block = self.open(kind, node, parent, body)
        if block is not None:
            self.body(body, block)

    def stmt(self, node: Stmt, block: Block | None) -> None:
        scope = self.scope
        match node:
            case Assign(targets, value, _):
                self.expr(value, block)
                for target in targets:
                    self.bind(target, "assign", value, block, node)
            case Augment(target, op, value, at):
                self.expr(value, block)
                if isinstance(target, Name):
                    both = Op(op, (target, value), at)
                    self.add(target.id, Binding("augment", node, both, block, at))
                else:
                    self.bind(target, "augment", value, block, node, augmented=True)
            case Declare(target, _, at):
                if isinstance(target, Name):
                    self.add(target.id, Binding("declare", node, None, block, at))
            case Do(value, _):
                self.expr(value, block)
            case Return(value, _):
                if value is not None:
                    self.expr(value, block)
                    scope.returns.append((value, block))
            case For(target, iterable, body, orelse, at):
                self.expr(iterable, block)
                inner = self.open("for", node, block, body)
                assert inner is not None
                scope.loops.append(Loop("for", target, iterable, node, scope, block, inner, at))
                self.bind(target, "for", iterable, inner, node)
                self.body(body, inner)
                self.nested("orelse", node, block, orelse)
            case While(test, body, orelse, at):
                inner = self.open("while", node, block, body)
                assert inner is not None
                scope.loops.append(Loop("while", None, None, node, scope, block, inner, at))
                scope.tests.append((test, inner))
                self.expr(test, inner)
                self.body(body, inner)
                self.nested("orelse", node, block, orelse)
            case If(test, body, orelse, _):
                self.expr(test, block)
                scope.tests.append((test, block))
                scope.branches.append((node, block))
                self.nested("if", node, block, body)
                self.nested("else", node, block, orelse)
            case With(items, body, at):
                for manager, bound in items:
                    self.expr(manager, block)
                    if bound is not None:
                        self.bind(bound, "with", manager, block, node)
                self.nested("with", node, block, body)
            case Try(body, handlers, orelse, final, _):
                scope.tries.append((node, block))
                self.nested("try", node, block, body)
                for handler in handlers:
                    inner = self.open("except", handler, block, handler.body)
                    if handler.name:
                        self.add(handler.name, Binding("except", handler, None, inner, handler.at))
                    if inner is not None:
                        self.body(handler.body, inner)
                self.nested("orelse", node, block, orelse)
                self.nested("finally", node, block, final)
            case Raise(value, _):
                if value is not None:
                    self.expr(value, block)
                scope.raises.append((node, block))
            case Define():
                self.function(node, block)
            case DefineClass():
                self.klass(node, block)
            case Import(_, name, bound, _, at):
                if name == "*":
                    scope.stars.append(node)
                else:
                    self.add(bound, Binding("import", node, None, block, at))
            case Simple(kind, names, parts, _):
                if kind in ("global", "nonlocal"):
                    scope.globals.update(names)
                if kind in ("break", "continue"):
                    (scope.breaks if kind == "break" else scope.continues).append((node, block))
                for part in parts:
                    self.expr(part, block)

    def function(self, node: Define, block: Block | None) -> None:
        inner = Scope("function", node.name, self.scope.module, self.scope, node, node.params)
        self.add(node.name, Binding("def", inner, None, block, node.at))
        self.scope.functions[node.name] = inner
        self.scope.all_functions.append(inner)
        for decorator in node.decorators:
            self.expr(decorator, block)
        for param in node.params:
            if param.default is not None:
                self.expr(param.default, block)
        walk = _Walk(inner)
        walk.parameters(node.params, node.at)
        walk.body(node.body, None)

    def klass(self, node: DefineClass, block: Block | None) -> None:
        inner = Scope("class", node.name, self.scope.module, self.scope, node)
        self.add(node.name, Binding("class", inner, None, block, node.at))
        self.scope.classes[node.name] = inner
        for value in (*node.bases, *(v for _, v in node.keywords), *node.decorators):
            self.expr(value, block)
        _Walk(inner).body(node.body, None)
        for name in _AFTER_INIT:  # what a generated ``__init__`` runs
            if name in inner.functions:
                inner.functions.setdefault("__init__", inner.functions[name])

    def parameters(self, params: tuple[Param, ...], at: At) -> None:
        for position, param in enumerate(params):
            self.add(
                param.name,
                Binding("param", param, param.default, None, (at[0], at[1], at[0], at[1]), position),
            )

    # -- bindings -------------------------------------------------------------------------------------------------

    def add(self, name: str, binding: Binding) -> None:
        owner = self.scope
        if name in owner.globals:
            while owner.parent is not None:
                owner = owner.parent
        owner.bindings.setdefault(name, []).append(binding)

    def bind(
        self,
        target: Expr,
        kind: str,
        value: Expr,
        block: Block | None,
        node: Any,
        *,
        index: int | None = None,
        augmented: bool = False,
    ) -> None:
        at = node.at if hasattr(node, "at") else target.at
        match target:
            case Name(name, _):
                self.add(name, Binding(kind, node, value, block, at, index))
            case Attr(base, attr, _):
                self.expr(base, block)
                self.scope.stores.append(Store(base, attr, None, value, block, at, augmented, index))
            case Sub(base, key, _):
                self.expr(base, block)
                self.expr(key, block)
                self.scope.stores.append(Store(base, None, key, value, block, at, augmented, index))
            case Seq(_, items, _):
                pairs = _pairwise(items, value) if kind == "assign" else None
                for position, item in enumerate(items):
                    if pairs is not None:
                        self.bind(item, kind, pairs[position], block, node)
                    elif isinstance(item, Star):
                        self.bind(item.value, "unpack", value, block, node)
                    elif kind == "assign":
                        self.bind(item, "unpack", value, block, node, index=position)
                    else:
                        self.bind(item, kind, value, block, node, index=position)
            case Star(inner, _):
                self.bind(inner, kind, value, block, node)

    # -- expressions ----------------------------------------------------------------------------------------------

    def expr(self, node: Expr, block: Block | None) -> None:
        scope = self.scope
        # These three are most of a program.
        while isinstance(node, Attr):
            scope.attrs.append((node, block))
            node = node.base
        if isinstance(node, Name):
            scope.names.append((node, block))
            return
        if isinstance(node, Const):
            return
        match node:
            case Call():
                scope.calls.append(CallSite(node, scope, block, self.statement))
            case Sub():
                scope.subs.append((node, block))
            case Op():
                scope.ops.append((node, block))
            case Yield():
                scope.yields.append((node, block))
            case Cond(test, _, _, _):
                scope.tests.append((test, block))
            case Lambda(params, body, _):
                scope.lambdas.append((node, block))
                inner = Scope("lambda", "<lambda>", scope.module, scope, node, params)
                scope.lambda_scopes[id(node)] = inner
                walk = _Walk(inner)
                walk.parameters(params, node.at)
                walk.expr(body, None)
                inner.returns.append((body, None))
                return
            case Comp():
                self.comprehension(node, block)
                return
            case Other("walrus", (target, value), _):
                self.expr(value, block)
                self.bind(target, "assign", value, block, node)
                return
        for part in parts_of(node):
            if isinstance(part, Name):
                scope.names.append((part, block))
            elif not isinstance(part, Const):
                self.expr(part, block)

    def comprehension(self, node: Comp, block: Block | None) -> None:
        at = node.at
        inner = Block("comp", node, block, (at[0], at[1]), (at[2], at[3]))
        self.scope.blocks.append(inner)
        for number, clause in enumerate(node.clauses):
            self.expr(clause.iterable, block if number == 0 else inner)
            loop = Loop("comp", clause.target, clause.iterable, node, self.scope, block, inner, at)
            self.scope.loops.append(loop)
            self.bind(clause.target, "for", clause.iterable, inner, node)
            for test in clause.tests:
                self.expr(test, inner)
        for element in node.elements:
            self.expr(element, inner)


def _pairwise(items: tuple[Expr, ...], value: Expr) -> tuple[Expr, ...] | None:
    """The values of ``a, b = x, y`` one by one, where both sides are written out and of one length."""
    if isinstance(value, Seq) and len(value.items) == len(items):
        if not any(isinstance(item, Star) for item in (*items, *value.items)):
            return value.items
    return None
