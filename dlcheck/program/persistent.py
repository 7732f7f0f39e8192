"""Loaders whose workers live on between epochs, and places that run while they do."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Literal

from dlcheck.facts.model import Op, dotted
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.values import Known


def persists(loader: Loader) -> Literal["high", "medium", "low"] | None:
    """How sure it is that the loader has workers and that they persist; ``None`` where nothing says so.

    ``persistent_workers=num_workers > 0`` counts: it persists wherever there are workers.
    """
    if any(isinstance(v, Known) and v.value is True for v in loader.arg("persistent_workers")):
        return "high" if loader.workers == "some" else "medium"
    for expr, _ in loader.given("persistent_workers"):
        if isinstance(expr, Op) and any("worker" in dotted(part).lower() for part in expr.operands):
            return "high" if loader.workers == "some" else "low"
    return None


def runs_in(
    program: Program, scope: Scope, block: Block | None, loops: AbstractSet[Block], depth: int = 0
) -> bool:
    """A place runs in one of the loops, itself or in a function that they call."""
    if block is not None and loops & set(block.chain()):
        return True
    if scope.kind != "function" or depth > 2:
        return False
    callers = program.evaluator.callers.of(scope)
    return any(runs_in(program, site.scope, site.block, loops, depth + 1) for site, _ in callers)
