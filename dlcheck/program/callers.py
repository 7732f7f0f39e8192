"""Who calls what, who derives from whom, and which options parsers have, in the files read so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dlcheck.facts.model import Attr, Call, Const, Expr, Mapping, Name, Other, Seq, Sub, dotted
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import Ref

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator
    from dlcheck.program.project import Module

# The calls of one name, by what they call: with their number in the order of reading.
_Table = dict[int, list[tuple[int, CallSite, Ref]]]
_Callers = list[tuple[CallSite, int]]
_HANDING_OVER = frozenset(
    {"submit", "to_thread", "run_in_executor", "apply_async", "start_new_thread", "spawn"}
    | {"map", "imap", "imap_unordered"}
)


class Callers:
    """An index of calls by name, and by target as soon as somebody asks for it. It grows as files are read."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._project = evaluator.project
        self._indexed: dict[str, int] = {}
        self._by_name: dict[str, list[CallSite]] = {}
        self._options: dict[str, list[CallSite]] = {}
        self._settings: dict[str, list[tuple[Expr, Scope]]] = {}
        # By name: how many calls of that name are in the table. None while it is made.
        self._targets: dict[str, tuple[int, _Table] | None] = {}
        self._known: dict[int, tuple[int, _Callers]] = {}
        self._searched: set[str] = set()
        self._derived: dict[int, list[Scope]] = {}
        # What was asked for, by name, and how many files were read by then; None: every call of the name.
        self._asked: dict[str, list[tuple[Scope | None, int]]] = {}

    def named(self, name: str) -> list[CallSite]:
        """Every call whose callee's last name is this one."""
        self._index()
        self._ask(name, None)
        return self._by_name.get(name, [])

    def option(self, dest: str) -> list[CallSite]:
        """The ``add_argument`` calls that define a command-line option."""
        self._index()
        return self._options.get(dest, [])

    def settings(self, key: str) -> list[tuple[Expr, Scope]]:
        """The defaults of a setting such as ``DATALOADER.NUM_WORKERS``: what modules store under that name in a tree of
        settings of any name (``_C.DATALOADER.NUM_WORKERS = 4``, as yacs has it).
        """
        self._index()
        return self._settings.get(key, [])

    def of(self, scope: Scope) -> _Callers:
        """The calls of a function of the project, with the number of parameters that the call does not show (``self``)."""
        self._index()
        known = self._known.get(id(scope))
        if known is not None and known[0] == len(self._indexed):
            return known[1]
        out: _Callers = []
        self._known[id(scope)] = (len(self._indexed), out)
        owner = scope.owner
        seen: set[int] = set()
        names = self._names(scope)
        for name in names:
            self._ask(name, scope)
            table = self._table(name)
            found = [entry for target in self._targets_of(scope) for entry in table.get(id(target), ())]
            if not scope.module.is_unit_test:
                # What a test hands over says nothing of how the program is used.
                found = [entry for entry in found if not entry[1].scope.module.is_unit_test]
            for _, site, ref in sorted(found, key=lambda entry: entry[0]):
                if id(site) not in seen:
                    seen.add(id(site))
                    explicit = owner is None or scope.is_static or (ref.scope is scope and not ref.bound)
                    out.append((site, 0 if explicit else 1))
        if any(self._targets.get(name, ()) is None for name in names):
            self._known.pop(id(scope), None)  # asked for while a table is made: there may be more
        return out

    def subclasses(self, cls: Scope) -> list[Scope]:
        """The classes that derive from a class of the project."""
        self._index()
        self._ask(cls.name, cls)
        for module in self._project.loaded if len(self._searched) != self._project.count else ():
            if module.path not in self._searched:
                self._searched.add(module.path)
                for scope in module.scopes:
                    if scope.kind == "class" and scope.node.bases:
                        for value in self._evaluator.lineage(scope)[1:]:
                            if isinstance(value, Ref):
                                self._derived.setdefault(id(value.scope), []).append(scope)
        return self._derived.get(id(cls), [])

    def settled(self, modules: Iterable[Module]) -> bool:
        """Whether nothing that was answered so far changes with these modules, which were read meanwhile.

        They may call what callers were asked for before, derive from what subclasses were asked for, or define options.
        """
        self._index()
        return not any(
            self._derives(scope, number) or any(self._calls(site, number) for site in scope.calls)
            for module, number in ((module, self._indexed[module.path]) for module in modules)
            for scope in module.scopes
        )

    def _ask(self, name: str, scope: Scope | None) -> None:
        self._asked.setdefault(name, []).append((scope, len(self._indexed)))

    def _index(self) -> None:
        if len(self._indexed) == self._project.count:
            return
        for module in self._project.loaded:
            if module.path in self._indexed:
                continue
            self._indexed[module.path] = len(self._indexed)
            for store in module.scope.stores:
                key = dotted(store.base).partition(".")[2]
                if store.attr is not None and key:
                    self._settings.setdefault(f"{key}.{store.attr}", []).append((store.value, module.scope))
            for scope in module.scopes:
                for site in scope.calls:
                    name = last_name(site.call.func)
                    if name:
                        self._by_name.setdefault(name, []).append(site)
                    if site.call.keywords or name in _HANDING_OVER:
                        self._index_handed_over(site)
                    if name == "add_argument":
                        for dest in _destinations(site):
                            self._options.setdefault(dest, []).append(site)

    def _index_handed_over(self, site: CallSite) -> None:
        call = handed_over(site)
        name = last_name(call.func) if call is not None else ""
        if call is not None and name:
            self._by_name.setdefault(name, []).append(CallSite(call, site.scope, site.block, site.statement))

    def _names(self, scope: Scope) -> list[str]:
        owner = scope.owner
        if owner is not None and scope.name == "__init__":
            return list(dict.fromkeys([owner.name, "__init__", *(c.name for c in self.subclasses(owner))]))
        return [] if owner is not None and scope.name == "__call__" else [scope.name]

    def _targets_of(self, scope: Scope) -> list[Scope]:
        """What a call may name to run a function: itself, its class, or the method of a base class that it replaces."""
        targets = [scope]
        owner = scope.owner
        if owner is None:
            return targets
        if scope.name == "__init__":
            classes = [owner, *self.subclasses(owner)]
            targets += [cls for cls in classes if self._evaluator.method(cls, "__init__") is scope]
        for value in self._evaluator.lineage(owner)[1:]:
            if isinstance(value, Ref) and scope.name in value.scope.functions:
                targets.append(value.scope.functions[scope.name])
        return targets

    def _table(self, name: str) -> _Table:
        """The calls of a name, by the scope that each may reach."""
        sites = self._by_name.get(name, [])
        made = self._targets.get(name, (0, {}))
        if made is not None and made[0] == len(sites):
            return made[1]
        count, table = made if made is not None else (0, {})
        nested = made is None  # asked for again on the way: what is being made is not complete
        if not nested:
            self._targets[name] = None
        # Plain names first: what ``model.train()`` calls may depend on who calls ``train(model)``.
        for number in sorted(
            range(count, len(sites)), key=lambda n: not isinstance(sites[n].call.func, Name)
        ):
            site = sites[number]
            for value in self._evaluator.values(site.call.func, site.scope):
                if isinstance(value, Ref):
                    table.setdefault(id(value.scope), []).append((number, site, value))
        if not nested:
            self._targets[name] = (len(sites), table)
        return table

    def _derives(self, scope: Scope, number: int) -> bool:
        if scope.kind != "class" or not any(last_name(base) in self._asked for base in scope.node.bases):
            return False
        asked = (cls for base in scope.node.bases for cls in self._asked_before(last_name(base), number))
        return bool({Ref(cls) for cls in asked if cls is not None} & set(self._evaluator.lineage(scope)))

    def _calls(self, site: CallSite, number: int) -> bool:
        name = last_name(site.call.func)
        if name == "add_argument":
            return True
        asked = self._asked_before(name, number)
        if not asked:
            return False
        if None in asked:
            return True
        called = {v.scope for v in self._evaluator.values(site.call.func, site.scope) if isinstance(v, Ref)}
        return bool(called) and any(
            not called.isdisjoint(self._targets_of(scope)) for scope in asked if scope is not None
        )

    def _asked_before(self, name: str, number: int) -> list[Scope | None]:
        """What was asked for by this name when the file of this number was not read yet."""
        return list(dict.fromkeys(scope for scope, read in self._asked.get(name, ()) if read <= number))


def handed_over(site: CallSite) -> Call | None:
    """The call that another thread or process makes: of ``f(a, b)`` for ``Thread(target=f, args=(a, b))``, for
    ``executor.submit(f, a, b)``, for ``mp.spawn(f, args=(a, b))`` (whose first argument is the number of the process); for
    ``executor.map(partial(f, a), values)``, with what it takes of the values not known.
    """
    call = site.call
    name = last_name(call.func)
    given = dict(call.keywords)
    target = given.get("target")
    if name not in _HANDING_OVER and target is None:
        return None
    if target is not None:
        return Call(target, _items(given.get("args")), _entries(given.get("kwargs")), call.at)
    if name in ("submit", "to_thread", "run_in_executor"):
        handed = call.args[1:] if name == "run_in_executor" else call.args
        return Call(handed[0], handed[1:], call.keywords, call.at) if handed else None
    if name in ("map", "imap", "imap_unordered"):
        return _mapped(call)
    if name in ("apply_async", "start_new_thread") and call.args:
        args = given.get("args") or (call.args[1] if len(call.args) > 1 else None)
        return Call(call.args[0], _items(args), _entries(given.get("kwds")), call.at)
    if name == "spawn":
        function = given.get("fn") or (call.args[0] if call.args else None)
        args = given.get("args") or (call.args[1] if len(call.args) > 1 else None)
        if function is not None:
            return Call(function, (Other("process", (), call.at), *_items(args)), (), call.at)
    return None


def _mapped(call: Call) -> Call | None:
    partial = call.args[0] if len(call.args) > 1 else None
    if not isinstance(partial, Call) or last_name(partial.func) != "partial" or not partial.args:
        return None
    taken = tuple(Other("element", (), call.at) for _ in call.args[1:])
    return Call(partial.args[0], (*partial.args[1:], *taken), partial.keywords, call.at)


def _items(expr: Expr | None) -> tuple[Expr, ...]:
    return expr.items if isinstance(expr, Seq) else ()


def _entries(expr: Expr | None) -> tuple[tuple[str | None, Expr], ...]:
    if not isinstance(expr, Mapping):
        return ()
    return tuple((str(k.value), v) for k, v in expr.items if isinstance(k, Const))


def _destinations(site: CallSite) -> tuple[str, ...]:
    for key, value in site.call.keywords:
        if key == "dest" and isinstance(value, Const):
            return (str(value.value),)
    flags = [a.value for a in site.call.args if isinstance(a, Const)]
    return tuple(str(flag).lstrip("-").replace("-", "_") for flag in flags)


def last_name(expr: Expr) -> str:
    """``c`` of ``a.b.c``, also where it is indexed."""
    if isinstance(expr, Sub):
        expr = expr.base
    return expr.attr if isinstance(expr, Attr) else expr.id if isinstance(expr, Name) else ""
