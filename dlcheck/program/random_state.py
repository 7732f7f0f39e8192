"""Random number generators and seeds: what makes them, what seeds them, and what a seed is computed from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from dlcheck.facts.model import Attr, Call, Cond, Const, Expr, Name, Op, Seq, dotted, walk
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.items import argument
from dlcheck.program.scope import Binding, Block, Scope
from dlcheck.program.values import Made, Value

GENERATORS = frozenset(
    {
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.mtrand.RandomState",
        "numpy.random.Generator",
        "random.Random",
        "torch.Generator",
        "torch.Generator.manual_seed",
    }
)
SEEDERS = frozenset(
    {
        "numpy.random.seed",
        "random.seed",
        "torch.manual_seed",
        "torch.random.manual_seed",
    }
)
_INITIAL_SEEDS = frozenset({"torch.initial_seed", "torch.random.initial_seed"})
RESEEDS = frozenset({"seed", "manual_seed", "set_state", "setstate"})

# What a seed is computed from: a number that stands there, a setting of the program, the worker's number, or
# anything else (the worker's own seed, the time, an epoch), which may well differ.
Source = Literal["constant", "setting", "worker", "other"]

_SAME = frozenset(
    {"builtins.int", "builtins.abs", "builtins.hash", "builtins.str", "builtins.max", "builtins.min"}
)
_MOVES = ("epoch", "step", "iter", "time", "pid", "index", "idx", "state", "count")


def seed_sources(
    expr: Expr, scope: Scope, evaluator: Evaluator, worker: str = "", depth: int = 0
) -> frozenset[Source]:
    """What a seed is computed from. ``worker`` names the parameter that holds the worker's number."""
    if depth > 8:
        return frozenset({"other"})

    def inside(*parts: Expr) -> frozenset[Source]:
        return frozenset().union(*(seed_sources(p, scope, evaluator, worker, depth + 1) for p in parts))

    match expr:
        case Const(None, _):
            return frozenset({"other"})  # seeds from the system
        case Const():
            return frozenset({"constant"})
        case Name(name, _):
            return _of_name(name, scope, evaluator, worker, depth)
        case Attr(base, attr, _):
            if any(_is_worker_info(value) for value in evaluator.values(base, scope)):
                return frozenset({"worker"} if attr == "id" else {"other"})
            text = dotted(expr).lower()
            if not text or any(word in text for word in _MOVES) or "worker_info" in text:
                return frozenset({"worker"} if attr == "id" and "worker" in text else {"other"})
            return frozenset({"setting"})
        case Op(_, operands, _) | Seq(_, operands, _):
            return inside(*operands)
        case Cond(_, then, orelse, _):
            return inside(then, orelse)
        case Call(_, args, _, _) if args and set(callee_names(evaluator, expr, scope)) & _SAME:
            return inside(*args)
    return frozenset({"other"})


def _is_worker_info(value: Value) -> bool:
    return isinstance(value, Made) and value.what in (
        "torch.utils.data.get_worker_info",
        "torch.utils.data._utils.worker.get_worker_info",
    )


def is_worker_seed(expr: Expr, scope: Scope, evaluator: Evaluator, depth: int = 0) -> bool:
    """The worker's own seed, which stays the same for an epoch: ``torch.initial_seed() % 2**32``, ``get_worker_info().seed``."""
    if depth > 4:
        return False
    match expr:
        case Op("%", (left, _), _):
            return is_worker_seed(left, scope, evaluator, depth + 1)
        case Call(_, args, _, _):
            called = callee_names(evaluator, expr, scope)
            if any(name in _INITIAL_SEEDS for name in called):
                return True
            whole = "builtins.int" in called and len(args) == 1
            return whole and is_worker_seed(args[0], scope, evaluator, depth + 1)
        case Attr(base, "seed", _):
            return any(_is_worker_info(value) for value in evaluator.values(base, scope))
        case Name(name, _) if len(scope.bindings.get(name, ())) == 1:
            binding = scope.bindings[name][0]
            return (
                binding.kind == "assign"
                and binding.value is not None
                and is_worker_seed(binding.value, scope, evaluator, depth + 1)
            )
    return False


def _of_name(name: str, scope: Scope, evaluator: Evaluator, worker: str, depth: int) -> frozenset[Source]:
    if any(word in name.lower() for word in _MOVES):
        return frozenset({"other"})
    owner: Scope | None = scope
    while owner is not None:
        if name in owner.bindings and (owner.kind != "class" or owner is scope):
            if owner is not scope:
                worker = ""
            found = [_of_binding(b, owner, evaluator, worker, depth) for b in owner.bindings[name]]
            return frozenset().union(*found)
        owner = owner.parent
    return frozenset({"other"})


def _of_binding(
    binding: Binding, owner: Scope, evaluator: Evaluator, worker: str, depth: int
) -> frozenset[Source]:
    if binding.kind == "param":
        return frozenset({"worker"} if binding.node.name == worker else {"setting"})
    if binding.kind in ("assign", "augment") and binding.value is not None:
        return seed_sources(binding.value, owner, evaluator, worker, depth + 1)
    return frozenset({"setting"} if binding.kind == "import" else {"other"})


def seeding(scope: Scope, evaluator: Evaluator) -> Iterator[tuple[Call, str, Expr]]:
    """The calls of a function that seed a global generator: (call, full name, seed)."""
    for site in scope.calls:
        seed = argument(site.call, 0, "seed", "a")
        if seed is not None and _last(site.call.func) in ("seed", "manual_seed"):
            for name in callee_names(evaluator, site.call, scope):
                if name in SEEDERS:
                    yield site.call, name, seed
                    break


def _last(func: Expr) -> str:
    return func.attr if isinstance(func, Attr) else func.id if isinstance(func, Name) else ""


def worker_parameter(function: Scope) -> str:
    """The name of the parameter that a ``worker_init_fn`` gets the worker's number in."""
    skip = 1 if function.self_name is not None else 0
    return function.params[skip].name if len(function.params) > skip else ""


def new_generators(scope: Scope, evaluator: Evaluator) -> Iterator[tuple[Call, str, Expr]]:
    """The calls that make a generator from a number, or from the worker's seed: (call, full name, seed)."""
    for site in scope.calls:
        call = site.call
        if len(call.args) != 1:
            continue
        constant = isinstance(call.args[0], Const) and call.args[0].value is not None
        if constant or is_worker_seed(call.args[0], scope, evaluator):
            for name in callee_names(evaluator, call, scope):
                if name in GENERATORS and not name.endswith("manual_seed"):
                    yield call, name, call.args[0]


def fresh_generators(scope: Scope, evaluator: Evaluator) -> Iterator[tuple[Call, str, Expr]]:
    """The calls that make a generator, or seed one that was just made: (call, full name, seed)."""
    for site in scope.calls:
        seed = argument(site.call, 0, "seed", "x")
        if seed is not None:
            for name in callee_names(evaluator, site.call, scope):
                if name in GENERATORS:
                    yield site.call, name, seed
                    break


def restores_state(scope: Scope) -> bool:
    """The state is put back afterwards: the seed is meant for this piece of code alone."""
    return any(attr.attr in ("get_state", "getstate", "get_rng_state", "fork_rng") for attr, _ in scope.attrs)


def is_conditional(block: Block | None, but_for: str = "") -> bool:
    """Behind a condition, or in a loop. ``but_for``: a word of conditions that do not count."""
    for around in block.chain() if block is not None else ():
        if around.kind == "if" and but_for and but_for in _asked(around.node.test):
            continue
        if around.kind in ("if", "else", "except", "for", "while", "comp"):
            return True
    return False


def _asked(test: Expr) -> str:
    return " ".join(dotted(part) for part in walk(test))


def same_each_turn(seed: Expr, scope: Scope, evaluator: Evaluator, loop: Block) -> bool:
    """The seed is the same in each turn: a number; or, in a loop over epochs, a setting that the loop does not change.

    A loop over something else may compare models, by a setting that is the same for all.
    """
    if isinstance(seed, Const):
        return True
    head = (loop.node.target, loop.node.iterable) if loop.kind == "for" else ()
    if not any(isinstance(p, Name) and "epoch" in p.id for part in head for p in walk(part)):
        return False
    names = {part.id for part in walk(seed) if isinstance(part, Name)}
    inside = [b.block for name in names for b in scope.bindings.get(name, ())] + [
        s.block for s in scope.stores
    ]
    if any(block is not None and loop in block.chain() for block in inside):
        return False
    return seed_sources(seed, scope, evaluator) <= {"constant", "setting"}
