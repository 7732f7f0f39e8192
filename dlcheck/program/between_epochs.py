"""What the main process changes in the dataset of a loader from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from dlcheck.facts.model import Attr, Do, Expr, Name, Sub
from dlcheck.program.callers import last_name
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, CallSite, Scope, Store
from dlcheck.program.values import Made, Ref

_DEEPEST = 3
_IN_PLACE = frozenset("add append clear extend insert pop remove reverse setdefault sort update".split())
_OWNERS: WeakKeyDictionary[Program, dict[Block, Scope]] = WeakKeyDictionary()


def changed_between_epochs(program: Program, loader: Loader) -> bool:
    """The main process changes the loader's dataset in an epoch loop: new workers are how the change reaches them."""
    loops = {loop for use in program.uses_of[loader] for loop in program.consumption.epoch_loops(use, loader)}
    for place, scope in _run_in(program, loops):
        if isinstance(place, Store):
            if _is_of_dataset(program, place.base, scope, loader):
                return True
        elif isinstance(place.call.func, Attr):
            base = place.call.func.base
            if _is_of_dataset(program, base, scope, loader) and _changes(program, place, loader):
                return True
    return False


def _run_in(program: Program, loops: set[Block]) -> Iterator[tuple[Store | CallSite, Scope]]:
    """What stands in the loops, and in the functions that are called there."""
    todo: list[tuple[Scope, Block | None, int]] = [(_owners(program)[loop], loop, 0) for loop in loops]
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


def _owners(program: Program) -> dict[Block, Scope]:
    """The scope of each loop."""
    if program not in _OWNERS:
        _OWNERS[program] = {loop.inner: scope for scope in program.scopes() for loop in scope.loops}
    return _OWNERS[program]


def _inside(block: Block | None, loop: Block | None) -> bool:
    return loop is None or (block is not None and loop in block.chain())


def _is_of_dataset(program: Program, expr: Expr, scope: Scope, loader: Loader) -> bool:
    """The dataset of the loader or a part of it: what the loader was given, ``loader.dataset``, ``dataset.a.b[c]``."""
    given = {id(d.call) for d in loader.datasets if isinstance(d, Made)}
    part: Expr = expr
    while isinstance(part, (Name, Attr, Sub)):
        if isinstance(part, Attr) and part.attr in ("dataset", "_dataset"):
            if loader in program.consumption.loaders_in(part.base, scope):
                return True
        if not isinstance(part, Sub) and any(
            isinstance(v, Made) and id(v.call) in given for v in program.values(part, scope)
        ):
            return True
        if isinstance(part, Name):
            return False
        part = part.base
    return False


def _changes(program: Program, site: CallSite, loader: Loader) -> bool:
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
    if any(_root(store.base) == me for store in method.stores):
        return True
    for site in method.calls:
        func = site.call.func
        if last_name(func) == "shuffle" and site.call.args and _root(site.call.args[0]) == me:
            return True
        if not isinstance(func, Attr) or _root(func.base) != me:
            continue
        if isinstance(func.base, Name):
            own = evaluator.method(method.owner, func.attr) if method.owner is not None else None
            if own is not None and _changes_self(evaluator, own, depth + 1):
                return True
        elif func.attr in _IN_PLACE:
            return True
    return False


def _root(expr: Expr) -> str:
    """``self`` of ``self.items[0][1]``."""
    while isinstance(expr, (Attr, Sub)):
        expr = expr.base
    return expr.id if isinstance(expr, Name) else ""
