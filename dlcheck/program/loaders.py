"""The loaders of a program: where they are built, with which arguments, over which datasets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dlcheck.facts.model import At, Call, Expr, Name, dotted
from dlcheck.program import names
from dlcheck.program.arguments import Arguments
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.hugging_face import SPELLED
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import (
    ABSENT,
    UNKNOWN,
    Absent,
    Group,
    Known,
    Made,
    Method,
    SelfOf,
    Table,
    Value,
    Values,
    join,
)

# The parameters of torch.utils.data.DataLoader that may be given by position (torch 2.x).
_POSITIONS = {
    name: position
    for position, name in enumerate(
        (
            "dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "num_workers", "collate_fn", "pin_memory",
            "drop_last", "timeout", "worker_init_fn", "multiprocessing_context", "generator",
        )
    )
}  # fmt: skip
_GRAPH_POSITIONS = {"dataset": 0, "batch_size": 1, "shuffle": 2}

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

Workers = Literal["some", "none", "none by default", "unknown"]


@dataclass(frozen=True, eq=False)
class Loader:
    """One place where a loader is built. ``kind``: torch, graph (PyG), or trainer (the arguments of a Hugging Face Trainer).
    ``cls``: the project's own loader class.
    """

    site: CallSite
    evaluator: Evaluator
    kind: Literal["torch", "graph", "trainer"]
    name: str
    cls: Scope | None
    own: Arguments
    inner: Arguments | None

    @property
    def call(self) -> Call:
        return self.site.call

    @property
    def scope(self) -> Scope:
        return self.site.scope

    @property
    def at(self) -> At:
        return self.site.call.at

    @property
    def path(self) -> str:
        return self.scope.module.path

    def arg(self, name: str) -> Values:
        """The possible values of an argument; ``ABSENT`` among them where it may be left out."""
        direct = self.own.get(name, self._position(name))
        if self.inner is None or direct != (ABSENT,):
            return direct
        inner = self.inner.given(name, self._inner_position(name))
        if len(inner) == 1:
            left_out = self._left_out(*inner[0])
            if left_out is not None:
                return left_out
        return self.inner.get(name, self._inner_position(name))

    def _left_out(self, expr: Expr, init: Scope) -> Values | None:
        """The default of a parameter of the project's loader class that is handed on, and that this call leaves out.

        What other calls of the class give does not matter here.
        """
        if not isinstance(expr, Name) or any(b.kind != "param" for b in init.bindings.get(expr.id, ())):
            return None
        for position, param in enumerate(init.params[1:]):
            if param.name == expr.id and param.default is not None:
                given = self.own.get(param.name, None if param.kind == "keyword" else position)
                if ABSENT in given:
                    default = self.evaluator.values(param.default, init.parent or init)
                    return join(tuple(v for v in given if v is not ABSENT), default)
        return None

    def given(self, name: str) -> tuple[tuple[Expr, Scope], ...]:
        """The expressions that may be given for an argument, with the scope each stands in."""
        direct = self.own.given(name, self._position(name))
        if direct or self.inner is None:
            return direct
        return self.inner.given(name, self._inner_position(name))

    def is_given(self, name: str) -> bool:
        """Whether an argument may be something else than left out, or ``None``."""
        return not all(
            isinstance(v, Absent) or (isinstance(v, Known) and v.value is None) for v in self.arg(name)
        )

    def spelled(self, name: str) -> str:
        """What an argument is called where this loader is given it."""
        return SPELLED[name] if self.kind == "trainer" else name

    def left_open(self, name: str) -> bool:
        """The value of an argument is only a default that callers may change."""
        values = self.arg(name)
        return ABSENT not in values and all(isinstance(v, Known) and v.by_default for v in values)

    def settable(self, name: str) -> bool:
        """Whether a keyword argument can be given in the call itself without clashing with what it already gets."""
        if self.kind == "trainer":
            return False
        if any(key == name for key, _ in self.call.keywords):
            return True
        taken = name in self.own.table.entries or self.own.table.open or self.own.starred
        return (
            self.inner is None and not taken and self._position(name) not in range(len(self.own.positional))
        )

    def _inner_position(self, name: str) -> int | None:
        """Where ``DataLoader`` itself takes the argument."""
        return (_GRAPH_POSITIONS if self.kind == "graph" else _POSITIONS).get(name)

    def _position(self, name: str) -> int | None:
        """Where the argument stands in the call: as in ``DataLoader``, or as in the project's own loader class."""
        if self.inner is None:
            return self._inner_position(name)
        init = self.evaluator.method(self.cls, "__init__") if self.cls is not None else None
        params = [p.name for p in init.params[1:] if p.kind == "positional"] if init is not None else []
        return params.index(name) if name in params else None

    @cached_property
    def workers(self) -> Workers:
        """Whether the loader has workers, as far as the code says."""
        return workers_of(self.arg("num_workers"), self.evaluator)

    @property
    def may_have_workers(self) -> bool:
        """Workers, or a count that is not known to be 0."""
        return self.workers != "none"

    @property
    def none_unless_asked_for(self) -> bool:
        """0 workers by default, and nothing that is seen asks for more."""
        return self.workers == "none by default" or (
            self.workers == "unknown"
            and any(isinstance(v, Known) and v.by_default and v.value == 0 for v in self.arg("num_workers"))
        )

    @property
    def pinned(self) -> Literal["yes", "no", "unknown"]:
        """Whether batches are pinned: yes where any known value of ``pin_memory`` says so."""
        values = self.arg("pin_memory")
        if any((isinstance(v, Known) and v.value) or _asks_for_cuda(v) for v in values):
            return "yes"
        if all(isinstance(v, Absent) or (isinstance(v, Known) and not v.value) for v in values):
            return "no"
        return "unknown"

    @cached_property
    def datasets(self) -> tuple[Value, ...]:
        """What the loader may load from: ``Made`` of dataset classes, subsets and splits taken apart."""
        out: dict[Value, None] = {}
        for value in self.arg("dataset"):
            for inner in unwrap(value, self.evaluator):
                out[inner] = None
        return tuple(out)

    @cached_property
    def dataset_classes(self) -> tuple[Scope, ...]:
        """The project's dataset classes that the loader may load from."""
        scopes = [d.what for d in self.datasets if isinstance(d, Made) and isinstance(d.what, Scope)]
        scopes += [d.scope for d in self.datasets if isinstance(d, SelfOf)]
        return tuple(dict.fromkeys(s for s in scopes if s.kind == "class"))

    @cached_property
    def dataset_names(self) -> tuple[str, ...]:
        """The full names of other packages' datasets that the loader may load from."""
        return tuple(
            dict.fromkeys(
                d.what for d in self.datasets if isinstance(d, Made) and isinstance(d.what, str) and d.what
            )
        )

    @cached_property
    def is_iterable(self) -> bool:
        """Some dataset of the loader is known to be an ``IterableDataset``, or a check around the call says so."""
        around = self.site.block.chain() if self.site.block is not None else ()
        if any(block.kind == "if" and _asks_iterable(block.node.test) for block in around):
            return True
        if any(self.evaluator.is_a(c, names.ITERABLE_DATASETS) for c in self.dataset_classes):
            return True
        return any("IterableDataset" in n or n.startswith("webdataset.") for n in self.dataset_names)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words in the names of what the loader is assigned to and of its dataset."""
        texts = [t for target in getattr(self.site.statement, "targets", ()) for t in _spelled(target)]
        texts += [text for expr, _ in self.given("dataset") for text in _spelled(expr)]
        return _words(texts)

    @cached_property
    def distant_words(self) -> frozenset[str]:
        """The words in the names of its dataset's classes, and of what the function that makes it is called for."""
        texts = [_CAMEL.sub("_", cls.name) for cls in self.dataset_classes]
        if self.scope.kind == "function":
            for site, _ in self.evaluator.callers.of(self.scope):
                targets: tuple[Expr, ...] = getattr(site.statement, "targets", ())
                if getattr(site.statement, "value", None) is site.call and len(targets) == 1:
                    texts += [dotted(targets[0])]
        return _words(texts)

    @cached_property
    def function_words(self) -> frozenset[str]:
        """The words in the names of the functions that the loader is built in."""
        texts: list[str] = []
        scope: Scope | None = self.scope
        while scope is not None and scope.kind == "function":
            texts.append(scope.name)
            scope = scope.parent
        return _words(texts)


def _asks_iterable(test: Expr) -> bool:
    """``isinstance(dataset, IterableDataset)``."""
    match test:
        case Call(Name("isinstance", _), (_, kind), _, _):
            return dotted(kind).endswith("IterableDataset")
    return False


def _asks_for_cuda(value: Value) -> bool:
    """``torch.cuda.is_available()``: pinned wherever pinning matters."""
    return isinstance(value, Made) and value.what in (
        "torch.cuda.is_available",
        "torch.accelerator.is_available",
    )


def workers_of(values: Values, evaluator: Evaluator) -> Workers:
    """Whether a number of workers is above zero."""
    if any(is_positive(v, evaluator) for v in values):
        return "some"
    if any(not isinstance(v, (Known, Absent)) for v in values):
        return "unknown"
    if any(isinstance(v, Known) and v.by_default for v in values):
        return "none by default"
    return "none"


def is_positive(value: Value, evaluator: Evaluator) -> bool:
    """A number of workers that is known to be above zero."""
    match value:
        case Known(number):
            return isinstance(number, (int, float)) and number is not True and number > 0
        case Made(what, call, scope, _, _) if isinstance(what, str):
            if what in names.CPU_COUNTS:
                return True
            if what in ("builtins.len", "builtins.max"):
                return any(is_positive(v, evaluator) for a in call.args for v in evaluator.values(a, scope))
            if what == "builtins.min":
                return bool(call.args) and all(
                    any(is_positive(v, evaluator) for v in evaluator.values(a, scope)) for a in call.args
                )
    return False


def unwrap(value: Value, evaluator: Evaluator, depth: int = 0) -> Values:
    """The datasets inside subsets, splits and concatenations."""
    if depth > 6:
        return (UNKNOWN,)
    match value:
        case Made(what, call, scope, _, _) if (
            isinstance(what, str) and what in names.DATASET_WRAPPERS and call.args
        ):
            inner = evaluator.values(call.args[0], scope)
            return join(*(unwrap(v, evaluator, depth + 1) for v in inner))
        case Group(_, items, scope, _):
            inner = join(*(evaluator.values(item, scope) for item in items))
            return join(*(unwrap(v, evaluator, depth + 1) for v in inner))
        case Table(entries, _, loose):
            held = [*loose, *(e for group in entries.values() for e in group)]
            inner = join(*(evaluator.values(e.expr, e.scope) for e in held))
            return join(*(unwrap(v, evaluator, depth + 1) for v in inner))
        case Method(receiver, _):
            return (
                unwrap(receiver, evaluator, depth + 1)
                if isinstance(receiver, Made) and receiver.what
                else (value,)
            )
    return (value,)


def _words(texts: list[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.lower().replace(".", "_").split("_") if word)


def _spelled(expr: Expr) -> list[str]:
    name = dotted(expr)
    if name:
        return [name]
    match expr:
        case Call(func, args, _, _):
            return [dotted(func), *(n for a in args[:1] for n in _spelled(a))]
        case _:
            base = getattr(expr, "base", None)
            index = getattr(expr, "index", None)
            texts = [dotted(base)] if base is not None else []
            if index is not None and isinstance(getattr(index, "value", None), str):
                texts.append(index.value)
            return texts
