"""What the code around a dataset does with it: reads and changes its attributes, calls its methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dlcheck.facts.model import At, Attr, Expr, Name, dotted
from dlcheck.program.kept import is_self
from dlcheck.program.loaders import Loader
from dlcheck.program.names import is_test
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import CallSite, Scope, Store
from dlcheck.program.streams import class_of
from dlcheck.program.values import Made, Method, Ref, Value

GROWS = frozenset({"append", "add", "extend", "update", "appendleft"})
"""Methods that put something into a collection."""


@dataclass(frozen=True, eq=False)
class Named:
    """The stores to attributes, and the attributes, of a program by name."""

    stores: dict[str, list[tuple[Scope, Store]]]
    attrs: dict[str, list[tuple[Scope, Attr]]]


_KNOWN: WeakKeyDictionary[Program, Named] = WeakKeyDictionary()


def named(program: Program) -> Named:
    """The index of a program, made once."""
    known = _KNOWN.get(program)
    if known is None:
        known = _KNOWN[program] = Named({}, {})
        for scope in program.scopes():
            for store in scope.stores:
                if store.attr is not None:
                    known.stores.setdefault(store.attr, []).append((scope, store))
            for attr, _ in scope.attrs:
                known.attrs.setdefault(attr.attr, []).append((scope, attr))
    return known


def own_methods(dataset: Dataset) -> list[Scope]:
    """The methods of the dataset that others may call: none of Python's own, none that the items run."""
    found = {
        method.name: method
        for v in reversed(dataset.evaluator.lineage(dataset.cls))
        if isinstance(v, Ref)
        for method in v.scope.all_functions
    }
    return [
        method
        for name, method in found.items()
        if not name.startswith("__") and dataset.item_path.step_of(method) is None
    ]


def calls_of(program: Program, dataset: Dataset, method: Scope) -> Iterator[tuple[CallSite, Expr]]:
    """The calls of a method's name from outside of the dataset, each with what it is called on."""
    family = family_of(dataset)
    for site in program.evaluator.callers.named(method.name):
        func = site.call.func
        if isinstance(func, Attr) and site.scope.owner not in family:
            if dataset.item_path.step_of(site.scope) is None:
                yield site, func.base


def is_dataset(program: Program, expr: Expr, scope: Scope, dataset: Dataset, loader: Loader) -> bool:
    """The expression is the very dataset of the loader: what it was given, or ``loader.dataset``."""
    if not isinstance(expr, (Name, Attr)):
        return False
    given = {id(v.call) for v in loader.datasets if isinstance(v, Made) and class_of(v) is dataset.cls}

    def fits(value: Value) -> bool:
        if isinstance(value, Made):
            return id(value.call) in given
        if isinstance(value, Method) and value.attr == "dataset":
            return isinstance(value.receiver, Made) and value.receiver.call is loader.call
        return False

    return any(fits(value) for value in program.values(expr, scope))


def family_of(dataset: Dataset) -> set[Scope | None]:
    """The dataset's class and its bases in the project."""
    return {v.scope for v in dataset.evaluator.lineage(dataset.cls) if isinstance(v, Ref)}


def filled(method: Scope) -> Iterator[str]:
    """The attributes that a method puts something into: ``self.weights[i] = w``, ``self.pool.append(x)``."""
    for store in method.stores:
        if store.attr is None and isinstance(store.base, Attr) and is_self(store.base.base, method):
            yield store.base.attr
    for site in method.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.attr in GROWS and isinstance(func.base, Attr):
            if is_self(func.base.base, method):
                yield func.base.attr


def read_outside(
    program: Program, dataset: Dataset, loaders: list[Loader], attr: str
) -> tuple[Scope, At] | None:
    """Where code outside of the dataset reads the attribute, itself or by a method of the dataset."""

    def fits(base: Expr, scope: Scope) -> bool:
        return not is_test(scope.module.path) and any(
            is_dataset(program, base, scope, dataset, loader) for loader in loaders
        )

    family = family_of(dataset)
    for scope, part in named(program).attrs.get(attr, ()):
        if scope.owner not in family and dataset.item_path.step_of(scope) is None:
            if not _called(scope, part) and fits(part.base, scope):
                return scope, part.at
    for method in own_methods(dataset):
        if any(a.attr == attr and is_self(a.base, method) for a, _ in method.attrs):
            for site, base in calls_of(program, dataset, method):
                if fits(base, site.scope):
                    return site.scope, site.at
    return None


def _called(scope: Scope, attr: Attr) -> bool:
    return any(site.call.func is attr for site in scope.calls)


def items_taken_outside(program: Program, dataset: Dataset, loaders: list[Loader]) -> bool:
    """Whether code outside of the dataset takes an item (``dataset[0]``), which changes the copy of the main process."""
    for scope in program.scopes():
        if scope.owner in family_of(dataset) or dataset.item_path.step_of(scope) is not None:
            continue
        bases = [sub.base for sub, _ in scope.subs]
        bases += [loop.iterable for loop in scope.loops if loop.iterable is not None]
        bases += [
            s.call.args[0] for s in scope.calls if dotted(s.call.func) in ("iter", "next") and s.call.args
        ]
        for base in bases:
            if isinstance(base, (Name, Attr)):
                if any(is_dataset(program, base, scope, dataset, loader) for loader in loaders):
                    return True
    return False
