"""Code paths: which functions run for every sample, for every batch, or once at set-up; and what varies with the item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from dlcheck.facts.model import (
    Attr,
    Call,
    Expr,
    Name,
    Star,
    dotted,
)
from dlcheck.program.arguments import Arguments
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator, is_property
from dlcheck.program.lazy import is_lazy
from dlcheck.program.scope import Block, CallSite, Loop, Scope
from dlcheck.program.steps import Step, spread, varies
from dlcheck.program.values import Group, Made, PartialRef, Ref, SelfOf, Value

_DEEPEST = 6
_ITEM_METHODS = ("__getitem__", "__getitems__")
_CACHED = frozenset({"lru_cache", "cache", "cached_property", "cached", "memoize"})


@dataclass(frozen=True, eq=False)
class PathCall:
    """A call on a path: where it stands, what it may call, and how it runs."""

    site: CallSite
    step: Step
    names: tuple[str, ...]
    lazy: bool
    in_loop: bool

    @property
    def call(self) -> Call:
        return self.site.call


@dataclass(eq=False)
class Path:
    """The functions that one entry reaches, the entry first."""

    evaluator: Evaluator
    kind: str
    steps: list[Step] = field(default_factory=list)

    @cached_property
    def calls(self) -> tuple[PathCall, ...]:
        """Every call on the path, in order of the steps and of place; asked for when the path is complete."""
        return tuple(
            PathCall(
                site,
                step,
                callee_names(self.evaluator, site.call, site.scope),
                step.lazy or is_lazy(site.block, step.scope, site.at),
                step.repeats or loop_around(site.block) is not None,
            )
            for step in self.steps
            for site in step.scope.calls
        )

    def varies(self, expr: Expr, step: Step) -> bool:
        """Whether an expression of a step depends on the item."""
        return varies(expr, step, self.evaluator)

    def step_of(self, scope: Scope) -> Step | None:
        return next((step for step in self.steps if step.scope is scope), None)


def item_path(evaluator: Evaluator, cls: Scope) -> Path:
    """The code that runs for every sample of a dataset class: ``__getitem__``, or the body of ``__iter__``."""
    path = Path(evaluator, "item")
    for name in _ITEM_METHODS:
        method = evaluator.method(cls, name)
        if method is not None:
            _walk(path, method, cls, set(_after_self(method)), lazy=False, repeats=False, depth=0)
    if not path.steps:
        method = evaluator.method(cls, "__iter__")
        if method is not None:
            path.kind = "iter"
            _walk(path, method, cls, set(), lazy=False, repeats=False, depth=0)
    return path


def function_path(evaluator: Evaluator, function: Scope, kind: str) -> Path:
    """The code that a function reaches (a collate function, a ``worker_init_fn``); its parameters vary."""
    path = Path(evaluator, kind)
    names = {p.name for p in function.params} - {function.self_name or ""}
    _walk(path, function, function.owner, names, lazy=False, repeats=False, depth=0)
    return path


def setup_path(evaluator: Evaluator, cls: Scope) -> Path:
    """The code that runs once when a dataset is made: ``__init__`` and what it calls of its own class and helpers.

    Worked out once: datasets share helpers and base classes.
    """
    known = evaluator.setup_paths
    if cls not in known:
        path = known[cls] = Path(evaluator, "setup")
        method = evaluator.method(cls, "__init__")
        if method is not None:
            _walk(path, method, cls, set(), lazy=False, repeats=False, depth=0)
    return known[cls]


def extend(path: Path, method: Scope, cls: Scope) -> None:
    """Add what a method of a class reaches to a path."""
    _walk(path, method, cls, set(), lazy=False, repeats=False, depth=1)


def _after_self(method: Scope) -> list[str]:
    skip = 1 if method.self_name is not None else 0
    return [p.name for p in method.params[skip:]]


def _walk(
    path: Path, scope: Scope, cls: Scope | None, varying: set[str], *, lazy: bool, repeats: bool, depth: int
) -> None:
    step = path.step_of(scope)
    if step is not None:
        grown = not varying <= step.varying
        freed = step.lazy and not lazy
        step.lazy = step.lazy and lazy
        step.repeats = step.repeats or repeats
        if not grown and not freed:
            return
        step.varying |= varying
    else:
        if depth > _DEEPEST or len(path.steps) > 60:
            return
        shared = path.steps[0].attributes if path.steps else set()
        step = Step(scope, lazy or _is_cached(scope), repeats, set(varying) | _enclosed(path, scope), shared)
        path.steps.append(step)
    spread(step, path.kind, path.evaluator)
    for site in list(scope.calls):
        inner_lazy = step.lazy or is_lazy(site.block, scope, site.at)
        inner_repeats = step.repeats or loop_around(site.block) is not None
        for value in path.evaluator.values(site.call.func, scope):
            for target, owner in _targets(path, value, cls):
                given = _given(path, step, site.call, target, value)
                _walk(path, target, owner, given, lazy=inner_lazy, repeats=inner_repeats, depth=depth + 1)
    _walk_properties(path, step, cls, depth)
    if path.kind in ("item", "iter"):
        for sub, block in scope.subs:
            for value in path.evaluator.values(sub.base, scope):
                inner = _class_of(value)
                if inner is None or inner is cls:
                    continue
                getter = path.evaluator.method(inner, "__getitem__")
                if getter is not None:
                    names = set(_after_self(getter)) if path.varies(sub.index, step) else set()
                    if getter.self_name is not None and path.varies(sub.base, step):
                        names.add(getter.self_name)
                    again = loop_around(block) is not None
                    _walk(path, getter, inner, names, lazy=step.lazy, repeats=again, depth=depth + 1)


def _walk_properties(path: Path, step: Step, cls: Scope | None, depth: int) -> None:
    """``self.files``, where the class computes it each time it is asked for."""
    scope = step.scope
    if cls is None or scope.self_name is None:
        return
    for attr, block in scope.attrs:
        if not isinstance(attr.base, Name) or attr.base.id != scope.self_name:
            continue
        method = path.evaluator.method(cls, attr.attr)
        if method is not None and is_property(method):
            names = {method.self_name or ""} if path.varies(attr.base, step) else set()
            lazy = step.lazy or is_lazy(block, scope, attr.at)
            again = step.repeats or loop_around(block) is not None
            _walk(path, method, cls, names, lazy=lazy, repeats=again, depth=depth + 1)


# Transforms in transforms in transforms.
_DEEPEST_NESTING = 6


def _class_of(value: Value) -> Scope | None:
    """The class of the project that a value is an instance of."""
    owner = value.what if isinstance(value, Made) else value.scope if isinstance(value, SelfOf) else None
    return owner if isinstance(owner, Scope) and owner.kind == "class" else None


def _targets(
    path: Path, value: Value, cls: Scope | None, depth: int = 0
) -> Iterator[tuple[Scope, Scope | None]]:
    """The functions of the project that calling a value runs, each with the class it is a method of."""
    evaluator = path.evaluator
    if depth > _DEEPEST_NESTING:
        return  # a list may hold itself
    match value:
        case PartialRef(func, _):
            yield from _targets(path, func, cls, depth + 1)
        case Ref(scope, _) if scope.kind in ("function", "lambda"):
            # ``self.helper()``: a subclass may have its own.
            if scope.owner is not None and cls is not None and scope.owner is not cls:
                override = evaluator.method(cls, scope.name)
                if override is not None and any(
                    isinstance(v, Ref) and v.scope is scope.owner for v in evaluator.lineage(cls)
                ):
                    yield override, cls
                    return
            yield scope, scope.owner
        case Ref(scope, _) if scope.kind == "class":
            init = evaluator.method(scope, "__init__")
            if init is not None and path.kind != "setup":
                yield init, scope
        case Made(what, call, scope, _, _):
            if isinstance(what, Scope) and what.kind == "class":
                for name in ("__call__", "forward"):
                    method = evaluator.method(what, name)
                    if method is not None:
                        yield method, what
            elif isinstance(what, str) and what.rpartition(".")[2] in (
                "Compose",
                "Sequential",
                "Lambda",
                "RandomApply",
                "RandomChoice",
                "OneOf",
            ):
                for argument in call.args:
                    for inner in evaluator.values(argument, scope):
                        items: tuple[Value, ...] = (inner,)
                        if isinstance(inner, Group):
                            items = tuple(
                                v for item in inner.items for v in evaluator.values(item, inner.scope)
                            )
                        for item in items:
                            yield from _targets(path, item, cls, depth + 1)
        case SelfOf(scope):
            for name in ("__call__", "forward"):
                method = evaluator.method(scope, name)
                if method is not None:
                    yield method, scope


def _given(path: Path, step: Step, call: Call, target: Scope, value: Value) -> set[str]:
    """The parameters of a called function that get something that varies with the item."""
    out: set[str] = set()
    func = call.func
    bound = isinstance(value, Ref) and value.bound
    if target.self_name is not None:
        receiver = func.base if bound and isinstance(func, Attr) else func
        if path.varies(receiver, step):
            out.add(target.self_name)
    arguments = (*call.args, *(v for _, v in call.keywords))
    if not any(path.varies(argument, step) for argument in arguments):
        return out
    # Where it is not plain which argument goes where, all may get what varies.
    plain = not any(isinstance(a, Star) for a in call.args) and all(k is not None for k, _ in call.keywords)
    on_class = isinstance(value, Ref) and value.scope.kind == "function" and not bound
    if not plain or isinstance(value, PartialRef) or (on_class and target.self_name is not None):
        return out | {p.name for p in target.params}
    skip = 1 if target.self_name is not None else 0
    given = Arguments(path.evaluator, call, step.scope)
    for position, param in enumerate(target.params[skip:]):
        if param.kind in ("args", "kwargs"):
            out.add(param.name)
            continue
        found = given.given(param.name, None if param.kind == "keyword" else position)
        if any(path.varies(expr, step) for expr, scope in found if scope is step.scope):
            out.add(param.name)
    return out


def _enclosed(path: Path, scope: Scope) -> set[str]:
    """The varying names of the functions around a local function that it may use as they are."""
    out: set[str] = set()
    outer = scope.parent
    while outer is not None and outer.kind in ("function", "lambda"):
        step = path.step_of(outer)
        if step is not None:
            out |= {name for name in step.varying if name not in scope.bindings}
        outer = outer.parent
    return out


def loop_around(block: Block | None) -> Block | None:
    """The innermost loop or comprehension around a place."""
    if block is not None:
        for around in block.chain():
            if around.kind in ("for", "while", "comp"):
                return around
    return None


def loop_of(scope: Scope, block: Block) -> Loop | None:
    return next((loop for loop in scope.loops if loop.inner is block), None)


def _is_cached(scope: Scope) -> bool:
    for decorator in getattr(scope.node, "decorators", ()):
        name = dotted(decorator.func if isinstance(decorator, Call) else decorator).rpartition(".")[2]
        if name in _CACHED:
            return True
    return False
