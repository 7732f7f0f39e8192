"""Finds the places where loaders are built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from dlcheck.facts.model import Attr, Call, Expr, Name, dotted, walk
from dlcheck.program import names
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.hugging_face import trainer_loaders
from dlcheck.program.loaders import Loader
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import External, PartialRef, Ref


def find_loaders(evaluator: Evaluator, scopes: Iterable[Scope]) -> list[Loader]:
    """Every place in these scopes where a loader is built, in order of place."""
    scopes = list(scopes)
    found = (_loader(evaluator, site) for scope in scopes for site in scope.calls if _could_build(site))
    return [loader for loader in found if loader is not None] + [
        Loader(site, evaluator, "trainer", name, None, own, None)
        for site, name, own in trainer_loaders(evaluator, scopes)
    ]


def _could_build(site: CallSite) -> bool:
    """A cheap look before the callee is followed: only names, attributes and calls of a partial can be loaders."""
    func = site.call.func
    if isinstance(func, Attr):
        return (
            func.attr.endswith(("Loader", "Sampler", "loader")) and func.attr[0].isupper()
        ) or func.attr == "cls"
    if isinstance(func, Name):
        if "oader" in func.id or func.id.endswith("Sampler"):
            return True
        scope: Scope | None = site.scope
        while scope is not None:
            for binding in scope.bindings.get(func.id, ()):
                if binding.kind == "assign" and binding.value is not None:
                    return any("oader" in _last(part) for part in walk(binding.value))
                if binding.kind == "class":
                    return any("oader" in dotted(base) for base in binding.node.node.bases)
                if binding.kind == "import":
                    return "oader" in (binding.node.name or "")
            scope = scope.parent
    return False


def _last(expr: Expr) -> str:
    return expr.id if isinstance(expr, Name) else expr.attr if isinstance(expr, Attr) else ""


def _loader(evaluator: Evaluator, site: CallSite) -> Loader | None:
    for value in evaluator.values(site.call.func, site.scope):
        before: tuple[tuple[Call, Scope], ...] = ()
        if isinstance(value, PartialRef):
            before = value.calls
            value = value.func
        arguments = Arguments(evaluator, site.call, site.scope, before)
        match value:
            case External(name) if name in names.LOADERS:
                kind: Literal["torch", "graph"] = "graph" if name in names.GRAPH_LOADERS else "torch"
                return Loader(site, evaluator, kind, name, None, arguments, None)
            case Ref(cls, _) if cls.kind == "class" and evaluator.is_a(cls, names.LOADERS):
                graph = evaluator.is_a(cls, names.GRAPH_LOADERS)
                inner = _super_call(evaluator, cls)
                return Loader(site, evaluator, "graph" if graph else "torch", cls.name, cls, arguments, inner)
    return None


def _super_call(evaluator: Evaluator, cls: Scope) -> Arguments | None:
    """The arguments that a loader class of the project hands to ``DataLoader.__init__``."""
    for value in evaluator.lineage(cls):
        if not isinstance(value, Ref):
            continue
        init = value.scope.functions.get("__init__")
        if init is None:
            continue
        for site in init.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr == "__init__" and _names_base(func.base):
                if isinstance(func.base, Call) and any(
                    isinstance(v, Ref) and "__init__" in v.scope.functions
                    for v in evaluator.lineage(value.scope)[1:]
                ):
                    continue  # the next class of the project hands them on
                call = site.call
                args = (
                    call.args if isinstance(func.base, Call) else call.args[1:]
                )  # DataLoader.__init__(self, ...)
                # What comes in by the class's own ``**kwargs`` is read from each call of the class instead.
                own = {p.name for p in init.params if p.kind == "kwargs"}
                kept = [(k, v) for k, v in call.keywords if k is not None or dotted(v) not in own]
                call = Call(call.func, args, tuple(kept), call.at)
                return Arguments(evaluator, call, init)
    return None


def _names_base(expr: Expr) -> bool:
    return (isinstance(expr, Call) and dotted(expr.func) == "super") or "oader" in dotted(expr)
