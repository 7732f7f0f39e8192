"""Places that run only the first time, behind a check that what they make is not there yet; or for one item of many."""

from __future__ import annotations

from dlcheck.facts.model import Attr, Call, Const, Expr, If, Name, Op, Other, Return, Sub, dotted
from dlcheck.program.scope import Block, Scope


def is_lazy(block: Block | None, scope: Scope, at: tuple[int, int, int, int]) -> bool:
    """Whether a place runs only the first time, behind a check that what it makes is not there yet; or for one item of many."""
    if block is not None:
        for around in block.chain():
            if around.kind == "if":
                test = around.node.test
                if _asks_missing(test, scope, around) or _asks_for_one_item(test, scope):
                    return True
            if around.kind in ("else", "orelse") and isinstance(around.node, If):
                if _asks_present(around.node.test, scope, around):
                    return True
            if around.kind == "except" and around.node.type is not None:
                if dotted(around.node.type).rpartition(".")[2] in (
                    "AttributeError",
                    "KeyError",
                    "IndexError",
                ):
                    return True
    # ``if self.file is not None: return self.file`` above.
    for node, where in scope.branches:
        if (
            where is None
            and (node.at[2], node.at[3]) <= (at[0], at[1])
            and _asks_present(node.test, scope, None)
        ):
            if any(isinstance(s, Return) for s in node.body):
                return True
    return False


def _asks_for_one_item(test: Expr, scope: Scope) -> bool:
    """``if index == 0:``, ``if index % 1000 == 0:`` in a method that gets the index of one item."""
    if scope.name != "__getitem__" or len(scope.params) < 2:
        return False
    match test:
        case Op("and", operands, _):
            return any(_asks_for_one_item(operand, scope) for operand in operands)
        case Op("==", (left, right), _):
            return any(_is_index(side, scope.params[1].name) for side in (left, right))
    return False


def _is_index(expr: Expr, index: str) -> bool:
    if isinstance(expr, Op) and expr.op == "%":
        expr = expr.operands[0]
    return isinstance(expr, Name) and expr.id == index


def _filled(expr: Expr, scope: Scope, block: Block | None) -> bool:
    """The thing that a check asks for is made behind the check: stored there, or by a method called there."""
    if isinstance(expr, Other) and expr.kind == "walrus":  # ``if (env := self.env) is None:``
        return _filled(expr.parts[1], scope, block)
    if isinstance(expr, Name):
        return expr.id in scope.globals or any(
            b.kind in ("assign", "unpack", "with") for b in scope.bindings.get(expr.id, ())
        )
    if isinstance(expr, Sub):
        return True
    if not isinstance(expr, Attr):
        return isinstance(expr, Call) and _is_lookup(expr)
    name = dotted(expr)
    for store in scope.stores:
        if store.attr == expr.attr and f"{dotted(store.base)}.{store.attr}" == name:
            return True
    if block is None:
        return False
    return any(
        site.block is not None
        and block in site.block.chain()
        and dotted(site.call.func).startswith(f"{scope.self_name}.")
        for site in scope.calls
    )


def _asks_missing(test: Expr, scope: Scope, block: Block | None) -> bool:
    match test:
        case Op("is" | "==", (left, Const(None, _)), _):
            return _filled(left, scope, block)
        case Op("!=", (left, right), _):  # ``if self.process != os.getpid():``, ``if self.opened != path:``
            return (isinstance(left, Attr) and _filled(left, scope, block)) or (
                isinstance(right, Attr) and _filled(right, scope, block)
            )
        case Op("not", (inner,), _):
            return _asks_present(inner, scope, block)
        case Op("not in", (_, container), _):
            return isinstance(container, (Attr, Name, Call))
        case Op("or" | "and", operands, _):
            return any(_asks_missing(operand, scope, block) for operand in operands)
    return False


def _asks_present(test: Expr, scope: Scope, block: Block | None) -> bool:
    match test:
        case Op("is not" | "!=", (left, Const(None, _)), _):
            return _filled(left, scope, block) or block is None
        case Op("in", (_, container), _):
            return isinstance(container, (Attr, Name, Call))
        case Call(func, _, _, _):
            return dotted(func) == "hasattr"
        case Op("and", operands, _):
            return any(_asks_present(operand, scope, block) for operand in operands) and not any(
                _off_by_default(operand, scope) for operand in operands
            )
        case Attr() | Other("walrus", _, _):
            return _filled(test, scope, block)
    return False


def _off_by_default(expr: Expr, scope: Scope) -> bool:
    """``self.in_memory``, where ``__init__(..., in_memory=False)`` keeps it: what it switches on mostly does not happen."""
    init = scope.owner.functions.get("__init__") if scope.owner is not None else None
    if init is None or not isinstance(expr, Attr) or dotted(expr.base) != scope.self_name:
        return False
    kept = {s.value.id for s in init.stores if s.attr == expr.attr and isinstance(s.value, Name)}
    return any(
        p.name in kept and isinstance(p.default, Const) and p.default.value is False for p in init.params
    )


def _is_lookup(call: Call) -> bool:
    name = dotted(call.func)
    return name == "getattr" or name.endswith(".get")
