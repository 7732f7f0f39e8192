"""The fix that opens a file in each process that reads it, in place of once before the workers start."""

from __future__ import annotations

from collections.abc import Sequence

from dlcheck.facts.model import At, Attr, Call, Expr, Seq, Slice, Sub, dotted, walk
from dlcheck.lint.fix import AddImport, Defer, Edit, Fix, Insert, Replace
from dlcheck.program import names
from dlcheck.program.kept import Kept, is_self
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope, Store
from dlcheck.program.values import External, Ref

# Bases that neither pickle nor look up attributes in a way of their own.
_PLAIN_BASES = names.DATASETS - {"torch.utils.data.IterDataPipe"} | {
    "builtins.object", "abc.ABC", "typing.Generic", "collections.abc.Sequence", "typing.Protocol",
}  # fmt: skip
_OWN_WAYS = (
    "__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__getattr__", "__getattribute__", "__setattr__",
    "__delattr__", "__del__", "__copy__", "__deepcopy__",
)  # fmt: skip
# These read from a handle at once, and keep nothing of it.
_READS = frozenset({"len", "list", "tuple", "set", "dict", "sorted", "sum"})
_READING_METHODS = frozenset(
    [
        "read", "readline", "readlines", "namelist", "infolist", "getnames", "getmembers", "stat", "info", "tell",
        "fetchone", "fetchall",
    ]
)  # fmt: skip
_IMPORTED = {"os": "os", "partial": "functools.partial"}


def open_later(program: Program, handles: Sequence[Kept]) -> Fix | None:
    """Make a property of each of the handles that the set-up of one class keeps, which opens it in the process that asks.

    ``None`` where that might not be all there is to change: the class pickles itself, the handle is stored or taken over at
    other places, or what is kept is more than the bare call that opens it.
    """
    cls = handles[0].scope.owner
    if cls is None or any(h.scope.owner is not cls for h in handles) or not _is_plain(program, cls):
        return None
    edits: list[Edit] = [AddImport("os"), AddImport("functools", "partial")]
    properties = []
    unsent: list[str] = []
    for handle in handles:
        store = _store(handle)
        if store is None or not _only_store(program, handle, store, cls) or _taken_over(handle):
            return None
        name = handle.attr.lstrip("_")
        here, process, opener = f"_{name}_handle", f"_{name}_process", f"_open_{name}"
        if {here, process, opener} & _attributes(cls):
            return None
        assert isinstance(store.value, Call)
        edits += [
            Replace(_target(store, handle.attr), f"{handle.scope.self_name}.{opener}"),
            Defer(store.value.at),
        ]
        properties.append(
            f"\n@property\ndef {handle.attr}(self):\n"
            f'    if getattr(self, "{process}", None) != os.getpid():\n'
            f"        self.{here}, self.{process} = self.{opener}(), os.getpid()\n"
            f"    return self.{here}\n"
        )
        unsent += [here, process]
    state = (
        f"\ndef __getstate__(self):\n    unsent = ({', '.join(repr(name) for name in unsent)})\n".replace(
            "'", '"'
        )
        + "    return {name: value for name, value in self.__dict__.items() if name not in unsent}\n"
    )
    edits.append(Insert(_last_scope(handles).at, "".join((*properties, state)), "after"))
    return Fix("open it in each process, the first time that it is read there", tuple(edits), safe=False)


def _last_scope(handles: Sequence[Kept]) -> Scope:
    return max((h.scope for h in handles), key=lambda scope: scope.at)


def _is_plain(program: Program, cls: Scope) -> bool:
    evaluator = program.evaluator
    if "__slots__" in cls.bindings or any(evaluator.method(cls, name) is not None for name in _OWN_WAYS):
        return False
    for value in evaluator.lineage(cls):
        if not isinstance(value, Ref) and not (isinstance(value, External) and value.name in _PLAIN_BASES):
            return False
    taken = {name: program.evaluator.name(name, cls.module.scope, cls.module.scope.at) for name in _IMPORTED}
    return all(
        name not in cls.module.scope.bindings or taken[name] == (External(full),)
        for name, full in _IMPORTED.items()
    )


def _store(handle: Kept) -> Store | None:
    """The statement ``self.file = h5py.File(path)``, where it is no more than that."""
    for store in handle.scope.stores:
        if store.value is handle.value and store.attr == handle.attr and is_self(store.base, handle.scope):
            value = store.value
            if isinstance(value, Call) and value.args and not store.augmented and store.element is None:
                line, _, end_line, end = _target(store, handle.attr)
                bare = value.at[0] == end_line == line and value.at[1] - end in (1, 2, 3)
                return store if bare and store.at[:2] == _target(store, handle.attr)[:2] else None
    return None


def _target(store: Store, attr: str) -> At:
    """The place of ``self.file``, as it is usually written."""
    line, column, end_line, end = store.base.at
    return line, column, end_line, end + 1 + len(attr)


def _only_store(program: Program, handle: Kept, own: Store, cls: Scope) -> bool:
    """Nothing else puts something in the place of the handle: no other method, no subclass, no code outside."""
    for scope in program.scopes():
        for store in scope.stores:
            if store.attr != handle.attr or store is own:
                continue
            owner = scope.owner
            if not is_self(store.base, scope) or owner is None or _related(program, owner, cls):
                return False
        if scope.kind == "class" and handle.attr in scope.bindings and _related(program, scope, cls):
            return False
    return True


def _related(program: Program, one: Scope, other: Scope) -> bool:
    def derives(a: Scope, b: Scope) -> bool:
        return any(isinstance(v, Ref) and v.scope is b for v in program.evaluator.lineage(a))

    return derives(one, other) or derives(other, one)


def _taken_over(handle: Kept) -> bool:
    """Something else that is kept reads through the handle as well: ``self.images = self.file["images"]``."""
    owner = handle.scope.owner
    assert owner is not None
    return any(
        _through(store.value, handle.attr, method) or _hands_on(store.value, handle.attr, method)
        for method in owner.all_functions
        for store in method.stores
    )


def _through(expr: Expr, attr: str, method: Scope) -> bool:
    """The handle, or a part of it: ``self.file["images"]``, ``self.file.cursor()``; not what is read from it (``[:]``)."""
    while True:
        match expr:
            case Attr(base, name, _) if name == attr and is_self(base, method):
                return True
            case Attr(_, "attrs" | "shape" | "size" | "dtype", _) | Sub(_, Slice(), _):
                return False
            case Attr(base, _, _) | Sub(base, _, _):
                expr = base
            case Call(func, _, _, _) if isinstance(func, Attr) and func.attr not in _READING_METHODS:
                expr = func.base
            case _:
                return False


def _hands_on(expr: Expr, attr: str, method: Scope) -> bool:
    """The handle is given to something that may keep it: ``Reader(self.file)``, ``[self.file]``."""
    for part in walk(expr):
        match part:
            case Call(func, args, keywords, _) if dotted(func) not in _READS:
                given = (*args, *(value for _, value in keywords))
            case Seq(_, given, _):
                pass
            case _:
                continue
        if any(isinstance(g, Attr) and g.attr == attr and is_self(g.base, method) for g in given):
            return True
    return False


def _attributes(cls: Scope) -> set[str]:
    return {
        name
        for method in cls.all_functions
        for name in (*(s.attr for s in method.stores if s.attr), *(a.attr for a, _ in method.attrs))
    } | set(cls.bindings)
