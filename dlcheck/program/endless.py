"""Loops that never end."""

from __future__ import annotations

from dlcheck.facts.model import Const, For, If, Return, Simple, Stmt, Try, While, With
from dlcheck.program.scope import Block


def endless_loop(loops: list[Block]) -> Block | None:
    """The one of the loops around a yield that is ``while True`` and is never left."""
    for loop in loops:
        if loop.kind == "while" and isinstance(loop.node.test, Const) and loop.node.test.value:
            if not _leaves(loop.node.body, False):
                return loop
    return None


def _leaves(body: tuple[Stmt, ...], nested: bool) -> bool:
    """Statements that leave the loop that they stand in: ``return``, or a ``break`` that is no inner loop's."""
    for statement in body:
        match statement:
            case Return():
                return True
            case Simple("break", _, _, _):
                if not nested:
                    return True
            case If(_, then, orelse, _):
                if _leaves(then, nested) or _leaves(orelse, nested):
                    return True
            case For(_, _, inner, orelse, _) | While(_, inner, orelse, _):
                if _leaves(inner, True) or _leaves(orelse, nested):
                    return True
            case With(_, inner, _):
                if _leaves(inner, nested):
                    return True
            case Try(inner, handlers, orelse, final, _):
                parts = (inner, *(h.body for h in handlers), orelse, final)
                if any(_leaves(part, nested) for part in parts):
                    return True
    return False
