"""Dicts and lists as values: displays, ``dict(...)``, ``update``, and what a scope puts into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dlcheck.facts.model import At, Attr, Call, Const, Expr, Name
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.values import Entry, Group, Known, Table, Value, Values

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator


def display(evaluator: Evaluator, items: tuple[tuple[Expr | None, Expr], ...], scope: Scope) -> Values:
    """The dict that a display such as ``{"a": 1, **more}`` gives."""
    table = Table({}, False, ())
    for key, value in items:
        if key is None:
            merged = [v for v in evaluator.values(value, scope) if isinstance(v, Table)]
            table = merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
            continue
        names = evaluator.values(key, scope)
        if len(names) == 1 and isinstance(names[0], Known) and not isinstance(names[0].value, float):
            table = with_entry(table, names[0].value, Entry(value, scope, True))
        else:
            table = Table(table.entries, True, (*table.loose, Entry(value, scope, False)))
    return (table,)


def dict_call(evaluator: Evaluator, call: Call, scope: Scope) -> Values:
    """The dict that ``dict(...)`` gives, or that ``update`` is handed."""
    table = Table({}, False, ())
    for argument in call.args:
        merged = [v for v in evaluator.values(argument, scope) if isinstance(v, Table)]
        table = merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
    for key, value in call.keywords:
        if key is None:
            merged = [v for v in evaluator.values(value, scope) if isinstance(v, Table)]
            table = merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
        else:
            table = with_entry(table, key, Entry(value, scope, True))
    return (table,)


def merge(table: Table, others: list[Table], *, certain: bool) -> Table:
    """A dict with what others add to it; ``certain``: for sure, and not only in some runs."""
    entries = dict(table.entries)
    is_open, loose = table.open, table.loose
    for other in others:
        is_open, loose = is_open or other.open, (*loose, *other.loose)
        for key, group in other.entries.items():
            if certain and all(e.certain for e in group):
                entries[key] = group
            else:
                softened = tuple(Entry(e.expr, e.scope, False) for e in group)
                entries[key] = (*entries.get(key, ()), *softened)
    return Table(entries, is_open, loose)


def changed(evaluator: Evaluator, value: Value, name: str, scope: Scope, at: At | None) -> Value:
    """A dict or list with what the scope puts into it under this name."""
    if isinstance(value, Table):
        return _updated(evaluator, value, name, scope, at)
    if isinstance(value, Group) and value.kind == "list" and value.scope is scope:
        added = tuple(
            site.call.args[0]
            for site in scope.calls
            if isinstance(site.call.func, Attr)
            and site.call.func.attr == "append"
            and _is_name(site.call.func.base, name)
            and len(site.call.args) == 1
        )
        if added:
            return Group("list", value.items + added, scope, False)
    return value


def _updated(evaluator: Evaluator, table: Table, name: str, scope: Scope, at: At | None) -> Table:
    """A table after the ``name.update(...)`` and ``name[key] = value`` that stand before its use."""
    around: list[Block] = []
    if at is not None:
        block = scope.block_at(at)
        around = list(block.chain()) if block is not None else []
    changes: list[tuple[At, Block | None, Callable[[Table, bool], Table]]] = []
    for site in scope.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.attr in ("update", "setdefault") and _is_name(func.base, name):
            changes.append((site.at, site.block, _update_of(evaluator, site)))
    for store in scope.stores:
        if store.attr is None and store.index is not None and _is_name(store.base, name):
            keys = [v.value if isinstance(v, Known) else ... for v in evaluator.values(store.index, scope)]
            for key in keys:
                entry = Entry(store.value, scope, len(keys) == 1)
                if key is ... or isinstance(key, float):
                    changes.append((store.at, store.block, _loosely(entry)))
                else:
                    changes.append((store.at, store.block, _setter(key, entry)))
    for where, block, change in sorted(changes, key=lambda c: (c[0][0], c[0][1])):
        if at is None or (where[0], where[1]) < (at[0], at[1]):
            table = change(table, block is None or block in around)
    return table


def _update_of(evaluator: Evaluator, site: CallSite) -> Callable[[Table, bool], Table]:
    def change(table: Table, certain: bool) -> Table:
        func = site.call.func
        assert isinstance(func, Attr)
        if func.attr == "setdefault":
            if len(site.call.args) == 2 and isinstance(site.call.args[0], Const):
                key = site.call.args[0].value
                if not isinstance(key, float):
                    return with_entry(table, key, Entry(site.call.args[1], site.scope, False))
            return table
        others = [v for v in dict_call(evaluator, site.call, site.scope) if isinstance(v, Table)]
        return merge(table, others, certain=certain)

    return change


def has(table: Table, key: object) -> bool:
    """Whether a dict holds a key for certain."""
    return any(name == key and all(e.certain for e in group) for name, group in table.entries.items())


def _loosely(entry: Entry) -> Callable[[Table, bool], Table]:
    return lambda table, certain: Table(table.entries, table.open, (*table.loose, entry))


def _setter(key: str | int | bool | None, entry: Entry) -> Callable[[Table, bool], Table]:
    def change(table: Table, certain: bool) -> Table:
        if certain and entry.certain:
            return with_entry(table, key, entry)
        soft = Entry(entry.expr, entry.scope, False)
        return Table({**table.entries, key: (*table.entries.get(key, ()), soft)}, table.open, table.loose)

    return change


def with_entry(table: Table, key: str | int | bool | None, entry: Entry) -> Table:
    """A dict with one more entry."""
    return Table({**table.entries, key: (entry,)}, table.open, table.loose)


def _is_name(expr: Expr, name: str) -> bool:
    return isinstance(expr, Name) and expr.id == name
