"""Whether the main process changes the dataset of a loader between its epochs."""

from __future__ import annotations

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Do, Expr, Name, Sub, dotted
from dlcheck.program.loaders import Loader
from dlcheck.program.persistent import runs_in
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import Made, Method, Ref, Unknown

_GROWS = frozenset(
    "append appendleft add extend insert update setdefault remove pop popleft clear sort reverse fill shuffle".split()
)
_DEEPEST = 3


def changed_between_epochs(program: Program, loader: Loader) -> bool:
    """The main process changes the dataset between epochs: new workers are how the change reaches them.

    A method of a dataset whose class is not seen may change it.
    """
    loops = {loop for use in program.uses_of[loader] for loop in program.consumption.epoch_loops(use, loader)}
    if not loops:
        return False
    methods = _methods(program, loader)
    named = {"dataset", *(_last(expr) for expr, _ in loader.given("dataset"))} - {""}
    for scope in program.scopes():
        for store in scope.stores:
            if store.attr is not None and not _is_self(store.base, scope):
                if _is_dataset(program, store.base, scope, loader):
                    if runs_in(program, scope, store.block, loops):
                        return True
        for site in scope.calls:
            func = site.call.func
            if not isinstance(func, Attr) or _is_self(func.base, scope) or func.attr.startswith("__"):
                continue
            known = func.attr in methods and any(map(_changes_self, methods[func.attr]))
            unseen = isinstance(site.statement, Do) and _last(func.base) in named
            if not known and not (unseen and _is_unseen(program, func.base, scope)):
                continue
            if _is_dataset(program, func.base, scope, loader):
                if runs_in(program, scope, site.block, loops):
                    return True
    return False


def _methods(program: Program, loader: Loader) -> dict[str, list[Scope]]:
    """The methods of the loader's datasets, by name."""
    out: dict[str, list[Scope]] = {}
    for cls in loader.dataset_classes:
        for value in program.evaluator.lineage(cls):
            for method in value.scope.all_functions if isinstance(value, Ref) else ():
                out.setdefault(method.name, []).append(method)
    return out


def _is_dataset(program: Program, expr: Expr, scope: Scope, loader: Loader) -> bool:
    """The expression is the dataset of the loader: what it was given, by value or by name, or ``loader.dataset``.

    What is called ``dataset``, and may be anything, may be this one.
    """
    if not isinstance(expr, (Name, Attr)):
        return False
    if isinstance(expr, Attr) and expr.attr == "dataset":
        if _is_dataset(program, expr.base, scope, loader):
            return True  # of a subset
        if loader in program.consumption.loaders_in(expr.base, scope):
            return True
    name = dotted(expr)
    for given, where in loader.given("dataset"):
        same_place = where is scope or (
            where.owner is not None and where.owner is scope.owner and "." in name
        )
        if same_place and name and dotted(given) == name:
            return True
    if _last(expr) == "dataset" and _is_unseen(program, expr, scope):
        return True
    calls = {id(d.call) for d in loader.datasets if isinstance(d, Made)}
    return any(isinstance(v, Made) and id(v.call) in calls for v in program.values(expr, scope))


def _last(expr: Expr) -> str:
    return dotted(expr).rpartition(".")[2]


def _is_unseen(program: Program, expr: Expr, scope: Scope) -> bool:
    """Nothing is known of the class of an object."""
    return all(isinstance(v, (Unknown, Method)) for v in program.values(expr, scope))


def _is_self(expr: Expr, scope: Scope) -> bool:
    return isinstance(expr, Name) and expr.id == scope.self_name


def _changes_self(method: Scope, depth: int = 0) -> bool:
    if method.name in ("__init__", "__getitem__", "__len__"):
        return False
    if any(_root(store.base) == method.self_name for store in method.stores):
        return True
    if any(_root(changed) == method.self_name for changed in _grown(method)):
        return True
    own = method.owner.functions if method.owner is not None else {}
    return depth < _DEEPEST and any(
        _is_self(site.call.func.base, method) and _changes_self(own[site.call.func.attr], depth + 1)
        for site in method.calls
        if isinstance(site.call.func, Attr) and site.call.func.attr in own
    )


def _grown(method: Scope) -> Iterator[Expr]:
    """``self.ids`` of ``self.ids.append(i)`` and of ``random.shuffle(self.ids)``."""
    for site in method.calls:
        call: Call = site.call
        if not isinstance(call.func, Attr):
            continue
        if call.func.attr in _GROWS and isinstance(call.func.base, (Attr, Sub)):
            yield call.func.base
        if call.func.attr == "shuffle" and call.args:
            yield call.args[0]


def _root(expr: Expr) -> str:
    """``self`` of ``self.items[0][1]``."""
    while isinstance(expr, (Attr, Sub)):
        expr = expr.base
    return expr.id if isinstance(expr, Name) else ""
