"""Which bindings of a name may hold where it is used, by the order of statements and by branches."""

from __future__ import annotations

from dlcheck.facts.model import At
from dlcheck.program.scope import Binding, Block, Scope


def reaching(bindings: list[Binding], scope: Scope, at: At | None) -> list[Binding]:
    """The bindings of a name that may hold where it is used (``at``; ``None``: used from an inner scope)."""
    if at is None or len(bindings) == 1:
        return bindings
    use = (at[0], at[1])
    block = scope.block_at(at)
    around = list(block.chain()) if block is not None else []
    loops = [b for b in around if b.kind in ("for", "while", "comp")]
    out: list[Binding] = []
    for binding in reversed(bindings):
        statement_end = (binding.at[2], binding.at[3])
        inner = binding.kind in ("for", "with") and binding.block is not None and binding.block in around
        before = statement_end <= use or binding.kind == "param" or inner
        if not before:
            # A later binding reaches an earlier use only around a loop that holds both.
            if binding.block is not None and any(loop in binding.block.chain() for loop in loops):
                out.append(binding)
            continue
        if exclusive(binding.block, around):
            continue
        out.append(binding)
        if binding.block is None or binding.block in around:
            break
    return out or bindings


def exclusive(block: Block | None, around: list[Block]) -> bool:
    """A block that cannot have run where the blocks ``around`` are running: the other branch of one ``if``."""
    if block is None:
        return False
    for mine in block.chain():
        for other in around:
            if mine.node is other.node and {mine.kind, other.kind} == {"if", "else"}:
                return True
    return False
