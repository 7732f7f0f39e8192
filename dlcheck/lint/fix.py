"""Fixes: what a rule wants changed in one file, as plain values. ``dlcheck.lint.edit`` carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from dlcheck.facts.model import At


@dataclass(frozen=True, slots=True)
class SetArgument:
    """Give the call at a place the keyword argument ``name`` with the source ``value``, in place of one it has."""

    call: At
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RemoveArgument:
    """Take the keyword argument ``name`` out of the call at a place."""

    call: At
    name: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put the expression ``code`` in the place of the expression at ``at``."""

    at: At
    code: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Put ``partial(f, a)`` in the place of the call ``f(a)`` at a place: it is made when that is called."""

    call: At


@dataclass(frozen=True, slots=True)
class Enclose:
    """Put ``function(e, *arguments)`` in the place of the expression ``e`` at ``at``; the arguments are source."""

    at: At
    function: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Insert:
    """Put the statements ``code`` before or after the statement that ``at`` lies in, the innermost one, or before the
    module-level one (``top``).
    """

    at: At
    code: str
    where: Literal["before", "after", "top"]


@dataclass(frozen=True, slots=True)
class InsertInBody:
    """Put the statements ``code`` first (after a docstring) or last in the body of the loop, function or class at ``at``.

    ``at`` is the place of the whole statement; that of a function or class without its decorators.
    """

    at: At
    code: str
    where: Literal["first", "last"]


@dataclass(frozen=True, slots=True)
class Move:
    """Take the statement that ``at`` lies in from its place, and put it before the loop at ``before``."""

    at: At
    before: At


@dataclass(frozen=True, slots=True)
class Hoist:
    """Make a function ``name`` of the lambda at a place, above the module-level statement that it stands in."""

    at: At
    name: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Put the module-level statements from ``first`` to ``last`` under ``if __name__ == "__main__":``."""

    first: At
    last: At


@dataclass(frozen=True, slots=True)
class AddImport:
    """Import ``module``, or ``name`` from it, unless the file does."""

    module: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeComment:
    """Put ``new`` in the place of ``old`` in the comment of a line. A comment of which nothing is left goes, and so does its
    line, if it held nothing else.
    """

    line: int
    old: str
    new: str


Edit: TypeAlias = (
    SetArgument
    | RemoveArgument
    | Replace
    | Defer
    | Enclose
    | Insert
    | InsertInBody
    | Move
    | Hoist
    | Guard
    | AddImport
    | ChangeComment
)


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits of one file that belong together.

    ``safe``: it may be applied without a look, since the program does the same as before, or what it was plainly meant to.
    """

    title: str
    edits: tuple[Edit, ...]
    safe: bool
