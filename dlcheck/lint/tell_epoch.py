"""The fix that tells a distributed sampler its epoch at the start of the epoch loop."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from dlcheck.facts.model import Assign, Attr, Expr, Name, dotted
from dlcheck.lint.fix import Fix, InsertInBody
from dlcheck.program.kept import is_self
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.values import Made


def tell_epoch(program: Program, loader: Loader, sampler: Made, loops: AbstractSet[Block]) -> Fix | None:
    """Call ``set_epoch`` first in the innermost epoch loop that can name the sampler and counts the epochs.

    ``None`` where there is no such loop. Where the name may hold something else than a distributed sampler, the call asks first.
    """
    for scope, block in _innermost(program, sampler.scope, loops):
        epoch = _counter(program, scope, block)
        name = _name_in(program, scope, block, loader, sampler)
        if not epoch or name is None:
            continue
        kind = dotted(sampler.call.func)
        values = program.values(_expression(name, block), scope)
        call = f"{name}.set_epoch({epoch})"
        if not all(isinstance(v, Made) and v.call is sampler.call for v in values):
            if not kind or kind.partition(".")[0] not in scope.module.scope.bindings:
                return None
            call = f"if isinstance({name}, {kind}):\n    {call}"
        return Fix(
            f"call `{name}.set_epoch({epoch})` at the start of each epoch",
            (InsertInBody(block.node.at, call, "first"),),
            safe=True,
        )
    return None


def _innermost(program: Program, scope: Scope, loops: AbstractSet[Block]) -> list[tuple[Scope, Block]]:
    """The loops that stand in the function that makes the sampler, or in a method of its class, innermost first."""
    scopes = [scope]
    if scope.owner is not None:
        scopes += [method for method in scope.owner.all_functions if method is not scope]
    found = [(s, block) for s in scopes for block in s.blocks if block in loops and block.kind == "for"]
    return sorted(found, key=lambda pair: -len(list(pair[1].chain())))


def _counter(program: Program, scope: Scope, block: Block) -> str:
    """The name of the loop's variable, where it holds the number of the epoch."""
    target, iterable = block.node.target, block.node.iterable
    if not isinstance(target, Name):
        return ""
    counts = any(
        isinstance(v, Made) and isinstance(v.what, str) and v.what.rpartition(".")[2] in ("range", "trange")
        for v in program.values(iterable, scope)
    )
    return target.id if counts else ""


def _name_in(program: Program, scope: Scope, block: Block, loader: Loader, sampler: Made) -> str | None:
    """How the loop can name the sampler: by the variable or attribute that it is kept in, or through its loader."""
    for where, owner, through in ((sampler.scope, sampler.call, ""), (loader.scope, loader.call, ".sampler")):
        for name in _kept_in(where, owner, scope):
            if through and not loader.given("sampler"):
                continue  # it is a part of the loader's batch sampler
            values = program.values(_expression(name, block), scope)
            if any(isinstance(v, Made) and v.call is owner for v in values):
                return name + through
    return None


def _kept_in(where: Scope, call: Expr, scope: Scope) -> list[str]:
    """The names that what a call gives is assigned to, as they are seen from a scope."""
    statements = [site.statement for site in where.calls if site.call is call]
    targets = [t for s in statements if isinstance(s, Assign) and _gives(s.value, call) for t in s.targets]
    out = []
    for target in targets:
        if isinstance(target, Name) and where is scope:
            out.append(target.id)
        elif isinstance(target, Attr) and is_self(target.base, where) and where.owner is scope.owner:
            out.append(f"{scope.self_name}.{target.attr}")
    return out


def _gives(value: Expr, call: Expr) -> bool:
    """The value is the call, or a choice between it and something else."""
    parts = (value, getattr(value, "then", None), getattr(value, "orelse", None))
    return any(part is call for part in parts)


def _expression(name: str, block: Block) -> Expr:
    """A dotted name as it would stand first in a loop's body."""
    first, *attributes = name.split(".")
    line, column = block.first
    at = (line, column, line, column)
    expr: Expr = Name(first, at)
    for attribute in attributes:
        expr = Attr(expr, attribute, at)
    return expr
