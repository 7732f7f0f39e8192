"""Where loaders are consumed: loops, calls of ``next``, framework hooks; and where their batches go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from dlcheck.facts.model import (
    At,
    Attr,
    Call,
    Expr,
    Name,
    Star,
    Sub,
    dotted,
    walk,
)
from dlcheck.program import names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loader_names import may_hold_loader, may_hold_named
from dlcheck.program.loaders import Loader
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.values import External, Group, Made, Method, Table, Value

UseKind = Literal["for", "comp", "next", "list", "hook"]

# Calls whose result is not the batches of what they are given.
_NOT_BATCHES = frozenset(
    f"builtins.{n}"
    for n in (
        "range",
        "len",
        "sum",
        "print",
        "isinstance",
        "hasattr",
        "id",
        "str",
        "type",
        "max",
        "min",
        "next",
    )
)
_NOT_BATCHES_OF = frozenset({"fit", "device", "to", "Adam", "SGD"})
_NOT_ITS_BATCHES = frozenset({"dataset", "sampler", "batch_size", "batch_sampler"})
# What these give are the elements of what they are given.
_GIVE_THE_SAME = frozenset(
    {"enumerate", "iter", "reversed", "list", "tuple", "sorted", "filter", "cycle", "islice", "zip"}
    | {"tqdm", "trange", "track"}
)
# Iterators of what they are given, whatever it is called.
_HOLD_ANYTHING = (
    "builtins.",
    "itertools.",
    "tqdm",
    "rich.",
    "more_itertools.",
    "fastprogress.",
    "alive_progress.",
)
# What torch's modules and optimizers are asked for.
_PARTS_OF_MODELS = frozenset(
    "param_groups parameters named_parameters modules named_modules children named_children buffers "
    "named_buffers state_dict defaults".split()
)
# Calls of frameworks that give a loader back whose batches are on the device already.
_PREPARING = frozenset({"prepare", "prepare_data_loader", "setup_dataloaders"})
# A loader wrapped more often than this is not recognised.
_DEEPEST_WRAP = 5


@dataclass(frozen=True, eq=False)
class Use:
    """One place that takes batches from a loader. ``inner``: the loop's body; ``target``: what each batch is bound to;
    ``source``: the iterator that ``next`` draws from.
    """

    kind: UseKind
    loaders: tuple[Loader, ...]
    scope: Scope
    block: Block | None
    inner: Block | None
    target: Expr | None
    at: At
    skips_first: bool = False
    source: Expr | None = None


@dataclass(eq=False)
class Consumption:
    """Everything that is known of how the program consumes its loaders."""

    evaluator: Evaluator
    loaders: tuple[Loader, ...]
    uses: list[Use] = field(default_factory=list)
    # Loaders that Accelerate or Fabric has taken over: they move the batches.
    prepared: set[Loader] = field(default_factory=set)
    _by_call: dict[int, list[Loader]] = field(default_factory=dict)
    # By the identity of a value, which is kept along with the answer.
    _given: dict[tuple[int, int], tuple[Value, tuple[Loader, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for loader in self.loaders:
            self._by_call.setdefault(id(loader.call), []).append(loader)

    # -- which loaders ----------------------------------------------------------------------------------------------

    def loaders_in(self, expr: Expr, scope: Scope) -> tuple[Loader, ...]:
        """The loaders whose batches an expression gives when it is iterated."""
        values = self.evaluator.values(expr, scope)
        return tuple(dict.fromkeys(loader for value in values for loader in self._given_by(value, 0)))

    def holds_loader(self, expr: Expr, scope: Scope) -> bool:
        """Whether an expression is a loader, or a container that holds one."""
        return bool(self.loaders_in(expr, scope))

    def _given_by(self, value: Value, depth: int) -> tuple[Loader, ...]:
        """The loaders that a value is, wraps or holds."""
        key = (id(value), depth)
        known = self._given.get(key)
        if known is None:
            self._given[key] = (value, ())
            inner = self._parts(value) if depth <= _DEEPEST_WRAP else ()
            found: dict[Loader, None] = {}
            for part in inner:
                if isinstance(part, Loader):
                    found[part] = None
                else:
                    found.update(dict.fromkeys(self._given_by(part, depth + 1)))
            known = self._given[key] = (value, tuple(found))
        return known[1]

    def _parts(self, value: Value) -> Iterator[Loader | Value]:
        """The loaders that a value is, or else the values that it was made from."""
        match value:
            case Made(what, call, scope, _, receiver):
                if id(call) in self._by_call:
                    yield from self._by_call[id(call)]
                    return
                if isinstance(what, str) and (
                    what in _NOT_BATCHES or what.rpartition(".")[2] in _NOT_BATCHES_OF
                ):
                    return
                anything = isinstance(what, str) and what.startswith(_HOLD_ANYTHING)
                for argument in (*call.args, *(v for _, v in call.keywords)):
                    if isinstance(argument, (Name, Attr, Call, Sub, Star)) and (
                        anything or may_hold_loader(argument)
                    ):
                        yield from self.evaluator.values(argument, scope)
                if receiver is not None and _drawn_from(call, "") is None:
                    yield receiver
            case Group(_, items, scope, _):
                for item in items[:20]:
                    if isinstance(item, (Name, Attr, Call, Sub)):
                        yield from self.evaluator.values(item, scope)
            case Table(entries, _, loose):
                named = (e for key, group in entries.items() for e in group if may_hold_named(key, e.expr))
                for entry in (*loose, *named):
                    if isinstance(entry.expr, (Name, Attr, Call, Sub)):
                        yield from self.evaluator.values(entry.expr, entry.scope)
            case Method(receiver, attr) if attr not in _NOT_ITS_BATCHES:
                yield receiver

    # -- finding the uses -------------------------------------------------------------------------------------------

    def find(self, scopes: list[Scope]) -> None:
        """Collect the uses in these scopes."""
        for scope in scopes:
            for loop in scope.loops:
                if loop.iterable is None or _goes_over_parts(loop.iterable):
                    continue
                loaders = self.loaders_in(loop.iterable, scope)
                if loaders and not self._iterates_container(loop.iterable, scope):
                    first = self._counts(loop.iterable, scope)
                    kind: UseKind = "for" if loop.kind == "for" else "comp"
                    self.uses.append(
                        Use(kind, loaders, scope, loop.block, loop.inner, loop.target, loop.at, first)
                    )
            for site in scope.calls:
                name = dotted(site.call.func)
                drawn = _drawn_from(site.call, name)
                if drawn is not None:
                    loaders = self.loaders_in(drawn, scope)
                    if loaders and not self._iterates_container(drawn, scope):
                        target = _target_of(site.statement, site.call)
                        kind = "list" if name == "list" else "next"
                        self.uses.append(
                            Use(kind, loaders, scope, site.block, None, target, site.at, source=drawn)
                        )
                elif name.rpartition(".")[2] in ("fit", "validate", "test", "predict"):
                    self._framework(site.call, scope, site.block)
                elif self._prepares(site.call, scope):
                    for argument in site.call.args:
                        self.prepared.update(self.loaders_in(argument, scope))
        for loader in self.loaders:
            if self._hook_of(loader) is not None:
                self.uses.append(Use("hook", (loader,), loader.scope, None, None, None, loader.at))

    def _framework(self, call: Call, scope: Scope, block: Block | None) -> None:
        """``Trainer.fit(model, loader)`` of Lightning."""
        if not isinstance(call.func, Attr):
            return
        receivers = self.evaluator.values(call.func.base, scope)
        if not any(
            isinstance(v, Made) and isinstance(v.what, str) and v.what.endswith("Trainer") for v in receivers
        ):
            return
        for argument in (*call.args, *(v for _, v in call.keywords)):
            loaders = self.loaders_in(argument, scope)
            if loaders:
                self.uses.append(Use("hook", loaders, scope, block, None, None, call.at))

    def _prepares(self, call: Call, scope: Scope) -> bool:
        """``accelerator.prepare(model, loader)``, ``fabric.setup_dataloaders(loader)``."""
        func = call.func
        if not isinstance(func, Attr) or func.attr not in _PREPARING:
            return False
        if func.attr != "prepare" or "accelerat" in dotted(func.base).lower():
            return True
        receivers = self.evaluator.values(func.base, scope)
        return any(isinstance(v, Made) and v.what == "accelerate.Accelerator" for v in receivers)

    def _hook_of(self, loader: Loader) -> str | None:
        """The Lightning hook that a loader is built in."""
        return lightning_hook(self.evaluator, loader.scope)

    def _iterates_container(self, expr: Expr, scope: Scope, depth: int = 0) -> bool:
        """``for loader in [a, b]`` goes over loaders, not over batches."""
        values = self.evaluator.values(expr, scope)
        if depth > _DEEPEST_WRAP or any(isinstance(v, Made) and id(v.call) in self._by_call for v in values):
            return False
        for value in values:
            if isinstance(value, (Group, Table)):
                return True
            if isinstance(value, Made) and isinstance(value.what, str):
                if value.what.rpartition(".")[2] in _GIVE_THE_SAME:
                    given = [a for a in value.call.args if not isinstance(a, Star)]
                    holders = [a for a in given if self.loaders_in(a, value.scope)]
                    return bool(holders) and all(
                        self._iterates_container(a, value.scope, depth + 1) for a in holders
                    )
            if isinstance(value, Made) and isinstance(value.receiver, Table):
                return True
        return False

    def _counts(self, expr: Expr, scope: Scope) -> bool:
        return any(
            isinstance(v, Made) and v.what == "builtins.enumerate" for v in self.evaluator.values(expr, scope)
        )

    # -- how often --------------------------------------------------------------------------------------------------

    def epoch_loops(self, use: Use, loader: Loader, *, sure: bool = False) -> frozenset[Block]:
        """The loops that consume one and the same loader again: around the use, but not around the building.

        ``sure``: leave out the loops that may build it anew now and then (behind a condition) as well.
        """
        around: set[Block] = set()
        for scope, block in self._starts(use):
            around |= self._loops_for(scope, block, loader, 0, set())
        return frozenset(around) - self._building_loops(loader.scope, loader.site.block, sure, 0, set())

    def _starts(self, use: Use) -> list[tuple[Scope, Block | None]]:
        """Where a pass over the loader begins: at the loop itself, but for ``next(it)`` where ``it = iter(loader)`` stands,
        or where a generator or a prefetcher of the project is made. What these begin inside is a use of its own.
        """
        if use.kind != "next" or use.source is None:
            return [(use.scope, use.block)]
        begun: list[tuple[Scope, Block | None]] = []
        for value in self.evaluator.values(use.source, use.scope):
            if isinstance(value, Made) and id(value.call) not in self._by_call:
                if value.what == "builtins.iter" or isinstance(value.what, Scope):
                    begun += [(value.scope, s.block) for s in value.scope.calls if s.call is value.call]
        return begun or [(use.scope, use.block)]

    def _building_loops(
        self, scope: Scope, block: Block | None, conditional: bool, depth: int, seen: set[tuple[int, int]]
    ) -> set[Block]:
        """The loops that run a place in every turn; with ``conditional``, also those that may."""
        out: set[Block] = set()
        if (id(scope), id(block)) in seen or depth > 8:
            return out
        seen.add((id(scope), id(block)))
        for around in block.chain() if block is not None else ():
            if around.kind in ("if", "else", "except") and not conditional:
                return out
            if around.kind in ("for", "while"):
                out.add(around)
        if scope.kind in ("function", "lambda"):
            for site, _ in self.evaluator.callers.of(scope):
                out |= self._building_loops(site.scope, site.block, conditional, depth + 1, seen)
        return out

    def _loops_for(
        self, scope: Scope, block: Block | None, loader: Loader, depth: int, seen: set[tuple[int, int]]
    ) -> set[Block]:
        """The loops that run a place again and again, those of the callers included; where some callers hand over the
        loader, the others are not followed."""
        out: set[Block] = set()
        if (id(scope), id(block)) in seen or depth > 8:
            return out
        seen.add((id(scope), id(block)))
        if block is not None:
            out |= {b for b in block.chain() if b.kind in ("for", "while")}
        if scope.kind not in ("function", "lambda"):
            return out
        callers = [site for site, _ in self.evaluator.callers.of(scope)]
        handing = [site for site in callers if self._hands_over(site, loader)]
        for site in handing or callers:
            out |= self._loops_for(site.scope, site.block, loader, depth + 1, seen)
        return out

    def _hands_over(self, site: CallSite, loader: Loader) -> bool:
        arguments = (*site.call.args, *(value for _, value in site.call.keywords))
        return any(
            loader in self.loaders_in(argument, site.scope)
            for argument in arguments
            if isinstance(argument, (Name, Attr, Sub, Call))
        )


def lightning_hook(evaluator: Evaluator, scope: Scope) -> str | None:
    """``train`` or ``eval`` where a function is a data-loader hook of a Lightning module or data module."""
    owner, name = (
        scope.owner,
        scope.name.removeprefix("_"),
    )  # some assign ``self.train_dataloader = self._train_dataloader``
    if owner is None or name not in names.LIGHTNING_HOOKS:
        return None
    for value in evaluator.lineage(owner):
        if isinstance(value, External) and value.name.split(".")[0] in names.LIGHTNING_PACKAGES:
            return names.LIGHTNING_HOOKS[name]
    return None


def _goes_over_parts(expr: Expr) -> bool:
    """``for name, loader in loaders.items()``, ``for i in range(9)``: whatever this gives, it is no batches."""
    match expr:
        case Attr(_, attr, _) | Call(Attr(_, attr, _), _, _, _) if attr in _PARTS_OF_MODELS:
            return True
        case Call(Attr(_, attr, _), _, _, _):
            return attr in ("items", "keys", "values", *_NOT_BATCHES_OF)
        case Call(Name(name, _), _, _, _):
            return f"builtins.{name}" in _NOT_BATCHES
    return False


def _drawn_from(call: Call, name: str) -> Expr | None:
    """What ``next(x)``, ``list(x)``, ``x.__next__()`` and ``x.next()``, as older code has it, take batches from."""
    if name in ("next", "list"):
        return call.args[0] if call.args else None
    if isinstance(call.func, Attr) and call.func.attr in ("next", "__next__") and not call.args:
        return call.func.base
    return None


def _target_of(statement: object, call: Call) -> Expr | None:
    """What ``batch = next(it)`` binds."""
    value = getattr(statement, "value", None)
    targets = getattr(statement, "targets", ())
    if targets and value is not None and any(e is call for e in walk(value)):
        return targets[0]  # type: ignore[no-any-return]
    return None
