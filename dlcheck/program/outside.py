"""What the code around a dataset does with it: reads and changes its attributes, calls its methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dlcheck.facts.model import Attr, Expr, Name
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import CallSite, Scope, Store
from dlcheck.program.streams import class_of
from dlcheck.program.values import Made, Method, Ref, Value


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
