"""What runs for every item, over all datasets and collate functions of a program, each place once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dlcheck.facts.model import Attr, Call, Cond, Const, Expr, Lambda, Name, Op, Other, Seq, Star, Sub, dotted
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.paths import Path, PathCall
from dlcheck.program.program import Program
from dlcheck.program.scope import Binding, Scope
from dlcheck.program.steps import Step
from dlcheck.program.values import Made, Values

_DEEPEST = 12
# Callables whose result is the same for the same arguments, and costs next to nothing.
_PLAIN = (
    "os.path.", "os.fspath", "os.getenv", "os.environ", "pathlib.", "builtins.str", "builtins.int", "builtins.float",
    "builtins.list", "builtins.tuple", "builtins.dict", "builtins.getattr", "torchvision.transforms.",
    "torchaudio.transforms.", "albumentations.", "torch.nn.", "torch.device",
)  # fmt: skip
_PLAIN_METHODS = frozenset(
    [
        "format",
        "join",
        "strip",
        "replace",
        "joinpath",
        "with_suffix",
        "with_name",
        "expanduser",
        "resolve",
        "lower",
    ]
)
GROWS = frozenset({"append", "extend", "insert", "add", "update"})


@dataclass(frozen=True, eq=False)
class Way:
    """One path on which a function lies, and its step there."""

    path: Path
    step: Step


@dataclass(frozen=True, eq=False)
class ItemFunction:
    """A function that runs for every item (or for every batch), with all the ways to it."""

    scope: Scope
    evaluator: Evaluator
    ways: tuple[Way, ...]

    @property
    def lazy(self) -> bool:
        """On some way it runs only once."""
        return any(way.step.lazy for way in self.ways)

    @property
    def streams(self) -> bool:
        """It is reached from the ``__iter__`` of a dataset: what stands outside of its loops runs once per epoch."""
        return any(way.path.kind == "iter" for way in self.ways)

    def varies(self, expr: Expr) -> bool:
        """On some way the expression depends on the item."""
        return any(way.path.varies(expr, way.step) for way in self.ways)

    def fixed(self, expr: Expr) -> bool:
        """The expression is known to be the same for every item, on one of the ways at least: a helper may serve several data
        sets. Neither fixed nor varying: not known.
        """
        on_some_way = any(not way.path.varies(expr, way.step) for way in self.ways)
        return on_some_way and self._fixed(expr, self.scope, 0)

    def _fixed(self, expr: Expr, scope: Scope, depth: int) -> bool:
        if depth > _DEEPEST:
            return False
        match expr:
            case Const():
                return True
            case Name(name, _):
                return self._fixed_name(name, scope, depth)
            case Lambda(_, body, _):
                return not self.varies(body)
            case Call(func, args, keywords, _):
                given = (*args, *(value for _, value in keywords))
                plain = (
                    isinstance(func, Attr)
                    and func.attr in _PLAIN_METHODS
                    and self._fixed(func.base, scope, depth + 1)
                )
                called = callee_names(self.evaluator, expr, scope)
                known = bool(called) and all(n.startswith(_PLAIN) or opens(n) for n in called)
                return (plain or known) and all(self._fixed(g, scope, depth + 1) for g in given)
            case Attr(base, _, _) | Star(base, _):
                return self._fixed(base, scope, depth + 1)
            case Sub(base, index, _):
                return self._fixed(base, scope, depth + 1) and self._fixed(index, scope, depth + 1)
            case Seq(_, parts, _) | Op(_, parts, _) | Other("fstring", parts, _):
                return all(self._fixed(part, scope, depth + 1) for part in parts)
            case Cond(test, then, orelse, _):
                return all(self._fixed(part, scope, depth + 1) for part in (test, then, orelse))
        return False

    def _fixed_name(self, name: str, scope: Scope, depth: int) -> bool:
        owner: Scope | None = scope
        while owner is not None:
            if name in owner.bindings and (owner.kind != "class" or owner is scope):
                bindings = owner.bindings[name]
                # Where several assignments may hold, what chooses among them may vary.
                if owner.kind != "module" and (len(bindings) > 1 or _grows(owner, name)):
                    return False
                return all(self._fixed_binding(b, owner, depth, owner is scope) for b in bindings)
            owner = owner.parent
        return True  # a built-in

    def _fixed_binding(self, binding: Binding, owner: Scope, depth: int, inner: bool) -> bool:
        if owner.kind == "module":
            return binding.kind in ("assign", "unpack", "import", "def", "class")
        match binding.kind:
            case "import" | "def" | "class":
                return True
            case "param":
                if not inner and any(way.path.step_of(owner) is not None for way in self.ways):
                    return False  # of a function around, which runs for every item too
                return binding.node.kind in ("positional", "keyword")
            case "assign" | "with" | "unpack":
                assert binding.value is not None
                return self._fixed(binding.value, owner, depth + 1)
        return False


def _grows(scope: Scope, name: str) -> bool:
    """Something is added to what the name stands for: ``steps.append(...)``."""
    for site in scope.calls:
        func = site.call.func
        if (
            isinstance(func, Attr)
            and func.attr in GROWS
            and isinstance(func.base, Name)
            and func.base.id == name
        ):
            return True
    return False


@dataclass(frozen=True, eq=False)
class ItemCall:
    """A call that runs for every item (or batch)."""

    function: ItemFunction
    here: PathCall

    @property
    def call(self) -> Call:
        return self.here.site.call

    @property
    def scope(self) -> Scope:
        return self.here.site.scope

    @property
    def names(self) -> tuple[str, ...]:
        return self.here.names

    @property
    def repeats(self) -> bool:
        """It runs for every item for sure: not only the first time, and not only at the start of a stream."""
        return not self.here.lazy and not self.function.lazy and not self.function.streams

    def varies(self, expr: Expr) -> bool:
        return self.function.varies(expr)

    def fixed(self, expr: Expr) -> bool:
        return self.function.fixed(expr)


@dataclass(frozen=True, eq=False)
class _Items:
    functions: tuple[ItemFunction, ...]
    calls: tuple[ItemCall, ...]


_KNOWN: WeakKeyDictionary[Program, _Items] = WeakKeyDictionary()


def item_functions(program: Program) -> tuple[ItemFunction, ...]:
    """The functions that run for every item or batch, each once, in order of file and place."""
    return _items(program).functions


def item_calls(program: Program) -> tuple[ItemCall, ...]:
    """The calls that run for every item or batch, each once, in order of file and place."""
    return _items(program).calls


def _items(program: Program) -> _Items:
    known = _KNOWN.get(program)
    if known is None:
        known = _KNOWN[program] = _gather(program)
    return known


def _gather(program: Program) -> _Items:
    ways: dict[Scope, list[Way]] = {}
    calls: dict[int, PathCall] = {}
    order: list[int] = []
    for path, found in _paths(program):
        for step in path.steps:
            ways.setdefault(step.scope, []).append(Way(path, step))
        for call in found:
            key = id(call.site)
            before = calls.get(key)
            if before is None:
                order.append(key)
            if before is None or (call.lazy and not before.lazy):
                calls[key] = call
    functions = {scope: ItemFunction(scope, program.evaluator, tuple(group)) for scope, group in ways.items()}
    ordered = sorted(functions.values(), key=lambda f: (f.scope.module.path, f.scope.at))
    here = (ItemCall(functions[calls[key].site.scope], calls[key]) for key in order)
    return _Items(tuple(ordered), tuple(sorted(here, key=lambda c: (c.scope.module.path, c.call.at))))


def _paths(program: Program) -> Iterator[tuple[Path, Iterable[PathCall]]]:
    for dataset in program.datasets:
        yield dataset.item_path, dataset.calls
    given = {f: None for loader in program.loaders for f in program.functions_given(loader, "collate_fn")}
    given |= {scope: None for scope in program.scopes() if _in_pipeline(scope)}
    for function in given:
        path = program.function_path(function)
        yield path, path.calls


def _in_pipeline(scope: Scope) -> bool:
    """A step of a SpeechBrain data pipeline: ``@data_pipeline.takes("wav")``. It runs for every item."""
    return any(
        isinstance(d, Call) and dotted(d.func).endswith("data_pipeline.takes")
        for d in getattr(scope.node, "decorators", ())
    )


def opens(name: str) -> bool:
    """A callable that opens or reads a file."""
    return name in names.CONTAINERS or name in names.WHOLE_READERS or name in names.PLAIN_OPENERS


def argument(call: Call, position: int, *keywords: str) -> Expr | None:
    """An argument that may be given by position or by one of several names."""
    for key, value in call.keywords:
        if key in keywords:
            return value
    if position < len(call.args) and not any(isinstance(a, Star) for a in call.args[: position + 1]):
        return call.args[position]
    return None


def made_by(values: Values) -> list[str]:
    """The full names of the callables of other packages that gave these values."""
    return [v.what for v in values if isinstance(v, Made) and isinstance(v.what, str) and v.what]


def short(name: str) -> str:
    """A name as people write it: ``np.load``, ``open``."""
    for full, usual in (("builtins.", ""), ("numpy.", "np."), ("pandas.", "pd."), ("PIL.", "")):
        if name.startswith(full):
            return usual + name[len(full) :]
    return name


def attribute_of_self(expr: Expr, scope: Scope) -> str:
    """``x`` for ``self.x`` in a method, else an empty string."""
    if isinstance(expr, Attr) and isinstance(expr.base, Name) and expr.base.id == scope.self_name:
        return expr.attr
    return ""
