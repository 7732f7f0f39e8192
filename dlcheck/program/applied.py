"""What an attribute, a call, an index or a loop makes of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcheck.facts.model import Attr, Call, Const, Name, dotted
from dlcheck.program.arguments import Arguments
from dlcheck.program.options import SETTINGS_NAMES, parser_default
from dlcheck.program.registries import entered, is_registry
from dlcheck.program.scope import Scope
from dlcheck.program.settings_files import NAMESPACES, READERS, WRAPPERS, settings_read
from dlcheck.program.tables import dict_call, has
from dlcheck.program.values import (
    ABSENT,
    UNKNOWN,
    Entry,
    External,
    Group,
    Known,
    Made,
    Method,
    ModuleRef,
    PartialRef,
    Ref,
    SelfOf,
    Table,
    Value,
    Values,
    join,
)

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator

_SAME_AS_ARGUMENT = {
    "builtins.int", "builtins.list", "builtins.tuple", "builtins.sorted", "builtins.reversed", "copy.copy",
    "copy.deepcopy", "builtins.bool", "builtins.str",
}  # fmt: skip
_IMPORTERS = frozenset({"importlib.import_module", "pytest.importorskip"})


def attribute(evaluator: Evaluator, value: Value, attr: str, expr: Attr, scope: Scope) -> Values:
    """What ``value.attr`` may be, where ``expr`` stands in a scope."""
    match value:
        case External(name):
            return (External(f"{name}.{attr}"),)
        case ModuleRef(path):
            module = evaluator.project.module(path)
            if module is not None and attr in module.scope.bindings:
                return evaluator.module_name(module, attr)
            below = evaluator.project.file_or_package(f"{path.removesuffix('/__init__.py')}/{attr}")
            return (ModuleRef(below),) if below is not None else (UNKNOWN,)
        case Ref(inner, _) if inner.kind == "class":
            if attr in inner.functions:
                return (Ref(inner.functions[attr]),)
            method = evaluator.method(inner, attr)
            if method is not None:
                return (Ref(method),)
            if attr in inner.bindings:
                return join(*(evaluator.bound(b, attr, inner) for b in inner.bindings[attr]))
            return (UNKNOWN,)
        case SelfOf(inner):
            return evaluator.instance_attribute(inner, attr)
        case Made(what, _, _, _, _) if isinstance(what, Scope):
            return evaluator.instance_attribute(what, attr) if what.kind == "class" else (UNKNOWN,)
        case Made(what, _, where, _, _) if isinstance(what, str):
            if what.endswith((".parse_args", ".parse_known_args")) or what == "":
                found = parser_default(evaluator, attr, where)
                if found:
                    return found
            return (Method(value, attr),)
        case Table(entries, _, _):
            if attr in entries and not hasattr(dict, attr):
                return element(evaluator, value, (Known(attr),))
            return (Method(value, attr),)
    if dotted(expr.base).rpartition(".")[2] in SETTINGS_NAMES:
        found = parser_default(evaluator, attr, scope)
        if found:
            return found
    settings, _, key = dotted(expr).partition(".")
    if settings in SETTINGS_NAMES and "." in key:
        defaults = evaluator.callers.settings(key)
        if defaults:
            found = join(*(evaluator.values(value, where) for value, where in defaults))
            return tuple(Known(v.value, True) if isinstance(v, Known) else v for v in found)
    return (Method(value, attr),) if isinstance(value, (Group, Method)) else (UNKNOWN,)


def called(evaluator: Evaluator, value: Value, call: Call, scope: Scope) -> Values:
    """What calling a value gives."""
    match value:
        case External("functools.partial") if call.args:
            functions = evaluator.values(call.args[0], scope)
            return tuple(PartialRef(f, ((call, scope),)) for f in functions)
        case External("builtins.dict"):
            return dict_call(evaluator, call, scope)
        case External(name) if name in NAMESPACES and not call.args:
            return dict_call(evaluator, call, scope)
        case External(name) if name in READERS:
            return settings_read(evaluator, call, scope) or (Made(name, call, scope),)
        case External(name) if name in WRAPPERS and call.args:
            tables = tuple(v for v in evaluator.values(call.args[0], scope) if isinstance(v, Table))
            return tables or (Made(name, call, scope),)
        case External("builtins.getattr") if len(call.args) >= 2 and isinstance(call.args[1], Const):
            attr = Attr(call.args[0], str(call.args[1].value), call.at)
            return join(
                *(
                    attribute(evaluator, v, attr.attr, attr, scope)
                    for v in evaluator.values(call.args[0], scope)
                )
            )
        case External(name) if name in _SAME_AS_ARGUMENT and call.args:
            found = evaluator.values(call.args[0], scope)
            return tuple(v for v in found if isinstance(v, (Known, Group, Table))) or (
                Made(name, call, scope),
            )
        case External(name) if name in _IMPORTERS and call.args:
            return _imported(evaluator, evaluator.values(call.args[0], scope), scope) or (
                Made(name, call, scope),
            )
        case External(name):
            return (Made(name, call, scope),)
        case Ref(inner, _):
            return _called_ref(evaluator, inner, call, scope)
        case PartialRef(func, calls):
            made = called(evaluator, func, call, scope)
            return tuple(
                Made(v.what, v.call, v.scope, (*calls, *v.before), v.receiver) if isinstance(v, Made) else v
                for v in made
            )
        case Method(receiver, "get") if is_registry(receiver):
            return entered(evaluator, receiver)
        case Method(receiver, attr):
            return _called_method(evaluator, receiver, attr, call, scope)
        case Made(what, _, _, _, _) | SelfOf(what) if isinstance(what, Scope) and what.kind == "class":
            method = evaluator.method(what, "__call__") or evaluator.method(what, "forward")
            return (
                _called_ref(evaluator, method, call, scope)
                if method is not None
                else (Made("", call, scope),)
            )
    return (Made("", call, scope),)


def _called_ref(evaluator: Evaluator, inner: Scope, call: Call, scope: Scope) -> Values:
    if inner.kind == "class":
        return (Made(inner, call, scope),)
    if inner.is_generator:
        return (Made(inner, call, scope),)
    if not inner.returns:
        return (Known(None),)
    imported = _imported_by_name(evaluator, inner, call, scope)
    return imported or join(*(evaluator.values(expr, inner) for expr, _ in inner.returns))


def _imported_by_name(evaluator: Evaluator, inner: Scope, call: Call, scope: Scope) -> Values:
    """``lazy_import("h5py")``, for a function of the project that returns ``importlib.import_module(name)``."""
    for expr, _ in inner.returns:
        if not isinstance(expr, Call) or not expr.args or not isinstance(expr.args[0], Name):
            continue
        position = next((n for n, p in enumerate(inner.params) if p.name == expr.args[0].id), None)
        if position is None or inner.self_name is not None:
            continue
        if any(isinstance(v, External) and v.name in _IMPORTERS for v in evaluator.values(expr.func, inner)):
            given = Arguments(evaluator, call, scope).get(expr.args[0].id, position)
            return _imported(evaluator, given, scope)
    return ()


def _imported(evaluator: Evaluator, names: Values, scope: Scope) -> Values:
    """The modules of these names, if they are known for sure."""
    out: list[Value] = []
    for name in names:
        if not isinstance(name, Known) or name.by_default or not isinstance(name.value, str):
            return ()
        if not name.value.replace(".", "_").isidentifier():
            return ()
        path = evaluator.project.find(name.value, scope.module.path)
        out.append(External(name.value) if path is None else ModuleRef(path))
    return tuple(out)


def _called_method(evaluator: Evaluator, receiver: Value, attr: str, call: Call, scope: Scope) -> Values:
    if isinstance(receiver, Table):
        if attr == "get" and call.args:
            default = evaluator.values(call.args[1], scope) if len(call.args) > 1 else (Known(None),)
            keys = evaluator.values(call.args[0], scope)
            found = element(evaluator, receiver, keys)
            if all(isinstance(k, Known) and has(receiver, k.value) for k in keys):
                return found
            return join(tuple(v for v in found if v is not ABSENT), default)
        if attr == "copy":
            return (receiver,)
        if attr == "values":
            entries = (*receiver.loose, *(e for group in receiver.entries.values() for e in group))
            return (
                (Group("list", tuple(e.expr for e in entries), entries[0].scope, False),)
                if entries
                else (UNKNOWN,)
            )
        return (Made("", call, scope, (), receiver),)
    if isinstance(receiver, Made):
        prefix = receiver.what if isinstance(receiver.what, str) else ""
        return (Made(f"{prefix}.{attr}" if prefix else "", call, scope, (), receiver),)
    return (Made("", call, scope),)


def element(evaluator: Evaluator, value: Value, keys: Values) -> Values:
    """What ``value[key]`` may give."""
    match value:
        case Group(_, items, scope, exact):
            index = keys[0].value if len(keys) == 1 and isinstance(keys[0], Known) else None
            if exact and type(index) is int and -len(items) <= index < len(items):
                return evaluator.values(items[index], scope)
            return join(*(evaluator.values(item, scope) for item in items)) or (UNKNOWN,)
        case Table(entries, _, loose):
            chosen: list[Entry] = []
            for key in keys:
                if isinstance(key, Known) and not isinstance(key.value, float) and key.value in entries:
                    chosen += entries[key.value]
                elif not isinstance(key, Known):
                    chosen += [e for group in entries.values() for e in group]
            chosen += loose
            found = join(*(evaluator.values(e.expr, e.scope) for e in chosen))
            return found or (UNKNOWN,)
        case Made(what, call, scope, _, _) if isinstance(what, str) and what.endswith(
            (".prepare", ".setup_dataloaders")
        ):
            # Accelerate and Fabric hand back what they were given, wrapped.
            index = keys[0].value if len(keys) == 1 and isinstance(keys[0], Known) else None
            if type(index) is int and 0 <= index < len(call.args):
                return evaluator.values(call.args[index], scope)
        case Made(what) if isinstance(what, str) and what.endswith(".random_split"):
            return (value,)  # a subset, of whatever was split
        case Made(what) if isinstance(what, str) and what.startswith("datasets.load_"):
            return (value,)  # a split of a Hugging Face dataset
    return (UNKNOWN,)


def iterated(evaluator: Evaluator, value: Value, index: int | None) -> Values:
    """What a loop over a value binds; ``index``: the position in a target that is unpacked."""
    match value:
        case Group(_, items, scope, _):
            found = join(*(evaluator.values(item, scope) for item in items)) or (UNKNOWN,)
            if index is not None:
                return join(*(element(evaluator, v, (Known(index),)) for v in found))
            return found
        case Made(_, Call(Attr(_, "items", _)), _, _, Table(entries, _, loose)) if index == 1:
            held = (*loose, *(e for group in entries.values() for e in group))
            return join(*(evaluator.values(e.expr, e.scope) for e in held)) or (UNKNOWN,)
        case Made("builtins.enumerate", call, scope, _, _) if call.args:
            if index == 1:
                return join(*(iterated(evaluator, v, None) for v in evaluator.values(call.args[0], scope)))
        case Made("builtins.zip", call, scope, _, _):
            if index is not None and index < len(call.args):
                return join(
                    *(iterated(evaluator, v, None) for v in evaluator.values(call.args[index], scope))
                )
    return (UNKNOWN,)
