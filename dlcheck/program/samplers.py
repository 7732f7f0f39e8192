"""Samplers that never end: a loader with one has a single epoch."""

from __future__ import annotations

from dlcheck.facts.model import Attr, Call, Name
from dlcheck.program.endless import endless_loop
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loaders import Loader
from dlcheck.program.scope import Scope
from dlcheck.program.values import Made, Ref, Value

_DEEPEST = 3


def is_endless(loader: Loader) -> bool:
    """Whether the sampler of a loader, or one that this sampler draws from, goes on for ever."""
    given = (*loader.arg("sampler"), *loader.arg("batch_sampler"))
    return any(_never_ends(loader.evaluator, value, 0) for value in given)


def _never_ends(evaluator: Evaluator, value: Value, depth: int) -> bool:
    if not isinstance(value, Made) or depth > _DEEPEST:
        return False
    if isinstance(value.what, str):
        if "nfinite" in value.what:
            return True
    elif value.what.kind == "class":
        method = evaluator.method(value.what, "__iter__")
        if method is not None and _yields_for_ever(evaluator, method):
            return True
    given = (*value.call.args, *(v for _, v in value.call.keywords))
    inner = (v for a in given if isinstance(a, (Name, Attr, Call)) for v in evaluator.values(a, value.scope))
    return any(_never_ends(evaluator, v, depth + 1) for v in inner)


def _yields_for_ever(evaluator: Evaluator, method: Scope) -> bool:
    """The method, or a generator of its own class that it goes over, yields in a loop that is never left."""
    called = (v for site in method.calls for v in evaluator.values(site.call.func, method))
    own = [v.scope for v in called if isinstance(v, Ref) and v.scope.owner in (method.owner, None)]
    yields = (block for generator in (method, *own) for _, block in generator.yields)
    return any(block is not None and endless_loop(list(block.chain())) for block in yields)
