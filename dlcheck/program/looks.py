"""Loops that only look at some batches: they stop early, or draw pictures of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcheck.facts.model import dotted

if TYPE_CHECKING:
    from dlcheck.program.uses import Use

_DRAWS = frozenset({"imshow", "imsave", "matshow", "savefig", "save_image", "make_grid", "ToPILImage"})


def left_early(use: Use) -> bool:
    """The loop over the batches is left before its end: only some of them are wanted."""
    if use.inner is None:
        return False
    loops = ("for", "while", "comp")
    for _, block in use.scope.breaks:
        around = [b for b in block.chain() if b.kind in loops] if block is not None else []
        if around and around[0] is use.inner:
            return True
    return any(block is not None and use.inner in block.chain() for _, block in use.scope.returns)


def draws(use: Use) -> bool:
    """The loop shows or saves the batches as pictures, and does not train."""
    inside = [
        dotted(site.call.func).rpartition(".")[2]
        for site in use.scope.calls
        if use.inner is not None and site.block is not None and use.inner in site.block.chain()
    ]
    return "backward" not in inside and not _DRAWS.isdisjoint(inside)
