"""What cannot be pickled, and so cannot be sent to a worker that is not forked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dlcheck.facts.model import At, Attr, Call, Comp, Cond, Const, Expr, Name, Op, Star
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.kept import is_self
from dlcheck.program.main_guard import guarded
from dlcheck.program.scope import Block, CallSite, Scope, Store
from dlcheck.program.values import (
    ABSENT,
    External,
    Group,
    Known,
    Made,
    ModuleRef,
    PartialRef,
    Ref,
    SelfOf,
    Table,
    Unknown,
    Value,
    Values,
)  # fmt: skip

# Objects of other packages that refuse to be pickled (CPython 3.13; the packages' own documentation).
_REFUSE = {
    f"{module}.{name}": f"a{'n' if name[0] in 'AEIOU' else ''} `{module}.{name}`"
    for module, listed in (
        ("threading", "Lock RLock Condition Semaphore BoundedSemaphore Event Barrier Thread Timer local"),
        ("queue", "Queue LifoQueue PriorityQueue SimpleQueue"),
        ("concurrent.futures", "ThreadPoolExecutor ProcessPoolExecutor"),
        ("socket", "socket"),
        ("mmap", "mmap"),
        ("subprocess", "Popen"),
        ("weakref", "ref proxy WeakKeyDictionary WeakValueDictionary WeakSet"),
        ("asyncio", "new_event_loop get_event_loop"),
        ("boto3", "client resource"),
        ("google.cloud.storage", "Client"),
        ("pymongo", "MongoClient"),
        ("psycopg2", "connect"),
        ("cv2", "createCLAHE SIFT_create ORB_create CascadeClassifier createBackgroundSubtractorMOG2"),
        ("fasttext", "load_model"),
        ("grpc", "insecure_channel secure_channel"),
    )
    for name in listed.split()
}
_THREADS = frozenset({"threading.Thread", "threading.Timer"})
_OF_THREADS = _THREADS | {
    "queue.Queue",
    "queue.LifoQueue",
    "queue.PriorityQueue",
    "queue.SimpleQueue",
    "threading.Event",
}
_EXECUTORS = ("concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor")
# Objects of other packages that keep the functions they are made from, beside classes (which do, as transforms).
_KEEP = ("collections.defaultdict", "builtins.map", "builtins.filter")
# Parameters of such objects that are used once and not kept.
_USED_ONCE = frozenset({"is_valid_file", "key", "converters"})
# What datasets of torchvision and PyG keep of what they are made from.
_KEPT_BY_BASES = frozenset(
    ["transform", "transforms", "target_transform", "pre_transform", "pre_filter", "loader"]
)
_PICKLES_ITSELF = ("__getstate__", "__reduce__", "__reduce_ex__")
_DEEPEST = 6


@dataclass(frozen=True, eq=False)
class Unpicklable:
    """Something that cannot be pickled, where it stands, what it is in words, and what to do about it.

    ``thing`` is the function, class or module that it comes down to, if it is one.
    """

    scope: Scope
    at: At
    what: str
    cure: Literal["module level", "above the guard", "open later"]
    thing: Scope | str | None = None


def unpicklable(evaluator: Evaluator, expr: Expr, scope: Scope) -> Iterator[Unpicklable]:
    """What cannot be pickled in the values of an expression, with what they hold and keep."""
    yield from _Search(evaluator).of_expression(expr, scope, 0)


def unpicklable_in(evaluator: Evaluator, value: Value, scope: Scope, at: At) -> Iterator[Unpicklable]:
    """What cannot be pickled in a value that an expression at ``at`` gives, with what it holds and keeps."""
    yield from _Search(evaluator).of_value(value, scope, at, 0)


class _Search:
    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._seen: set[tuple[int, int]] = set()

    def of_expression(self, expr: Expr, scope: Scope, depth: int) -> Iterator[Unpicklable]:
        if depth > _DEEPEST or (id(expr), id(scope)) in self._seen:
            return
        self._seen.add((id(expr), id(scope)))
        if isinstance(expr, Comp) and expr.kind == "gen":
            yield Unpicklable(scope, expr.at, "a generator", "open later")
            return
        for value in self.evaluator.values(expr, scope):
            if isinstance(value, Made) and isinstance(value.what, Scope) and value.what.kind == "function":
                if value.call is expr:  # not what ``list()`` made of one
                    yield Unpicklable(scope, expr.at, "a generator", "open later")
            else:
                yield from self.of_value(value, scope, expr.at, depth)

    def of_value(self, value: Value, scope: Scope, at: At, depth: int) -> Iterator[Unpicklable]:
        match value:
            case Ref(inner, _) if inner.kind == "lambda":
                yield Unpicklable(inner.parent or scope, inner.node.at, "a lambda", "module level", inner)
            case Ref(inner, _) if _is_local(inner):
                what = f"`{inner.name}`, which is defined inside a function,"
                yield Unpicklable(scope, at, what, "module level", inner)
            case Ref(inner, _) if _is_below_guard(inner):
                what = f"`{inner.name}`, which is defined below the main guard,"
                yield Unpicklable(scope, at, what, "above the guard", inner)
            case ModuleRef(path):
                name = path.removesuffix("/__init__.py").rpartition("/")[2].removesuffix(".py")
                yield Unpicklable(scope, at, f"the module `{name}`", "open later", path)
            case External(name) if "." not in name:
                yield Unpicklable(scope, at, f"the module `{name}`", "open later", name)
            case PartialRef(func, calls):
                yield from self.of_value(func, scope, at, depth + 1)
                for call, where in calls:
                    for argument in (*call.args[1:], *(v for _, v in call.keywords)):
                        yield from self.of_expression(argument, where, depth + 1)
            case Group(_, items, where, _):
                for item in items[:20]:
                    yield from self.of_expression(item, where, depth + 1)
            case Table(entries, _, loose):
                for entry in (*loose, *(e for group in entries.values() for e in group)):
                    yield from self.of_expression(entry.expr, entry.scope, depth + 1)
            case SelfOf(cls):
                yield from self._of_instance(cls, None, scope, at, depth)
            case Made(what, call, where, before, receiver):
                if isinstance(what, Scope):
                    arguments = Arguments(self.evaluator, call, where, before)
                    yield from self._of_instance(what, arguments, scope, at, depth)
                else:
                    yield from self._of_foreign(what, call, where, receiver, scope, at, depth)

    def _of_foreign(
        self, what: str, call: Call, where: Scope, receiver: Value | None, scope: Scope, at: At, depth: int
    ) -> Iterator[Unpicklable]:
        if what in _REFUSE:
            yield Unpicklable(scope, at, _REFUSE[what], "open later")
        elif receiver is None and (what.rpartition(".")[2][:1].isupper() or what in _KEEP):
            # An object of another package is taken to keep the functions that it is made from, as transforms do.
            for key, argument in (*((None, a) for a in call.args), *call.keywords):
                inner = argument.value if isinstance(argument, Star) else argument
                if key not in _USED_ONCE and not isinstance(inner, Comp):
                    yield from self.of_expression(inner, where, depth + 1)

    def _of_instance(
        self, cls: Scope, arguments: Arguments | None, scope: Scope, at: At, depth: int
    ) -> Iterator[Unpicklable]:
        """An instance of a class of the project; without arguments where its making is not seen."""
        if cls.kind != "class":
            return
        if _is_local(cls) or _is_below_guard(cls):
            local = _is_local(cls)
            where = "inside a function" if local else "below the main guard"
            what = f"an instance of `{cls.name}`, which is defined {where},"
            yield Unpicklable(scope, at, what, "module level" if local else "above the guard", cls)
        elif not any(self.evaluator.method(cls, name) is not None for name in _PICKLES_ITSELF):
            yield from self._kept(cls, arguments, depth)

    def _kept(self, cls: Scope, arguments: Arguments | None, depth: int) -> Iterator[Unpicklable]:
        """What ``__init__`` stores on ``self``, in it and in those of the base classes that it calls."""
        call: _Construction | None = None
        for value in self.evaluator.lineage(cls):
            init = value.scope.functions.get("__init__") if isinstance(value, Ref) else None
            if init is not None:
                call = _Construction(self.evaluator, init, arguments) if call is None else call.of_base(init)
                if call is None:
                    return
                yield from self._stored(call, depth)
            elif isinstance(value, External) and call is not None:
                # Datasets of other packages keep the functions that they are given.
                for key, argument in call.of_super():
                    if key in _KEPT_BY_BASES:
                        for expr, scope in call.given(argument):
                            yield from self.of_expression(expr, scope, depth + 1)
                return

    def _stored(self, call: _Construction, depth: int) -> Iterator[Unpicklable]:
        init = call.init
        methods = init.owner.all_functions if init.owner is not None else []
        remade = {store.attr for method in methods if method is not init for store in method.stores}
        for store in init.stores:
            if store.attr is None or store.attr in remade or not is_self(store.base, init):
                continue
            if call.passes_by(store.block) or self._is_put_to_work(store, init):
                continue
            for expr, scope in call.given(store.value):
                yield from self.of_expression(expr, scope, depth + 1)

    def _is_put_to_work(self, store: Store, init: Scope) -> bool:
        """An executor that has threads before the workers start, or a thread and the queue that it fills: a fault of its own
        (DLC308).
        """
        made = self.evaluator.values(store.value, init)
        if any(isinstance(v, Made) and v.what in _OF_THREADS for v in made):
            return any(
                isinstance(s.call.func, Attr)
                and s.call.func.attr == "start"
                and any(
                    isinstance(v, Made) and v.what in _THREADS
                    for v in self.evaluator.values(s.call.func.base, init)
                )
                for s in init.calls
            )
        return any(isinstance(v, Made) and v.what in _EXECUTORS for v in made) and any(
            isinstance(s.call.func, Attr)
            and s.call.func.attr in ("submit", "map")
            and isinstance(s.call.func.base, Attr)
            and s.call.func.base.attr == store.attr
            for s in init.calls
        )


class _Construction:
    """One call of a class, as its ``__init__`` sees it: which of the parameters it gives, and so which branches run."""

    def __init__(
        self,
        evaluator: Evaluator,
        init: Scope,
        arguments: Arguments | None,
        outer: _Construction | None = None,
    ) -> None:
        self.evaluator = evaluator
        self.init = init
        self.arguments = arguments
        self.outer = outer
        self._active: set[int] = set()

    def of_base(self, init: Scope) -> _Construction | None:
        """The call of a base class's ``__init__`` that this one makes, if it does."""
        site = self._super_site()
        if site is None:
            return None
        args = site.call.args if _is_super(site.call) else site.call.args[1:]
        call = Call(site.call.func, args, site.call.keywords, site.at)
        return _Construction(self.evaluator, init, Arguments(self.evaluator, call, self.init), self)

    def of_super(self) -> tuple[tuple[str | None, Expr], ...]:
        """The keyword arguments that this ``__init__`` gives to that of its base class."""
        site = self._super_site()
        return site.call.keywords if site is not None else ()

    def _super_site(self) -> CallSite | None:
        for site in self.init.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr == "__init__":
                if _is_super(site.call) or (site.call.args and is_self(site.call.args[0], self.init)):
                    return site
        return None

    def given(self, expr: Expr) -> Iterator[tuple[Expr, Scope]]:
        """The expressions that one of ``__init__`` may stand for in this call, each with its scope."""
        match expr:
            case Name(name, _) if name in self.init.bindings:
                yield from self._named(expr)
            case Op("or", (first, *others), _):
                truth = self._truth(first)
                if truth is not False:
                    yield from self.given(first)
                if truth is not True:
                    for other in others:
                        yield from self.given(other)
            case Cond(test, then, orelse, _):
                truth = self._truth(test)
                if truth is not False:
                    yield from self.given(then)
                if truth is not True:
                    yield from self.given(orelse)
            case _:
                yield expr, self.init

    def passes_by(self, block: Block | None) -> bool:
        """This call does not run the block: ``if transform is None:`` where it gives one."""
        for around in block.chain() if block is not None else ():
            if around.kind in ("if", "else"):
                truth = self._truth(around.node.test)
                if truth is not None and truth is not (around.kind == "if"):
                    return True
        return False

    def _named(self, name: Name) -> Iterator[tuple[Expr, Scope]]:
        for binding in self.init.bindings[name.id]:
            if binding.kind == "param":
                yield from self._parameter(name)
            elif binding.kind == "assign" and binding.value is not None:
                if id(binding) not in self._active and not self.passes_by(binding.block):
                    self._active.add(id(binding))
                    yield from self.given(binding.value)
                    self._active.discard(id(binding))
            else:
                yield name, self.init

    def _parameter(self, name: Name) -> Iterator[tuple[Expr, Scope]]:
        params = self.init.params
        number, param = next((n, p) for n, p in enumerate(params) if p.name == name.id)
        if self.arguments is None:
            if len(self.init.bindings[name.id]) == 1:
                yield name, self.init
            return
        given = self.arguments.given(name.id, None if param.kind == "keyword" else number - 1)
        for expr, scope in given:
            if self.outer is not None and scope is self.outer.init:
                yield from self.outer.given(expr)
            else:
                yield expr, scope
        if not given and param.default is not None:
            yield param.default, self.init.parent or self.init

    def _truth(self, test: Expr) -> bool | None:
        """Whether a test of a parameter holds in this call; ``None`` where that is not known."""
        match test:
            case Op("not", (inner,), _):
                truth = self._truth(inner)
                return None if truth is None else not truth
            case Op("is" | "is not" as op, (left, Const(None, _)), _):
                values = self._values(left)
                if all(isinstance(v, Known) and v.value is None for v in values):
                    return op == "is"
                sure = not any(isinstance(v, Unknown) or v is ABSENT or _is_none(v) for v in values)
                return op != "is" if sure else None
            case Name():
                values = self._values(test)
                if all(isinstance(v, Known) and not v.value for v in values):
                    return False
                sure = all(v.value if isinstance(v, Known) else isinstance(v, _TRUE) for v in values)
                return True if sure else None
        return None

    def _values(self, expr: Expr) -> Values:
        params = {p.name for p in self.init.params}
        if not isinstance(expr, Name) or expr.id not in params or self.arguments is None:
            return (Unknown(),)
        found = [v for e, s in self._parameter(expr) for v in self.evaluator.values(e, s)]
        return tuple(found) or (Unknown(),)


_TRUE = (Ref, Made, PartialRef)


def _is_super(call: Call) -> bool:
    return isinstance(call.func, Attr) and isinstance(call.func.base, Call)


def _is_none(value: Value) -> bool:
    return isinstance(value, Known) and value.value is None


def _is_local(scope: Scope) -> bool:
    """A function or class that is defined inside a function. Methods are found by their class."""
    parent = scope.parent
    if scope.kind not in ("function", "class") or parent is None:
        return False
    return parent.kind in ("function", "lambda") and scope.name not in parent.globals


def _is_below_guard(scope: Scope) -> bool:
    """A function or class of a script that spawned workers do not define: they do not run what is below the guard."""
    parent = scope.parent
    if scope.kind not in ("function", "class") or parent is None or parent.kind != "module":
        return False
    bindings = [b for b in parent.bindings.get(scope.name, ()) if b.node is scope]
    return bool(bindings) and all(guarded(b.block) for b in bindings)
