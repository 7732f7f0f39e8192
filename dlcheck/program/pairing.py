"""Which workers a loader has over which dataset, where one function makes loaders for several."""

from __future__ import annotations

from collections.abc import Collection

from dlcheck.facts.model import Name, Param
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loaders import Loader, Workers, unwrap, workers_of
from dlcheck.program.scope import Scope
from dlcheck.program.values import ABSENT, Known, Made, Method, SelfOf, Unknown, Values, join


def workers_over(loader: Loader, classes: Collection[Scope]) -> Workers:
    """Whether a loader has workers where it loads from one of these classes.

    A function that is given a dataset and a number of workers may be given 0 with one dataset, and 8 with another: then only
    the calls count that give, or may give, one of the classes.
    """
    data, count = _parameter(loader, "dataset"), _parameter(loader, "num_workers")
    if data is None or count is None:
        return loader.workers
    evaluator = loader.evaluator
    counts: list[Values] = []
    for site, hidden in evaluator.callers.of(loader.scope):
        arguments = Arguments(evaluator, site.call, site.scope)
        if _may_hold(evaluator, _given(arguments, data, hidden, loader), classes):
            counts.append(_given(arguments, count, hidden, loader))
    return workers_of(join(*counts), evaluator) if counts else loader.workers


def _parameter(loader: Loader, name: str) -> tuple[int, Param] | None:
    """The parameter of the function around a loader that is handed on as an argument, with its position."""
    given = loader.given(name)
    if len(given) != 1 or loader.scope.kind != "function":
        return None
    expr, scope = given[0]
    if scope is not loader.scope or not isinstance(expr, Name) or expr.id == scope.self_name:
        return None
    if any(binding.kind != "param" for binding in scope.bindings.get(expr.id, ())):
        return None
    return next(((n, p) for n, p in enumerate(scope.params) if p.name == expr.id), None)


def _given(arguments: Arguments, parameter: tuple[int, Param], hidden: int, loader: Loader) -> Values:
    position, param = parameter
    values = arguments.get(param.name, None if param.kind == "keyword" else position - hidden)
    if ABSENT not in values:
        return values
    outside = loader.scope.parent or loader.scope
    default = loader.evaluator.values(param.default, outside) if param.default is not None else (Unknown(),)
    left_out = tuple(Known(v.value, True) if isinstance(v, Known) else v for v in default)
    return join(tuple(v for v in values if v is not ABSENT), left_out)


def _may_hold(evaluator: Evaluator, values: Values, classes: Collection[Scope]) -> bool:
    for value in values:
        for inner in unwrap(value, evaluator):
            match inner:
                case Unknown() | Method() | Made(""):
                    return True
                case Made(what, _, _, _, _) if what in classes:
                    return True
                case SelfOf(scope) if scope in classes:
                    return True
    return False
