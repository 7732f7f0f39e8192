"""The fix that makes a function of the module of a lambda, which can be pickled by its name."""

from __future__ import annotations

import builtins
import keyword

from dlcheck.facts.model import Const
from dlcheck.lint.fix import Fix, Hoist
from dlcheck.program.main_guard import guarded
from dlcheck.program.project import Module
from dlcheck.program.scope import Scope


def name_lambda(function: Scope, name: str, taken: dict[Module, set[str]]) -> Fix | None:
    """Give a lambda a name of its own in its module. ``taken`` holds the names that other fixes give there, and is added to.

    ``None`` where the lambda uses names that module level does not have: those of a function around it, or below the guard.
    """
    if not all(param.default is None or isinstance(param.default, Const) for param in function.params):
        return None
    if not all(
        _is_global(name.id, scope, function) for scope in function.descend() for name, _ in scope.names
    ):
        return None
    module = function.module
    known = taken.setdefault(module, _names(module))
    chosen, number = name, 2
    while chosen in known or keyword.iskeyword(chosen) or hasattr(builtins, chosen):
        chosen, number = f"{name}_{number}", number + 1
    known.add(chosen)
    return Fix(f"make it the function `{chosen}`", (Hoist(function.node.at, chosen),), safe=True)


def _is_global(name: str, scope: Scope, function: Scope) -> bool:
    """A name that is bound in the lambda itself, or at module level where every process runs it, or is a built-in."""
    owner: Scope | None = scope
    inside = True
    while owner is not None:
        if name in owner.bindings and (inside or owner.kind != "class"):
            if inside:
                return True
            return owner.kind == "module" and not all(guarded(b.block) for b in owner.bindings[name])
        inside = inside and owner is not function
        owner = owner.parent
    return hasattr(builtins, name)


def _names(module: Module) -> set[str]:
    """Every name that the module uses or binds anywhere."""
    out: set[str] = set()
    for scope in module.scopes:
        out |= {name.id for name, _ in scope.names} | set(scope.bindings)
    return out
