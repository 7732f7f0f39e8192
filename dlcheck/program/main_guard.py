"""``if __name__ == "__main__":``: what stands below it runs in the process of the script alone."""

from __future__ import annotations

from dlcheck.facts.model import Const, Expr, Name, Op
from dlcheck.program.scope import Block


def guarded(block: Block | None) -> bool:
    """A place below a main guard, or below one that names something else: that runs in no process at all."""
    around = block.chain() if block is not None else ()
    return any(b.kind == "if" and _asks_for_main(b.node.test) for b in around)


def asks_for_other(test: Expr) -> bool:
    """``__name__ != "__main__"``."""
    return isinstance(test, Op) and test.op == "!=" and _asks_for_main(Op("==", test.operands, test.at))


def _asks_for_main(test: Expr) -> bool:
    match test:
        case Op("==", operands, _):
            named = any(isinstance(o, Name) and o.id == "__name__" for o in operands)
            return named and any(isinstance(o, Const) for o in operands)
        case Op("and", operands, _):
            return any(map(_asks_for_main, operands))
    return False
