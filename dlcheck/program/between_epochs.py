"""What the main process does to a dataset between epochs."""

from __future__ import annotations

from dlcheck.facts.model import Attr, Expr, Name, Sub
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.values import Made, Method, Ref


def changed_between_epochs(program: Program, loader: Loader) -> bool:
    """The main process changes the dataset between epochs: new workers are how the change reaches them."""
    loops = {loop for use in program.uses_of[loader] for loop in program.consumption.epoch_loops(use, loader)}
    if not loops:
        return False
    # Where the dataset is not known, it may be any of the project's.
    classes = loader.dataset_classes or tuple(dataset.cls for dataset in program.datasets)
    changing = {name for cls in classes for name in _changing(program, cls)}
    for scope in program.scopes():
        for store in scope.stores:
            if (
                store.attr is not None
                and isinstance(store.base, (Name, Attr))
                and _inside(store.block, loops)
            ):
                if _is_dataset(program, store.base, scope, loader):
                    return True
        for site in scope.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in changing and _inside(site.block, loops):
                if _is_dataset(program, func.base, scope, loader):
                    return True
    return False


def _changing(program: Program, cls: Scope) -> set[str]:
    """The methods of a class that store something on it, those that make items left out."""
    lineage = [v.scope for v in program.evaluator.lineage(cls) if isinstance(v, Ref)]
    methods = {name: method for inner in reversed(lineage) for name, method in inner.functions.items()}
    return {
        name
        for name, method in methods.items()
        if name not in ("__getitem__", "__len__")
        and any(_root(store.base) == method.self_name for store in method.stores)
    }


def _inside(block: Block | None, loops: set[Block]) -> bool:
    return block is not None and bool(loops & set(block.chain()))


def _is_dataset(program: Program, expr: Expr, scope: Scope, loader: Loader) -> bool:
    """An expression is a dataset that the loader loads from: itself, or ``loader.dataset``."""
    calls = {id(d.call) for d in loader.datasets if isinstance(d, Made)}
    for value in program.values(expr, scope):
        match value:
            case Made(_, call, _, _, _) if id(call) in calls:
                return True
            case Method(Made(_, call, _, _, _), "dataset") if call is loader.call:
                return True
    return False


def _root(expr: Expr) -> str:
    """``self`` of ``self.items[0][1]``."""
    while isinstance(expr, (Attr, Sub)):
        expr = expr.base
    return expr.id if isinstance(expr, Name) else ""
