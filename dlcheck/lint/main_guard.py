"""The fix that puts the end of a script under ``if __name__ == "__main__":``."""

from __future__ import annotations

from dlcheck.facts.model import At, Define, DefineClass, For, Import, Stmt, Try, While, With, dotted
from dlcheck.facts.model import If as IfStmt
from dlcheck.lint.fix import Fix, Guard
from dlcheck.program.in_workers import worker_paths
from dlcheck.program.program import Program
from dlcheck.program.project import Module
from dlcheck.program.scope import Scope


def under_main_guard(program: Program, module: Module, at: At) -> Fix | None:
    """Guard the statements of a module from the one at ``at``, or from as far above it as can be, to its end.

    Functions and classes stay above the guard, where workers find them, and so does what they use of the module in a worker.
    ``None`` where that is not possible or not enough, or where other modules import this one and may use what would be
    guarded.
    """
    body = module.facts.body
    first = next((n for n, statement in enumerate(body) if statement.at[2:] > at[:2]), len(body))
    above = [n for n, s in enumerate(body) if _defines(s) or (n < first and isinstance(s, Import))]
    start = max(above, default=-1) + 1
    if first < start or first == len(body) or program.is_imported(module):
        return None
    needed = _used_in_workers(program, module)
    for name, bindings in module.scope.bindings.items():
        if name in needed:
            last = max(binding.at[:2] for binding in bindings)
            start = max(start, next((n + 1 for n, s in enumerate(body) if s.at[2:] > last), start))
    if first < start or _sets_start_method(module, body[start].at):
        return None
    return Fix('put it under `if __name__ == "__main__":`', (Guard(body[start].at, body[-1].at),), safe=False)


def _defines(statement: Stmt) -> bool:
    """A definition, alone or inside a compound statement: workers look for it at module level."""
    match statement:
        case Define() | DefineClass():
            return True
        case IfStmt(_, body, orelse, _) | For(_, _, body, orelse, _) | While(_, body, orelse, _):
            return any(map(_defines, (*body, *orelse)))
        case With(_, body, _):
            return any(map(_defines, body))
        case Try(body, handlers, orelse, final, _):
            return any(map(_defines, (*body, *orelse, *final, *(s for h in handlers for s in h.body))))
    return False


def _sets_start_method(module: Module, before: At) -> bool:
    """A call above the guard that workers would repeat, and that fails the second time."""
    return any(
        dotted(site.call.func).rpartition(".")[2] == "set_start_method" and site.at < before
        for site in module.scope.calls
    )


def _used_in_workers(program: Program, module: Module) -> set[str]:
    """The names that functions of the module use when they run in workers."""
    scopes: set[Scope] = set()
    for running in worker_paths(program):
        scopes |= {step.scope for step in running.path.steps if step.scope.module is module}
    return {name.id for scope in scopes for inner in scope.descend() for name, _ in inner.names}
