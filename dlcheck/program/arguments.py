"""The arguments of a call, by name and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcheck.facts.model import Call, Expr, Star
from dlcheck.program.scope import Scope
from dlcheck.program.tables import merge, with_entry
from dlcheck.program.values import ABSENT, UNKNOWN, Entry, Table, Values, join

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator


class Arguments:
    """The arguments of a call, with ``*`` and ``**`` taken apart as far as they are known."""

    def __init__(
        self, evaluator: Evaluator, call: Call, scope: Scope, before: tuple[tuple[Call, Scope], ...] = ()
    ) -> None:
        self.evaluator = evaluator
        self.positional: list[tuple[Expr, Scope]] = []
        self.table = Table({}, False, ())
        self.starred = False
        for partial, where in before:
            self._add(partial.args[1:], partial.keywords, where)
        self._add(call.args, call.keywords, scope)

    def _add(
        self, args: tuple[Expr, ...], keywords: tuple[tuple[str | None, Expr], ...], scope: Scope
    ) -> None:
        for argument in args:
            if isinstance(argument, Star):
                self.starred = True
            elif not self.starred:
                self.positional.append((argument, scope))
        if all(key is not None for key, _ in keywords):
            entries = dict(self.table.entries)
            for key, value in keywords:
                entries[key] = (Entry(value, scope, True),)
            self.table = Table(entries, self.table.open, self.table.loose)
            return
        for key, value in keywords:
            if key is not None:
                self.table = with_entry(self.table, key, Entry(value, scope, True))
                continue
            found = self.evaluator.values(value, scope)
            tables = [v for v in found if isinstance(v, Table)]
            if not tables:
                tables = [Table({}, True)]
            self.table = merge(self.table, tables, certain=len(tables) == 1)

    def get(self, name: str, position: int | None) -> Values:
        """The possible values of a parameter; ``ABSENT`` among them where the call may not give it."""
        if position is not None and 0 <= position < len(self.positional):
            expr, scope = self.positional[position]
            return self.evaluator.values(expr, scope)
        entries = self.table.entries.get(name, ())
        found = join(*(self.evaluator.values(e.expr, e.scope) for e in entries))
        if any(e.certain for e in entries):
            return found or (UNKNOWN,)
        if self.table.open or (self.starred and position is not None):
            return join(found, (UNKNOWN,))
        return join(found, (ABSENT,))

    def given(self, name: str, position: int | None) -> tuple[tuple[Expr, Scope], ...]:
        """The expressions that may be given for a parameter."""
        if position is not None and 0 <= position < len(self.positional):
            return (self.positional[position],)
        return tuple((e.expr, e.scope) for e in self.table.entries.get(name, ()))

    def rest(self, named: set[str]) -> Table:
        """What is left for ``**kwargs`` when the named parameters are taken out."""
        entries = {key: group for key, group in self.table.entries.items() if key not in named}
        return Table(entries, self.table.open, self.table.loose)
