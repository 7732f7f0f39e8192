"""Registries: objects that classes and functions of the project are entered in by a decorator, and asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcheck.facts.model import Attr, Call, Expr
from dlcheck.program.scope import Scope
from dlcheck.program.values import UNKNOWN, Made, Ref, Value, Values

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator

_ENTERING = ("register", "register_module")


def is_registry(value: Value) -> bool:
    if not isinstance(value, Made):
        return False
    name = value.what.name if isinstance(value.what, Scope) else value.what
    return name.endswith("Registry")


def entered(evaluator: Evaluator, registry: Value) -> Values:
    """What a registry may give, as far as the files read so far enter something in it: others may do so, too."""
    for name in _ENTERING:
        evaluator.callers.named(name)  # asks again where files that are read later enter more
    found = [
        Ref(scope)
        for module in evaluator.project.loaded
        for scope in (*module.scope.functions.values(), *module.scope.classes.values())
        for decorator in getattr(scope.node, "decorators", ())
        if _enters(evaluator, decorator, module.scope, registry)
    ]
    return (*dict.fromkeys(found), UNKNOWN)


def _enters(evaluator: Evaluator, decorator: Expr, scope: Scope, registry: Value) -> bool:
    func = decorator.func if isinstance(decorator, Call) else decorator
    if not isinstance(func, Attr) or func.attr not in _ENTERING:
        return False
    return registry in evaluator.values(func.base, scope)
