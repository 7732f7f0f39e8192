"""Which callables of other packages a call may reach, by full name."""

from __future__ import annotations

from dlcheck.facts.model import Call, Name
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.scope import Scope
from dlcheck.program.values import External, Made, Method, PartialRef, Value


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
