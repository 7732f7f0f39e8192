"""What a dataset keeps from its set-up for its items: attributes stored by ``__init__``, read again in the item path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dlcheck.facts.model import At, Attr, Call, Const, Expr, Name, Op, walk
from dlcheck.program.paths import Path, setup_path
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.steps import Step
from dlcheck.program.values import Group, Made, Ref, Table, Values, join

_GROWS = frozenset({"append", "add", "appendleft"})


@dataclass(frozen=True, eq=False)
class Kept:
    """One value that the set-up of a class stores in ``self.attr``, or in a container of that name.

    ``cls`` is the dataset, or the class of a helper that its item path uses (a transform, a reader).
    """

    dataset: Dataset
    cls: Scope
    attr: str
    value: Expr
    scope: Scope
    block: Block | None
    at: At

    @cached_property
    def values(self) -> Values:
        """What it may be; the elements, where it is a container."""
        return flat(self.dataset, self.dataset.evaluator.values(self.value, self.scope))

    @cached_property
    def reads(self) -> tuple[tuple[Scope, At], ...]:
        """The places of the item path that use it."""
        return tuple(
            (step.scope, attr.at)
            for step in self._steps
            for attr, _ in step.scope.attrs
            if attr.attr == self.attr and is_self(attr.base, step.scope)
        )

    @cached_property
    def remade(self) -> bool:
        """The item path stores it anew (once per worker, or for every item), so the one of the set-up is not used."""
        return any(
            store.attr == self.attr and is_self(store.base, step.scope) and not store.augmented
            for step in self._steps
            for store in step.scope.stores
        )

    @cached_property
    def made_by_items_too(self) -> bool:
        """The items call the same code that stores it where it is missing: once the set-up did, they find it there."""
        stores = [
            (step.scope, store)
            for step in self._steps
            for store in step.scope.stores
            if store.attr == self.attr and is_self(store.base, step.scope)
        ]
        return _made_if_missing(self.scope, self.block, self.attr) and all(
            scope is self.scope and store.at == self.at for scope, store in stores
        )

    @cached_property
    def pickles_itself(self) -> bool:
        """The class says itself how it is pickled."""
        return any(
            self.dataset.evaluator.method(self.cls, name) is not None
            for name in ("__getstate__", "__reduce__", "__reduce_ex__")
        )

    @cached_property
    def _steps(self) -> list[Step]:
        family = {v.scope for v in self.dataset.evaluator.lineage(self.cls) if isinstance(v, Ref)}
        return [step for step in self.dataset.item_path.steps if step.scope.owner in family]


def kept_from_setup(dataset: Dataset) -> tuple[Kept, ...]:
    """What the set-up of a dataset, and of the helpers that its items use, stores on ``self``."""
    if dataset.kept is None:
        dataset.kept = tuple(_gather(dataset))
    return dataset.kept


def _gather(dataset: Dataset) -> Iterator[Kept]:
    for cls in _classes(dataset):
        for step in setup_steps(dataset, cls):
            yield from _stored(dataset, cls, step.scope)


def _classes(dataset: Dataset) -> list[Scope]:
    """The dataset's class, and those of the helpers that were made before the items are loaded."""
    owners = dict.fromkeys([dataset.cls])
    in_items = {step.scope for step in dataset.item_path.steps}
    family = {v.scope for v in dataset.evaluator.lineage(dataset.cls) if isinstance(v, Ref)}
    for step in dataset.item_path.steps:
        owner = step.scope.owner
        if owner is not None and owner not in family:
            init = dataset.evaluator.method(owner, "__init__")
            if init is not None and init not in in_items:
                owners[owner] = None
    return list(owners)


def setup_steps(dataset: Dataset, cls: Scope) -> list[Step]:
    """The functions that set up an instance of a class, those of its base classes included."""
    steps: dict[Scope, Step] = {}
    for value in dataset.evaluator.lineage(cls):
        if isinstance(value, Ref) and "__init__" in value.scope.functions:
            path: Path = (
                dataset.setup_path
                if value.scope is dataset.cls
                else setup_path(dataset.evaluator, value.scope)
            )
            for step in path.steps:
                steps.setdefault(step.scope, step)
    return list(steps.values())


def _stored(dataset: Dataset, cls: Scope, scope: Scope) -> Iterator[Kept]:
    for store in scope.stores:
        if store.attr is not None and store.element is None and is_self(store.base, scope):
            yield Kept(dataset, cls, store.attr, store.value, scope, store.block, store.at)
        elif store.attr is None and isinstance(store.base, Attr) and is_self(store.base.base, scope):
            yield Kept(dataset, cls, store.base.attr, store.value, scope, store.block, store.at)
    for site in scope.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.attr in _GROWS and isinstance(func.base, Attr):
            if is_self(func.base.base, scope) and len(site.call.args) == 1:
                yield Kept(dataset, cls, func.base.attr, site.call.args[0], scope, site.block, site.at)


def flat(dataset: Dataset, values: Values) -> Values:
    """Values with the elements of lists and dicts in the place of these."""
    out: list[Values] = []
    for value in values:
        if isinstance(value, Group):
            out += [dataset.evaluator.values(item, value.scope) for item in value.items[:20]]
        elif isinstance(value, Table):
            entries = (*value.loose, *(e for group in value.entries.values() for e in group))
            out += [dataset.evaluator.values(e.expr, e.scope) for e in entries[:20]]
        else:
            out.append((value,))
    return join(*out)


def is_self(expr: Expr, scope: Scope) -> bool:
    """The first parameter of a method, as it stands in that method."""
    return isinstance(expr, Name) and scope.self_name is not None and expr.id == scope.self_name


def _made_if_missing(scope: Scope, block: Block | None, attr: str) -> bool:
    """The place stands behind ``if self.attr is None:`` or ``if not hasattr(self, "attr"):``."""
    for around in block.chain() if block is not None else ():
        match around.node.test if around.kind == "if" else None:
            case Op("is" | "==", (Attr(base, name, _), Const(None, _)), _):
                if name == attr and is_self(base, scope):
                    return True
            case Op("not", (Call(Name("hasattr", _), (base, Const(name, _)), _, _),), _):
                if name == attr and is_self(base, scope):
                    return True
    return False


def used_in_worker_init(program: Program, kept: Kept) -> bool:
    """A ``worker_init_fn`` of the dataset's loaders touches the attribute, itself or by a method of the dataset."""
    for loader in kept.dataset.loaders:
        for function in program.functions_given(loader, "worker_init_fn"):
            for step in program.function_path(function).steps:
                if _touches(step.scope, kept.attr):
                    return True
                for site in step.scope.calls:
                    if isinstance(site.call.func, Attr):
                        method = kept.dataset.evaluator.method(kept.cls, site.call.func.attr)
                        if method is not None and _touches(method, kept.attr):
                            return True
    return False


def _touches(scope: Scope, name: str) -> bool:
    return any(store.attr == name for store in scope.stores) or any(a.attr == name for a, _ in scope.attrs)


def maker(values: Values) -> Iterator[tuple[str, Made]]:
    """The calls of other packages' callables among the values, each with the full name of what it calls."""
    for value in values:
        if isinstance(value, Made) and isinstance(value.what, str) and value.what:
            yield value.what, value


def draws(kept: Kept) -> list[tuple[Scope, At]]:
    """The places that use the generator, checks whether there is one (``if self.rng is None``) left out."""
    return [
        (scope, at)
        for scope, at in kept.reads
        if not any(
            _spans(test.at, at) and not any(isinstance(part, Call) for part in walk(test))
            for test, _ in scope.tests
        )
    ]


def _spans(outer: At, inner: At) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]
