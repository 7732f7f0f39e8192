"""How a loader's worker processes are started: forked, or begun anew with everything pickled."""

from __future__ import annotations

from typing import Literal
from weakref import WeakKeyDictionary

from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.values import Known, Values

StartMethod = Literal["fork", "spawn", "forkserver"]

_KNOWN: WeakKeyDictionary[Program, StartMethod | None] = WeakKeyDictionary()


def start_method(program: Program, loader: Loader | None = None) -> StartMethod:
    """What a loader says (``multiprocessing_context``), else what the project sets (``set_start_method``) or its settings
    say, else what Python does on Linux: fork up to 3.13, forkserver from 3.14. macOS and Windows spawn unless told otherwise.
    """
    own = _method(loader.arg("multiprocessing_context")) if loader is not None else None
    if own is not None:
        return own
    if program not in _KNOWN:
        _KNOWN[program] = _set_by_project(program)
    told = _KNOWN[program] or _method((Known(program.start_method),))
    return told or ("forkserver" if program.python >= (3, 14) else "fork")


def pickles(program: Program, loaders: list[Loader]) -> bool:
    """Some of these loaders pickle their dataset for their workers, even on Linux."""
    return any(start_method(program, loader) != "fork" for loader in loaders)


def _set_by_project(program: Program) -> StartMethod | None:
    for site in program.evaluator.callers.named("set_start_method"):
        arguments = (*site.call.args[:1], *(v for k, v in site.call.keywords if k == "method"))
        for expr in arguments:
            found = _method(program.values(expr, site.scope))
            if found is not None:
                return found
    return None


def _method(values: Values) -> StartMethod | None:
    for value in values:
        match value:
            case Known("fork" | "spawn" | "forkserver" as method):
                return method
    return None
