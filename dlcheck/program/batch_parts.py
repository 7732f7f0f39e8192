"""What an expression in a loop is of the batch: the batch or a part of it as the loader gave it, or something made from it."""

from __future__ import annotations

from enum import IntEnum

from dlcheck.facts.model import (
    At,
    Attr,
    Call,
    Comp,
    Expr,
    Lambda,
    Name,
    Seq,
    Star,
    Sub,
    dotted,
    parts_of,
    root_name,
    walk,
)
from dlcheck.program.reaching import reaching
from dlcheck.program.scope import Binding, Block, Scope

_VIEWS = frozenset(
    {"unsqueeze", "squeeze", "view", "reshape", "permute", "transpose", "t", "detach", "requires_grad_", "flatten", "items",
     "values", "keys", "__getitem__", "get", "expand", "chunk", "split", "contiguous"}
)  # fmt: skip
_NOT_PARTS = frozenset({"shape", "dtype", "device"})
_HOLDERS = frozenset({"Variable", "tuple", "list", "enumerate", "zip", "dict"})
_MOVES = frozenset({"to", "cuda"})
_NUMBERS = frozenset({"size", "dim", "numel", "item", "tolist"})
# What only graphs of DGL have, which cannot be pinned.
_OF_GRAPHS = frozenset({"ndata", "edata", "srcdata", "dstdata"})
_DEEPEST = 20


class Kind(IntEnum):
    """``PART``: the batch, a part or a view of it; ``MADE``: copied or computed from it; ``NONE``: neither, or moved already."""

    NONE = 0
    MADE = 1
    PART = 2


class BatchParts:
    """The parts of a batch in one scope: ``bound`` are the names that it is given to, by the loop, a call or a parameter.

    ``inner`` is the loop's body; without one, the batch is there from ``start`` on.
    """

    def __init__(self, scope: Scope, inner: Block | None, start: At, bound: set[str]) -> None:
        self.scope = scope
        self.inner = inner
        self.start = start
        self.bound = bound
        self._known: dict[int, Kind] = {}

    def inside(self, block: Block | None, at: At) -> bool:
        if self.inner is not None:
            return block is not None and self.inner in block.chain()
        return (at[0], at[1]) >= (self.start[0], self.start[1])

    def is_part(self, expr: Expr) -> bool:
        """A batch, a part of one, or a view of it: not a copy."""
        return self.kind(expr) is Kind.PART

    def kind(self, expr: Expr, depth: int = 0) -> Kind:
        if depth > _DEEPEST:
            return Kind.NONE
        match expr:
            case Name():
                return self._name(expr, depth)
            case Sub(base, index, _):
                kind = self.kind(base, depth + 1)
                return Kind.MADE if kind is Kind.PART and self._gathers(index, depth) else kind
            case Attr(base, attr, _):
                return Kind.NONE if attr in _NOT_PARTS else self.kind(base, depth + 1)
            case Seq(_, items, _):
                return max((self.kind(item, depth + 1) for item in items), default=Kind.NONE)
            case Call(Attr(base, attr, _), _, _, _) if attr in _MOVES or attr in _NUMBERS:
                return Kind.NONE
            case Call(Name("len", _), _, _, _):
                return Kind.NONE
            case Call(Attr(base, attr, _), _, _, _) if attr in _VIEWS:
                return self.kind(base, depth + 1)
            case Call(func, args, _, _) if args and dotted(func).rpartition(".")[2] in _HOLDERS:
                return max(self.kind(argument, depth + 1) for argument in args)
            case Lambda() | Comp():
                return Kind.NONE
        made = any(self.kind(part, depth + 1) is not Kind.NONE for part in parts_of(expr))
        return Kind.MADE if made else Kind.NONE

    def _gathers(self, index: Expr, depth: int) -> bool:
        """``features[nodes]`` with another part of the batch copies; a key of the batch, from a loop over it, does not."""
        if isinstance(index, Name):
            bindings = self.scope.bindings.get(index.id, ())
            if any(b.kind == "for" and b.block is not self.inner for b in bindings):
                return False
        return self.kind(index, depth + 1) is not Kind.NONE

    def _name(self, name: Name, depth: int) -> Kind:
        bindings = self.scope.bindings.get(name.id, ())
        if not bindings:
            return Kind.NONE
        known = self._known.get(id(name))
        if known is None:
            kept = [b for b in bindings if b.kind != "augment"]  # ``x /= 255`` changes it in place
            held = [b for b in reaching(kept, self.scope, name.at) if _before(b, name)] if kept else []
            known = max((self._binding(b, name.id, depth) for b in held), default=Kind.NONE)
            self._known[id(name)] = known
        return known

    def _binding(self, binding: Binding, name: str, depth: int) -> Kind:
        if name in self.bound and self._gives_batch(binding):
            return Kind.PART
        if binding.value is None or not self.inside(binding.block, binding.at):
            return Kind.NONE
        if binding.kind not in ("assign", "unpack", "for"):
            return Kind.NONE
        return self.kind(binding.value, depth + 1)

    def _gives_batch(self, binding: Binding) -> bool:
        """The loop over the loader, the call of ``next`` or the parameter that brings the batch."""
        if binding.kind == "param":
            return True
        if self.inner is not None:
            return binding.kind == "for" and binding.block is self.inner
        return any(part.at == self.start for part in walk(binding.value)) if binding.value else False

    def of_graph(self, expr: Expr) -> bool:
        """A graph of DGL, or a part of one: data of its nodes or edges are asked for by the same name."""
        root = root_name(expr)
        names = {root} | {root_name(v) for v in self._over(root)}
        return any(attr.attr in _OF_GRAPHS and root_name(attr.base) in names for attr, _ in self.scope.attrs)

    def _over(self, name: str) -> list[Expr]:
        """What a loop that binds the name goes over: ``[g.to(device) for g in graphs]``."""
        bindings = self.scope.bindings.get(name, ())
        return [b.value for b in bindings if b.kind == "for" and b.value is not None]


def bound_by(target: Expr) -> set[str]:
    """The names that a batch is bound to."""
    match target:
        case Name(name, _):
            return {name}
        case Seq(_, items, _):
            return {name for item in items for name in bound_by(item)}
        case Star(inner, _):
            return bound_by(inner)
    return set()


def _before(binding: Binding, name: Name) -> bool:
    """What a later turn of a loop binds is of another batch."""
    use = (name.at[0], name.at[1])
    if binding.kind in ("param", "for", "with"):
        return (binding.at[0], binding.at[1]) <= use
    return (binding.at[2], binding.at[3]) <= use
