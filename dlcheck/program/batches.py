"""What batches are made of, as far as collate functions say."""

from __future__ import annotations

from collections.abc import Iterator

from dlcheck.facts.model import Call, Expr, Mapping, Name, Seq
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import External, Group, Made, Ref, Value

_PLAIN_BASES = frozenset({"builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol"})
_CONTAINERS = frozenset({"tuple", "list", "dict"})
_DEEPEST = 3


def holds_objects(program: Program, loader: Loader) -> bool:
    """Batches hold objects of a class of the project that has no ``pin_memory``: torch hands them on as they are."""
    return any(_is_object(program, value, 0) for value in _collated(program, loader))


def holds_graphs(program: Program, loader: Loader) -> bool:
    """Batches hold graphs of DGL, which cannot be pinned."""
    return any(
        isinstance(value, Made) and isinstance(value.what, str) and value.what.startswith("dgl.")
        for value in _collated(program, loader)
    )


def _collated(program: Program, loader: Loader) -> Iterator[Value]:
    """The parts of the batches that collate functions of the project make."""
    for function in program.functions_given(loader, "collate_fn"):
        parts = [part for expr, _ in function.returns for part in _parts(expr)]
        parts += [store.value for store in function.stores if isinstance(store.base, Name)]
        for part in parts:
            yield from program.values(part, function)


def _parts(expr: Expr) -> Iterator[Expr]:
    match expr:
        case Seq(_, items, _):
            for item in items:
                yield from _parts(item)
        case Mapping(items, _):
            for _, value in items:
                yield from _parts(value)
        case Call(Name(name, _), args, _, _) if name in _CONTAINERS:
            for argument in args:
                yield from _parts(argument)
        case _:
            yield expr


def _is_object(program: Program, value: Value, depth: int) -> bool:
    match value:
        case Group(_, items, scope, _) if depth < _DEEPEST:
            return any(
                _is_object(program, v, depth + 1) for item in items for v in program.values(item, scope)
            )
        case Made(Scope(kind="class") as cls, _, _, _, _):
            if program.evaluator.method(cls, "pin_memory") is not None:
                return False
            bases = program.evaluator.lineage(cls)[1:]
            foreign = [base for base in bases if not isinstance(base, Ref)]
            return all(isinstance(base, External) and base.name in _PLAIN_BASES for base in foreign)
    return False
