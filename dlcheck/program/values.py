"""What an expression may stand for. Everything is known, possible, absent or *unknown*, and unknown is never a zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from dlcheck.facts.model import Call, Expr
from dlcheck.program.scope import Scope


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A constant. ``by_default``: it comes from a default (of a parameter, a parser, a field) that a caller may change."""

    value: str | int | float | bool | None
    by_default: bool = False

    def __eq__(self, other: object) -> bool:
        # 1 == True in Python; as arguments they are two different things.
        return isinstance(other, Known) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (type(self.value), self.value, self.by_default)


@dataclass(frozen=True, slots=True)
class Absent:
    """The argument is not given."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of which only the beginning is known: ``f"cuda:{rank}"``."""

    start: str


@dataclass(frozen=True, slots=True)
class External:
    """Something of another package, by its full name: ``torch.utils.data.DataLoader``, ``builtins.enumerate``."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class ModuleRef:
    """A module of the project."""

    path: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A function, lambda or class of the project; ``bound``: a method taken from an instance."""

    scope: Scope
    bound: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What a call gives: an instance of a class of the project (``what`` is its scope), a generator of a function
    of the project, or the result of a callable of another package (``what`` is its full name; empty: not known).

    ``before`` holds the calls of ``functools.partial`` whose arguments come first.
    """

    what: Scope | str
    call: Call
    scope: Scope
    before: tuple[tuple[Call, Scope], ...] = ()
    receiver: Value | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Made)
            and self.call is other.call
            and self.scope is other.scope
            and self.what == other.what
            and self.before == other.before
            and self._table() is other._table()
        )

    def __hash__(self) -> int:
        return id(self.call)

    def _table(self) -> Table | None:
        """``tables.items()`` gives what each of the tables holds."""
        return self.receiver if isinstance(self.receiver, Table) else None


@dataclass(frozen=True, slots=True)
class SelfOf:
    """An instance of a class of the project whose making is not seen (``self``, an annotated parameter)."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Method:
    """An attribute of what a foreign callable gave: ``h5py.File(...).keys``."""

    receiver: Value
    attr: str


@dataclass(frozen=True, slots=True)
class PartialRef:
    """``functools.partial(func, ...)``."""

    func: Value
    calls: tuple[tuple[Call, Scope], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A list, tuple or set. ``exact``: its items are all of it, in this order (not a comprehension)."""

    kind: str
    items: tuple[Expr, ...]
    scope: Scope
    exact: bool = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        # The items are compared by identity: they may be large, and a display stands in one place.
        return (self.kind, tuple(id(item) for item in self.items), id(self.scope))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One value that a key may have. ``certain``: the key has it wherever the table is used."""

    expr: Expr
    scope: Scope
    certain: bool


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A dict. ``open``: it may hold keys that are not seen. ``loose`` are values under keys that are not known."""

    entries: dict[str | int | bool | None, tuple[Entry, ...]] = field(default_factory=dict)
    open: bool = False
    loose: tuple[Entry, ...] = ()


Value: TypeAlias = (
    Known
    | Absent
    | Unknown
    | Text
    | External
    | ModuleRef
    | Ref
    | Made
    | SelfOf
    | Method
    | PartialRef
    | Group
    | Table
)
Values: TypeAlias = tuple[Value, ...]

ABSENT = Absent()
UNKNOWN = Unknown()


def join(*groups: Values) -> Values:
    """All values of several possibilities, each once, in order."""
    given = [group for group in groups if group]
    if len(given) == 1 and len(given[0]) == 1:
        return given[0]
    return tuple(dict.fromkeys(value for group in given for value in group))


def constants(values: Values) -> list[str | int | float | bool | None]:
    """The constants among the possible values."""
    return [v.value for v in values if isinstance(v, Known)]


def only(values: Values, constant: str | int | float | bool | None) -> bool:
    """Every possible value is this constant (``True`` is not 1)."""
    return bool(values) and all(
        isinstance(v, Known) and v.value == constant and type(v.value) is type(constant) for v in values
    )


def may_be(values: Values, constant: str | int | float | bool | None) -> bool:
    """One of the known possible values is this constant."""
    return any(
        isinstance(v, Known) and v.value == constant and type(v.value) is type(constant) for v in values
    )
