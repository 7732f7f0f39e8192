"""How a loader's worker processes are started: forked, or begun anew with everything pickled."""

from __future__ import annotations

from typing import Literal

from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.values import Known, Values

StartMethod = Literal["fork", "spawn", "forkserver"]


def start_method(program: Program, loader: Loader) -> StartMethod:
    """What a loader says (``multiprocessing_context``), else what the scripts that make or use it set
    (``set_start_method``), else what the project's settings say, else what Python does on Linux: fork up to 3.13,
    forkserver from 3.14. macOS and Windows spawn unless told otherwise.
    """
    return (
        _method(loader.arg("multiprocessing_context"))
        or _set_by_script(program, loader)
        or _method((Known(program.start_method),))
        or ("forkserver" if program.python >= (3, 14) else "fork")
    )


def forks_by_choice(loader: Loader) -> bool:
    """The loader itself says that its workers are forked."""
    return _method(loader.arg("multiprocessing_context")) == "fork"


def _set_by_script(program: Program, loader: Loader) -> StartMethod | None:
    sites = program.evaluator.callers.named("set_start_method")
    modules = (
        {loader.scope.module, *(use.scope.module for use in program.uses_of[loader])} if sites else set()
    )
    for site in sites:
        if site.scope.module in modules:
            for expr in (*site.call.args[:1], *(v for k, v in site.call.keywords if k == "method")):
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
