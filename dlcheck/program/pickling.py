"""What cannot be pickled, and so cannot be sent to a worker that is not forked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlcheck.facts.model import At, Call, Comp, Expr, Name, Star
from dlcheck.program.evaluate import Arguments, Evaluator
from dlcheck.program.kept import is_self
from dlcheck.program.scope import Scope
from dlcheck.program.values import Group, Made, ModuleRef, PartialRef, Ref, Table, Value

_LOCKS = frozenset(
    f"{module}.{name}"
    for module, listed in (
        ("threading", ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")),
        ("queue", ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
        ("socket", ("socket",)),
    )
    for name in listed
)
_PICKLES_ITSELF = ("__getstate__", "__reduce__", "__reduce_ex__")
_DEEPEST = 6


@dataclass(frozen=True, eq=False)
class Unpicklable:
    """Something that cannot be pickled, where it stands, and what it is in words."""

    scope: Scope
    at: At
    what: str


def unpicklable(evaluator: Evaluator, expr: Expr, scope: Scope) -> Iterator[Unpicklable]:
    """What cannot be pickled in the values of an expression, with what they hold and keep."""
    yield from _Search(evaluator).of_expression(expr, scope, 0)


def unpicklable_in(evaluator: Evaluator, value: Value, scope: Scope, at: At) -> Iterator[Unpicklable]:
    """What cannot be pickled in a value that an expression at ``at`` gives, with what it holds and keeps."""
    yield from _Search(evaluator).of_value(value, scope, at, 0)


class _Search:
    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._seen: set[tuple[int, int]] = set()

    def of_expression(self, expr: Expr, scope: Scope, depth: int) -> Iterator[Unpicklable]:
        if depth > _DEEPEST or (id(expr), id(scope)) in self._seen:
            return
        self._seen.add((id(expr), id(scope)))
        if isinstance(expr, Comp) and expr.kind == "gen":
            yield Unpicklable(scope, expr.at, "a generator")
            return
        for value in self.evaluator.values(expr, scope):
            if isinstance(value, Made) and isinstance(value.what, Scope) and value.what.kind == "function":
                if value.call is expr:  # not what ``list()`` made of one
                    yield Unpicklable(scope, expr.at, "a generator")
            else:
                yield from self.of_value(value, scope, expr.at, depth)

    def of_value(self, value: Value, scope: Scope, at: At, depth: int) -> Iterator[Unpicklable]:
        match value:
            case Ref(inner, _) if inner.kind == "lambda":
                yield Unpicklable(inner.parent or scope, inner.node.at, "a lambda")
            case Ref(inner, _) if _is_local(inner):
                yield Unpicklable(scope, at, f"`{inner.name}`, which is defined inside a function,")
            case ModuleRef():
                yield Unpicklable(scope, at, "a module")
            case PartialRef(func, calls):
                yield from self.of_value(func, scope, at, depth + 1)
                for call, where in calls:
                    for argument in (*call.args[1:], *(v for _, v in call.keywords)):
                        yield from self.of_expression(argument, where, depth + 1)
            case Group(_, items, where, _):
                for item in items[:20]:
                    yield from self.of_expression(item, where, depth + 1)
            case Table(entries, _, loose):
                for entry in (*loose, *(e for group in entries.values() for e in group)):
                    yield from self.of_expression(entry.expr, entry.scope, depth + 1)
            case Made(what, call, where, before, receiver):
                yield from self._of_made(what, call, where, before, receiver, scope, at, depth)

    def _of_made(
        self,
        what: Scope | str,
        call: Call,
        where: Scope,
        before: tuple[tuple[Call, Scope], ...],
        receiver: Value | None,
        scope: Scope,
        at: At,
        depth: int,
    ) -> Iterator[Unpicklable]:
        if isinstance(what, str):
            if what in _LOCKS:
                yield Unpicklable(scope, at, "a lock" if what.startswith("threading") else f"a `{what}`")
            elif what and receiver is None and what.rpartition(".")[2][:1].isupper():
                # An object of another package is taken to keep what it is made from, as transforms do.
                for argument in (*call.args, *(v for _, v in call.keywords)):
                    inner = argument.value if isinstance(argument, Star) else argument
                    yield from self.of_expression(inner, where, depth + 1)
        elif what.kind != "class":
            return
        elif _is_local(what):
            yield Unpicklable(scope, at, f"an instance of `{what.name}`, which is defined inside a function,")
        elif not any(self.evaluator.method(what, name) is not None for name in _PICKLES_ITSELF):
            yield from self._kept(what, Arguments(self.evaluator, call, where, before), depth)

    def _kept(self, cls: Scope, arguments: Arguments, depth: int) -> Iterator[Unpicklable]:
        """What ``__init__`` stores on ``self``; for a parameter, what this one call gives for it."""
        for value in self.evaluator.lineage(cls):
            init = value.scope.functions.get("__init__") if isinstance(value, Ref) else None
            if init is None:
                continue
            own = init is self.evaluator.method(cls, "__init__")
            remade = {s.attr for m in (init.owner or cls).all_functions if m is not init for s in m.stores}
            for store in init.stores:
                if store.attr is None or store.attr in remade or not is_self(store.base, init):
                    continue
                parameter = _parameter(store.value, init)
                if parameter is None:
                    yield from self.of_expression(store.value, init, depth + 1)
                elif own:
                    for expr, scope in arguments.given(store.value.id, parameter):  # type: ignore[union-attr]
                        yield from self.of_expression(expr, scope, depth + 1)


def _parameter(expr: Expr, init: Scope) -> int | None:
    """The position of a parameter in calls of the class, where an expression is one."""
    if not isinstance(expr, Name) or any(b.kind != "param" for b in init.bindings.get(expr.id, ())):
        return None
    return next((n - 1 for n, p in enumerate(init.params) if p.name == expr.id), None)


def _is_local(scope: Scope) -> bool:
    """A function or class that is defined inside a function. Methods are found by their class."""
    parent = scope.parent
    return (
        scope.kind in ("function", "class") and parent is not None and parent.kind in ("function", "lambda")
    )
