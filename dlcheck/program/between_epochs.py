"""What the main process does to the dataset of a loader between epochs."""

from __future__ import annotations

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Do, Expr, Name, Sub, dotted, root_name
from dlcheck.program.callers import last_name
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, CallSite, Scope, Store
from dlcheck.program.values import Made, Method, Ref, Unknown

_IN_PLACE = frozenset(
    "add append appendleft clear extend fill insert pop popleft remove reverse setdefault shuffle sort update".split()
)
_DEEPEST = 3


def changed_between_epochs(program: Program, loader: Loader) -> bool:
    """The main process changes the dataset in an epoch loop: new workers are how the change reaches them."""
    loops = {loop for use in program.uses_of[loader] for loop in program.consumption.epoch_loops(use, loader)}
    return any(_changes(program, place, scope, loader) for place, scope in _run_in(program, loops))


def _run_in(program: Program, loops: set[Block]) -> Iterator[tuple[Store | CallSite, Scope]]:
    """What stands in the loops, and in the functions that are called there."""
    todo: list[tuple[Scope, Block | None, int]] = [
        (scope, loop.inner, 0) for scope in program.scopes() for loop in scope.loops if loop.inner in loops
    ]
    seen: set[Scope] = set()
    while todo:
        scope, loop, depth = todo.pop()
        for store in scope.stores:
            if _inside(store.block, loop):
                yield store, scope
        for site in scope.calls:
            if not _inside(site.block, loop):
                continue
            yield site, scope
            for value in program.values(site.call.func, scope) if depth < _DEEPEST else ():
                if isinstance(value, Ref) and value.scope.kind == "function" and value.scope not in seen:
                    seen.add(value.scope)
                    todo.append((value.scope, None, depth + 1))


def _inside(block: Block | None, loop: Block | None) -> bool:
    return loop is None or (block is not None and loop in block.chain())


def _changes(program: Program, place: Store | CallSite, scope: Scope, loader: Loader) -> bool:
    if isinstance(place, Store):
        return _is_of_dataset(program, place.base, scope, loader)
    func = place.call.func
    if last_name(func) == "shuffle" and any(
        _is_of_dataset(program, argument, scope, loader) for argument in place.call.args
    ):
        return True
    return (
        isinstance(func, Attr)
        and _is_of_dataset(program, func.base, scope, loader)
        and _method_changes(program, place, loader)
    )


def _is_of_dataset(program: Program, expr: Expr, scope: Scope, loader: Loader) -> bool:
    """The dataset of the loader or a part of it: what the loader was given, ``loader.dataset``, ``dataset.a.b[c]``."""
    part: Expr = expr
    while isinstance(part, (Name, Attr, Sub)):
        if isinstance(part, Attr) and part.attr in ("dataset", "_dataset"):
            holders = program.consumption.loaders_in(part.base, scope)
            if holders:
                return loader in holders
        if not isinstance(part, Sub) and _is_dataset(program, part, scope, loader):
            return True
        if isinstance(part, Name):
            break
        part = part.base
    return False


def _is_dataset(program: Program, expr: Expr, scope: Scope, loader: Loader) -> bool:
    """What the loader was given, by name or by value; or what is called a dataset, and may be anything."""
    name = dotted(expr)
    for given, where in loader.given("dataset"):
        same_self = "." in name and where.owner is not None and where.owner is scope.owner
        if name and name == dotted(given) and (where is scope or same_self):
            return True
    values = program.values(expr, scope)
    if name.endswith("dataset") and all(isinstance(v, (Unknown, Method)) for v in values):
        return True
    calls = {id(d.call) for d in loader.datasets if isinstance(d, Made)}
    return any(isinstance(v, Made) and id(v.call) in calls for v in values)


def _method_changes(program: Program, site: CallSite, loader: Loader) -> bool:
    """A method that changes what it is called on; one that is not seen does, if nobody takes its result."""
    name = last_name(site.call.func)
    if name in ("__getitem__", "__len__"):
        return False
    found = [v.scope for v in program.values(site.call.func, site.scope) if isinstance(v, Ref)]
    own = (program.evaluator.method(cls, name) for cls in loader.dataset_classes)
    methods = found or [method for method in own if method is not None]
    if methods:
        return any(_changes_self(program.evaluator, method, 0) for method in methods)
    return isinstance(site.statement, Do) and site.statement.value is site.call


def _changes_self(evaluator: Evaluator, method: Scope, depth: int) -> bool:
    me = method.self_name
    if me is None or depth > _DEEPEST:
        return False
    if any(root_name(store.base) == me for store in method.stores):
        return True
    for site in method.calls:
        func = site.call.func
        if last_name(func) == "shuffle" and site.call.args and root_name(site.call.args[0]) == me:
            return True
        if not isinstance(func, Attr) or root_name(func.base) != me:
            continue
        if isinstance(func.base, Name):
            own = evaluator.method(method.owner, func.attr) if method.owner is not None else None
            if own is not None and _changes_self(evaluator, own, depth + 1):
                return True
        elif func.attr in _IN_PLACE:
            return True
    return False
