"""How a loader's worker processes are started: forked, or begun anew with everything pickled."""

from __future__ import annotations

from typing import Literal

from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.project import Module
from dlcheck.program.scope import Scope
from dlcheck.program.values import Known, Made, Values

StartMethod = Literal["fork", "spawn", "forkserver"]

# Calls between the script that sets the method and the loader.
_LONGEST_WAY = 6


def start_method(program: Program, loader: Loader) -> StartMethod:
    """How a loader's workers are started: as the program says, else as Python does it on Linux: fork up to 3.13, forkserver
    from 3.14. macOS and Windows spawn unless told otherwise.
    """
    return _chosen(program, loader) or ("forkserver" if program.python >= (3, 14) else "fork")


def forks_by_choice(program: Program, loader: Loader) -> bool:
    """The program says that the workers are forked, so that it does not matter what happens where they are not."""
    return _chosen(program, loader) == "fork"


def _chosen(program: Program, loader: Loader) -> StartMethod | None:
    """What a loader says (``multiprocessing_context``), else what the scripts that make or use it set
    (``set_start_method``), else what the project's settings say.
    """
    return (
        _method(loader.arg("multiprocessing_context"), program.evaluator)
        or _set_by_script(program, loader)
        or _method((Known(program.start_method),), program.evaluator)
    )


def _set_by_script(program: Program, loader: Loader) -> StartMethod | None:
    sites = program.evaluator.callers.named("set_start_method")
    modules = _scripts(program, loader) if sites else set()
    for site in sites:
        if site.scope.module in modules:
            for expr in (*site.call.args[:1], *(v for k, v in site.call.keywords if k == "method")):
                found = _method(program.values(expr, site.scope), program.evaluator)
                if found is not None:
                    return found
    return None


def _scripts(program: Program, loader: Loader) -> set[Module]:
    """The files on the way to where a loader is made and used: those that hold it, and their callers."""
    found: dict[Scope, None] = dict.fromkeys([loader.scope, *(use.scope for use in program.uses_of[loader])])
    for _ in range(_LONGEST_WAY):
        callers = [
            site.scope
            for scope in found
            if scope.kind in ("function", "lambda")
            for site, _ in program.evaluator.callers.of(scope)
        ]
        if found.keys() >= set(callers):
            break
        found.update(dict.fromkeys(callers))
    return {scope.module for scope in found}


def _method(values: Values, evaluator: Evaluator) -> StartMethod | None:
    for value in values:
        match value:
            case Known("fork" | "spawn" | "forkserver" as method):
                return method
            case Made(what, call, scope, _, _) if (
                str(what).endswith("multiprocessing.get_context") and call.args
            ):
                return _method(evaluator.values(call.args[0], scope), evaluator)
    return None
