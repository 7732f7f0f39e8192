"""A function on a path, and what in it varies with the item."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlcheck.facts.model import Attr, Call, Comp, Cond, Const, Expr, Lambda, Name, Op, dotted, parts_of, walk
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.lazy import is_lazy
from dlcheck.program.scope import Scope, Store
from dlcheck.program.values import Ref

_RANDOM = ("random.", "numpy.random", "torch.rand", "torch.randint", "torch.randperm", "uuid.")
# Methods that give something else each time, whatever they are called on: a queue, a cursor, a generator of numbers.
_MOVES_ON = frozenset(
    "get_nowait popleft readline recv fetchone choice choices sample randint randrange integers "
    "permutation uniform multinomial".split()
)


@dataclass(eq=False)
class Step:
    """One function on a path, with what is known of the way to it.

    ``lazy``: it is reached only behind a check that lets it run once (``if self.file is None``). ``repeats``: it is
    reached from inside a loop of the path. ``varying`` holds the names that depend on the item (in a path of set-up: on
    the loop that they stand in), ``attributes`` the attributes that do, shared by all steps of a path.
    """

    scope: Scope
    lazy: bool
    repeats: bool
    varying: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


def spread(step: Step, kind: str, evaluator: Evaluator) -> None:
    """Grow ``varying``: what is computed from a varying name varies, until nothing changes."""
    scope = step.scope
    for _ in range(6):
        before = len(step.varying) + len(step.attributes)
        for name, bindings in scope.bindings.items():
            if name in step.varying:
                continue
            for binding in bindings:
                if (
                    binding.kind in ("assign", "unpack", "for", "with", "augment")
                    and binding.value is not None
                ):
                    loops = kind in ("iter", "setup") and binding.kind == "for"
                    if loops or varies(binding.value, step, evaluator):
                        step.varying.add(name)
                        break
        for store in scope.stores:
            if isinstance(store.base, Name) and store.base.id == scope.self_name and store.attr is not None:
                if store.attr in step.attributes or is_lazy(store.block, scope, store.at):
                    continue
                if store.augmented or _moves(store) or varies(store.value, step, evaluator):
                    step.attributes.add(store.attr)
        if len(step.varying) + len(step.attributes) == before:
            return


def _moves(store: Store) -> bool:
    """``self.part = (self.part + 1) % self.parts``: made from what it was; ``self.file = self.file or opened()`` is not."""
    before = f"{dotted(store.base)}.{store.attr}"
    match store.value:
        case Cond(_, then, orelse, _):
            possible: tuple[Expr, ...] = (then, orelse)
        case Op("or", operands, _):
            possible = operands
        case value:
            possible = (value,)
    if any(dotted(expr) == before for expr in possible):
        return False
    return any(isinstance(part, Attr) and dotted(part) == before for part in walk(store.value))


def varies(expr: Expr, step: Step, evaluator: Evaluator) -> bool:
    """Whether an expression may have another value for each item, or each turn."""
    match expr:
        case Name(name, _):
            return name in step.varying
        case Attr(base, attr, _):
            if isinstance(base, Name) and base.id == step.scope.self_name:
                return attr in step.attributes or base.id in step.varying
            return varies(base, step, evaluator)
        case Const():
            return False
        case Lambda(_, body, _):
            return varies(body, step, evaluator)
        case Comp(_, elements, clauses, _):
            inner = [part for c in clauses for part in (c.iterable, *c.tests)]
            return any(varies(part, step, evaluator) for part in (*inner, *elements))
        case Call(func, _, _, _):
            for name in callee_names(evaluator, expr, step.scope):
                if name.startswith(_RANDOM) or name == "builtins.next":
                    return True
            if isinstance(func, Attr) and func.attr in _MOVES_ON:
                return True
            if isinstance(func, Attr) and func.attr in ("get", "pop") and not expr.args and not expr.keywords:
                return True
            for value in evaluator.values(func, step.scope):
                if (
                    isinstance(value, Ref)
                    and value.scope.kind == "function"
                    and not expr.args
                    and not expr.keywords
                ):
                    helper = Step(value.scope, False, False, set(), step.attributes)
                    if value.scope is not step.scope and any(
                        _draws(part, helper, evaluator) for part, _ in value.scope.returns
                    ):
                        return True
    return any(varies(part, step, evaluator) for part in parts_of(expr))


def _draws(expr: Expr, step: Step, evaluator: Evaluator) -> bool:
    """A helper's result that varies by itself: it draws, or takes the next of something."""
    for part in walk(expr):
        if isinstance(part, Call):
            if any(
                n.startswith(_RANDOM) or n == "builtins.next"
                for n in callee_names(evaluator, part, step.scope)
            ):
                return True
        if isinstance(part, Name):
            for binding in step.scope.bindings.get(part.id, ()):
                if (
                    binding.kind in ("assign", "unpack")
                    and binding.value is not None
                    and binding.value is not expr
                ):
                    for inner in walk(binding.value):
                        if isinstance(inner, Call) and any(
                            n.startswith(_RANDOM) or n == "builtins.next"
                            for n in callee_names(evaluator, inner, step.scope)
                        ):
                            return True
    return False
