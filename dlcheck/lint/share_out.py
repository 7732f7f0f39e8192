"""The fix that gives each worker its part of what an iterable dataset goes over."""

from __future__ import annotations

from collections.abc import Iterator

from dlcheck.facts.model import Call, Name, dotted, walk
from dlcheck.lint.fix import AddImport, Edit, Enclose, Fix, Insert, InsertInBody
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.program import Dataset
from dlcheck.program.scope import Binding, Scope
from dlcheck.program.streams import Source, sources, stream_path
from dlcheck.program.values import External

_IMPORTED = {"get_worker_info": "torch.utils.data.get_worker_info", "islice": "itertools.islice"}
_SHUFFLES = frozenset({"shuffle", "permutation", "randperm", "sample", "choices", "permuted"})


def share_out(dataset: Dataset, place: Scope) -> Fix | None:
    """Take every ``num_workers``-th element of the one thing that a stream goes over, from the worker's number on.

    ``place`` is the method that the finding is at. ``None`` where there are several such things, or where workers may each
    put it in an order of their own before it could be divided.
    """
    whole = {id(source.expr): source for source in sources(dataset) if source.kind == "whole"}
    if len(whole) != 1:
        return None
    source = next(iter(whole.values()))
    function = source.scope
    if function.module is not place.module or function.kind != "function" or not _all_in_loops(function):
        return None
    worker = next((name for name in ("worker", "worker_info") if not _bound(name, function)), None)
    if worker is None or not _free(dataset.evaluator, function):
        return None
    edit = _divide(dataset, source, worker)
    if edit is None:
        return None
    edits: list[Edit] = [
        AddImport("torch.utils.data", "get_worker_info"),
        InsertInBody(function.at, f"{worker} = get_worker_info()", "first"),
        edit,
    ]
    if isinstance(edit, Enclose):
        edits.insert(0, AddImport("itertools", "islice"))
    return Fix("give each worker a part of it", tuple(edits), safe=False)


def _divide(dataset: Dataset, source: Source, worker: str) -> Edit | None:
    shuffled = list(_shuffled(dataset))
    if isinstance(source.expr, Name):
        binding = _only_binding(source.scope, source.expr.id)
        in_place = [call for call in shuffled if _shuffles(call, source.expr.id)]
        if in_place and binding is not None and len(in_place) == len(shuffled):
            # Divided before it is shuffled: each worker shuffles in its own way.
            name = source.expr.id
            part = f"{name}[{worker}.id :: {worker}.num_workers]"
            return Insert(binding.at, f"{name} = {part} if {worker} else {name}", "after")
    if shuffled:
        return None
    start, step = f"{worker}.id if {worker} else 0", f"{worker}.num_workers if {worker} else 1"
    return Enclose(source.expr.at, "islice", (start, "None", step))


def _shuffled(dataset: Dataset) -> Iterator[Call]:
    """The calls on the way to the samples that put something in random order, which is no part of an outer whole."""
    path = stream_path(dataset)
    for step in path.steps:
        for site in step.scope.calls:
            if dotted(site.call.func).rpartition(".")[2] in _SHUFFLES:
                if not site.call.args or not path.varies(site.call.args[0], step):
                    yield site.call


def _shuffles(call: Call, name: str) -> bool:
    return bool(call.args) and isinstance(call.args[0], Name) and call.args[0].id == name


def _only_binding(function: Scope, name: str) -> Binding | None:
    """The plain assignment that gives a name its value, where there is one only, outside of branches and loops."""
    bindings = function.bindings.get(name, [])
    if len(bindings) == 1 and bindings[0].kind == "assign" and bindings[0].block is None:
        value = bindings[0].value
        if isinstance(value, Call) and dotted(value.func) in ("list", "sorted"):
            return bindings[0]
    return None


def _all_in_loops(function: Scope) -> bool:
    """Nothing is yielded beside what is gone over, such as a head of its own."""
    return all(
        item.delegates or (block is not None and any(b.kind in ("for", "while") for b in block.chain()))
        for item, block in function.yields
    )


def _bound(name: str, function: Scope) -> bool:
    return any(name in scope.bindings for scope in function.descend()) or any(
        isinstance(part, Name) and part.id == name
        for default in (p.default for p in function.params if p.default is not None)
        for part in walk(default)
    )


def _free(evaluator: Evaluator, function: Scope) -> bool:
    """What is imported for the fix stands for nothing else in the file."""
    module = function.module.scope
    return all(
        name not in function.bindings
        and (name not in module.bindings or evaluator.name(name, module, module.at) == (External(full),))
        for name, full in _IMPORTED.items()
    )
