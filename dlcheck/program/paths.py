"""Code paths: which functions run for every sample, for every batch, or once at set-up; and what varies with the item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlcheck.facts.model import (
    Attr,
    Call,
    Comp,
    Const,
    Expr,
    If,
    Lambda,
    Name,
    Op,
    Return,
    Star,
    Sub,
    dotted,
    parts_of,
)
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.scope import Block, CallSite, Loop, Scope
from dlcheck.program.values import External, Group, Made, Method, PartialRef, Ref, SelfOf, Value

_DEEPEST = 6
_ITEM_METHODS = ("__getitem__", "__getitems__")
_CACHED = frozenset({"lru_cache", "cache", "cached_property", "cached", "memoize"})
_RANDOM = ("random.", "numpy.random", "torch.rand", "torch.randint", "torch.randperm", "uuid.")
# Methods that give something else each time, whatever they are called on: a queue, a cursor, a generator of numbers.
_MOVES_ON = frozenset(
    "get_nowait popleft readline recv fetchone choice choices sample randint randrange integers "
    "permutation uniform multinomial".split()
)


@dataclass(eq=False)
class Step:
    """One function on a path, with what is known of the way to it.

    ``lazy``: it is reached only behind a check that lets it run once (``if self.file is None``). ``repeats``: it is
    reached from inside a loop of the path. ``varying`` holds the names that depend on the item (in a path of set-up: on
    the loop that they stand in), ``attributes`` the attributes that do, shared by all steps of a path.
    """

    scope: Scope
    lazy: bool
    repeats: bool
    varying: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class PathCall:
    """A call on a path: where it stands, what it may call, and how it runs."""

    site: CallSite
    step: Step
    names: tuple[str, ...]
    lazy: bool
    in_loop: bool

    @property
    def call(self) -> Call:
        return self.site.call


@dataclass(eq=False)
class Path:
    """The functions that one entry reaches, the entry first."""

    evaluator: Evaluator
    kind: str
    steps: list[Step] = field(default_factory=list)

    def calls(self) -> Iterator[PathCall]:
        """Every call on the path, in order of the steps and of place."""
        for step in self.steps:
            for site in step.scope.calls:
                yield PathCall(
                    site,
                    step,
                    callee_names(self.evaluator, site.call, site.scope),
                    step.lazy or is_lazy(site.block, step.scope, site.at),
                    step.repeats or loop_around(site.block) is not None,
                )

    def varies(self, expr: Expr, step: Step) -> bool:
        """Whether an expression of a step depends on the item."""
        return _varies(expr, step, self.evaluator)

    def step_of(self, scope: Scope) -> Step | None:
        return next((step for step in self.steps if step.scope is scope), None)


def callee_names(evaluator: Evaluator, call: Call, scope: Scope) -> tuple[str, ...]:
    """The full names of other packages' callables that a call may reach: ``h5py.File``, ``h5py.File.keys``."""
    out: list[str] = []
    for value in evaluator.values(call.func, scope):
        name = foreign_name(value)
        if name:
            out.append(name)
    if not out and isinstance(call.func, Name) and call.func.id == "open":
        out.append("builtins.open")
    return tuple(dict.fromkeys(out))


def foreign_name(value: Value) -> str:
    """``numpy.load`` for a callable of another package, ``h5py.File.keys`` for a method of what one gave."""
    match value:
        case External(name):
            return name
        case Method(receiver, attr):
            base = receiver.what if isinstance(receiver, Made) and isinstance(receiver.what, str) else ""
            return f"{base}.{attr}" if base else ""
        case PartialRef(func, _):
            return foreign_name(func)
    return ""


def item_path(evaluator: Evaluator, cls: Scope) -> Path:
    """The code that runs for every sample of a dataset class: ``__getitem__``, or the body of ``__iter__``."""
    path = Path(evaluator, "item")
    for name in _ITEM_METHODS:
        method = evaluator.method(cls, name)
        if method is not None:
            _walk(path, method, cls, set(_after_self(method)), lazy=False, repeats=False, depth=0)
    if not path.steps:
        method = evaluator.method(cls, "__iter__")
        if method is not None:
            path.kind = "iter"
            _walk(path, method, cls, set(), lazy=False, repeats=False, depth=0)
    return path


def function_path(evaluator: Evaluator, function: Scope, kind: str) -> Path:
    """The code that a function reaches (a collate function, a ``worker_init_fn``); its parameters vary."""
    path = Path(evaluator, kind)
    names = {p.name for p in function.params} - {function.self_name or ""}
    _walk(path, function, function.owner, names, lazy=False, repeats=False, depth=0)
    return path


def setup_path(evaluator: Evaluator, cls: Scope) -> Path:
    """The code that runs once when a dataset is made: ``__init__`` and what it calls of its own class and helpers."""
    path = Path(evaluator, "setup")
    method = evaluator.method(cls, "__init__")
    if method is not None:
        _walk(path, method, cls, set(), lazy=False, repeats=False, depth=0)
    return path


def extend(path: Path, method: Scope, cls: Scope) -> None:
    """Add what a method of a class reaches to a path."""
    _walk(path, method, cls, set(), lazy=False, repeats=False, depth=1)


def _after_self(method: Scope) -> list[str]:
    skip = 1 if method.self_name is not None else 0
    return [p.name for p in method.params[skip:]]


def _walk(
    path: Path, scope: Scope, cls: Scope | None, varying: set[str], *, lazy: bool, repeats: bool, depth: int
) -> None:
    step = path.step_of(scope)
    if step is not None:
        grown = not varying <= step.varying
        freed = step.lazy and not lazy
        step.lazy = step.lazy and lazy
        step.repeats = step.repeats or repeats
        if not grown and not freed:
            return
        step.varying |= varying
    else:
        if depth > _DEEPEST or len(path.steps) > 60:
            return
        shared = path.steps[0].attributes if path.steps else set()
        step = Step(scope, lazy or _is_cached(scope), repeats, set(varying) | _enclosed(path, scope), shared)
        path.steps.append(step)
    _spread(step, path)
    for site in list(scope.calls):
        inner_lazy = step.lazy or is_lazy(site.block, scope, site.at)
        inner_repeats = step.repeats or loop_around(site.block) is not None
        for value in path.evaluator.values(site.call.func, scope):
            for target, owner in _targets(path, value, cls):
                given = _given(path, step, site.call, target, value)
                _walk(path, target, owner, given, lazy=inner_lazy, repeats=inner_repeats, depth=depth + 1)
    if path.kind in ("item", "iter"):
        for sub, block in scope.subs:
            for value in path.evaluator.values(sub.base, scope):
                inner = _class_of(value)
                if inner is None or inner is cls:
                    continue
                getter = path.evaluator.method(inner, "__getitem__")
                if getter is not None:
                    names = set(_after_self(getter)) if path.varies(sub.index, step) else set()
                    if getter.self_name is not None and path.varies(sub.base, step):
                        names.add(getter.self_name)
                    again = loop_around(block) is not None
                    _walk(path, getter, inner, names, lazy=step.lazy, repeats=again, depth=depth + 1)


# Transforms in transforms in transforms.
_DEEPEST_NESTING = 6


def _class_of(value: Value) -> Scope | None:
    """The class of the project that a value is an instance of."""
    owner = value.what if isinstance(value, Made) else value.scope if isinstance(value, SelfOf) else None
    return owner if isinstance(owner, Scope) and owner.kind == "class" else None


def _targets(
    path: Path, value: Value, cls: Scope | None, depth: int = 0
) -> Iterator[tuple[Scope, Scope | None]]:
    """The functions of the project that calling a value runs, each with the class it is a method of."""
    evaluator = path.evaluator
    if depth > _DEEPEST_NESTING:
        return  # a list may hold itself
    match value:
        case PartialRef(func, _):
            yield from _targets(path, func, cls, depth + 1)
        case Ref(scope, _) if scope.kind in ("function", "lambda"):
            # ``self.helper()``: a subclass may have its own.
            if scope.owner is not None and cls is not None and scope.owner is not cls:
                override = evaluator.method(cls, scope.name)
                if override is not None and any(
                    isinstance(v, Ref) and v.scope is scope.owner for v in evaluator.lineage(cls)
                ):
                    yield override, cls
                    return
            yield scope, scope.owner
        case Ref(scope, _) if scope.kind == "class":
            init = evaluator.method(scope, "__init__")
            if init is not None and path.kind != "setup":
                yield init, scope
        case Made(what, call, scope, _, _):
            if isinstance(what, Scope) and what.kind == "class":
                for name in ("__call__", "forward"):
                    method = evaluator.method(what, name)
                    if method is not None:
                        yield method, what
            elif isinstance(what, str) and what.rpartition(".")[2] in (
                "Compose",
                "Sequential",
                "Lambda",
                "RandomApply",
                "RandomChoice",
                "OneOf",
            ):
                for argument in call.args:
                    for inner in evaluator.values(argument, scope):
                        items: tuple[Value, ...] = (inner,)
                        if isinstance(inner, Group):
                            items = tuple(
                                v for item in inner.items for v in evaluator.values(item, inner.scope)
                            )
                        for item in items:
                            yield from _targets(path, item, cls, depth + 1)
        case SelfOf(scope):
            for name in ("__call__", "forward"):
                method = evaluator.method(scope, name)
                if method is not None:
                    yield method, scope


def _given(path: Path, step: Step, call: Call, target: Scope, value: Value) -> set[str]:
    """The parameters of a called function that get something that varies with the item."""
    out: set[str] = set()
    func = call.func
    bound = isinstance(value, Ref) and value.bound
    if target.self_name is not None:
        receiver = func.base if bound and isinstance(func, Attr) else func
        if path.varies(receiver, step):
            out.add(target.self_name)
    arguments = (*call.args, *(v for _, v in call.keywords))
    if not any(path.varies(argument, step) for argument in arguments):
        return out
    # Where it is not plain which argument goes where, all may get what varies.
    plain = not any(isinstance(a, Star) for a in call.args) and all(k is not None for k, _ in call.keywords)
    on_class = isinstance(value, Ref) and value.scope.kind == "function" and not bound
    if not plain or isinstance(value, PartialRef) or (on_class and target.self_name is not None):
        return out | {p.name for p in target.params}
    skip = 1 if target.self_name is not None else 0
    given = Arguments(path.evaluator, call, step.scope)
    for position, param in enumerate(target.params[skip:]):
        if param.kind in ("args", "kwargs"):
            out.add(param.name)
            continue
        found = given.given(param.name, None if param.kind == "keyword" else position)
        if any(path.varies(expr, step) for expr, scope in found if scope is step.scope):
            out.add(param.name)
    return out


def _enclosed(path: Path, scope: Scope) -> set[str]:
    """The varying names of the functions around a local function that it may use as they are."""
    out: set[str] = set()
    outer = scope.parent
    while outer is not None and outer.kind in ("function", "lambda"):
        step = path.step_of(outer)
        if step is not None:
            out |= {name for name in step.varying if name not in scope.bindings}
        outer = outer.parent
    return out


def _spread(step: Step, path: Path) -> None:
    """Grow ``varying``: what is computed from a varying name varies, until nothing changes."""
    scope = step.scope
    for _ in range(6):
        before = len(step.varying) + len(step.attributes)
        for name, bindings in scope.bindings.items():
            if name in step.varying:
                continue
            for binding in bindings:
                if (
                    binding.kind in ("assign", "unpack", "for", "with", "augment")
                    and binding.value is not None
                ):
                    loops = path.kind in ("iter", "setup") and binding.kind == "for"
                    if loops or _varies(binding.value, step, path.evaluator):
                        step.varying.add(name)
                        break
        for store in scope.stores:
            if isinstance(store.base, Name) and store.base.id == scope.self_name and store.attr is not None:
                if store.augmented or _varies(store.value, step, path.evaluator):
                    if not is_lazy(store.block, scope, store.at):
                        step.attributes.add(store.attr)
        if len(step.varying) + len(step.attributes) == before:
            return


def _varies(expr: Expr, step: Step, evaluator: Evaluator) -> bool:
    match expr:
        case Name(name, _):
            return name in step.varying
        case Attr(base, attr, _):
            if isinstance(base, Name) and base.id == step.scope.self_name:
                return attr in step.attributes or base.id in step.varying
            return _varies(base, step, evaluator)
        case Const():
            return False
        case Lambda(_, body, _):
            return _varies(body, step, evaluator)
        case Comp(_, elements, clauses, _):
            inner = [part for c in clauses for part in (c.iterable, *c.tests)]
            return any(_varies(part, step, evaluator) for part in (*inner, *elements))
        case Call(func, _, _, _):
            for name in callee_names(evaluator, expr, step.scope):
                if name.startswith(_RANDOM) or name == "builtins.next":
                    return True
            if isinstance(func, Attr) and func.attr in _MOVES_ON:
                return True
            if isinstance(func, Attr) and func.attr in ("get", "pop") and not expr.args and not expr.keywords:
                return True
            for value in evaluator.values(func, step.scope):
                if (
                    isinstance(value, Ref)
                    and value.scope.kind == "function"
                    and not expr.args
                    and not expr.keywords
                ):
                    helper = Step(value.scope, False, False, set(), step.attributes)
                    if value.scope is not step.scope and any(
                        _draws(part, helper, evaluator) for part, _ in value.scope.returns
                    ):
                        return True
    return any(_varies(part, step, evaluator) for part in parts_of(expr))


def _draws(expr: Expr, step: Step, evaluator: Evaluator) -> bool:
    """A helper's result that varies by itself: it draws, or takes the next of something."""
    for part in walk(expr):
        if isinstance(part, Call):
            if any(
                n.startswith(_RANDOM) or n == "builtins.next"
                for n in callee_names(evaluator, part, step.scope)
            ):
                return True
        if isinstance(part, Name):
            for binding in step.scope.bindings.get(part.id, ()):
                if (
                    binding.kind in ("assign", "unpack")
                    and binding.value is not None
                    and binding.value is not expr
                ):
                    for inner in walk(binding.value):
                        if isinstance(inner, Call) and any(
                            n.startswith(_RANDOM) or n == "builtins.next"
                            for n in callee_names(evaluator, inner, step.scope)
                        ):
                            return True
    return False


def walk(expr: Expr) -> Iterator[Expr]:
    """An expression and all expressions inside it."""
    yield expr
    for part in parts_of(expr):
        yield from walk(part)


def loop_around(block: Block | None) -> Block | None:
    """The innermost loop or comprehension around a place."""
    if block is not None:
        for around in block.chain():
            if around.kind in ("for", "while", "comp"):
                return around
    return None


def loop_of(scope: Scope, block: Block) -> Loop | None:
    return next((loop for loop in scope.loops if loop.inner is block), None)


def _is_cached(scope: Scope) -> bool:
    for decorator in getattr(scope.node, "decorators", ()):
        name = dotted(decorator.func if isinstance(decorator, Call) else decorator).rpartition(".")[2]
        if name in _CACHED:
            return True
    return False


def is_lazy(block: Block | None, scope: Scope, at: tuple[int, int, int, int]) -> bool:
    """Whether a place runs only the first time: behind a check that what it makes is not there yet."""
    if block is not None:
        for around in block.chain():
            if around.kind == "if" and _asks_missing(around.node.test, scope, around):
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


def _filled(expr: Expr, scope: Scope, block: Block | None) -> bool:
    """The thing that a check asks for is made behind the check: stored there, or by a method called there."""
    if isinstance(expr, Name):
        return any(b.kind in ("assign", "unpack", "with") for b in scope.bindings.get(expr.id, ()))
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
            return any(_asks_present(operand, scope, block) for operand in operands)
        case Attr():
            return _filled(test, scope, block)
    return False


def _is_lookup(call: Call) -> bool:
    name = dotted(call.func)
    return name == "getattr" or name.endswith(".get")
