"""What an expression may stand for, followed through names, calls, attributes and files of the project.

The evaluation looks at the order of statements only as far as it is cheap and sure (a later assignment does not
reach an earlier use, a branch does not reach its ``else``); it joins all callers of a function and all branches.
It never runs anything.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING

from dlcheck.facts.model import (
    At,
    Attr,
    Call,
    Comp,
    Cond,
    Const,
    Expr,
    Import,
    Lambda,
    Mapping,
    Name,
    Op,
    Other,
    Param,
    Seq,
    Star,
    Sub,
    dotted,
)
from dlcheck.program import names
from dlcheck.program.applied import attribute, called, element, iterated
from dlcheck.program.arguments import Arguments
from dlcheck.program.callers import Callers
from dlcheck.program.options import command_line_option
from dlcheck.program.reaching import reaching
from dlcheck.program.scope import Binding, Scope
from dlcheck.program.settings_files import hydra_settings
from dlcheck.program.tables import changed, display
from dlcheck.program.values import (
    ABSENT,
    UNKNOWN,
    Entry,
    External,
    Group,
    Known,
    Made,
    ModuleRef,
    Ref,
    SelfOf,
    Table,
    Text,
    Value,
    Values,
    join,
)

if TYPE_CHECKING:
    from dlcheck.program.paths import Path
    from dlcheck.program.project import Module, Project

_DEEPEST = 40
_MOST_VALUES = 12

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b if b else 0,
}


class Evaluator:
    """Answers what an expression may stand for, and remembers the answers."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._memo: dict[tuple[int, int], Values] = {}
        self._active: set[tuple[int, int]] = set()
        self._lineage: dict[int, tuple[Value, ...]] = {}
        self._arguments: dict[int, Arguments] = {}
        self.setup_paths: dict[Scope, Path] = {}  # kept here for ``paths``
        self.callers = Callers(self)

    # -- entry ----------------------------------------------------------------------------------------------------

    def values(self, expr: Expr, scope: Scope) -> Values:
        """The possible values of an expression that stands in a scope. Never empty: unknown is a value."""
        key = (id(expr), id(scope))
        done = self._memo.get(key)
        if done is None:
            if key in self._active:
                return ()  # a cycle adds nothing to what its other parts give
            if len(self._active) > _DEEPEST:
                return (UNKNOWN,)
            self._active.add(key)
            try:
                done = self._compute(expr, scope)
            finally:
                self._active.discard(key)
            if len(done) > _MOST_VALUES:
                done = (*done[:_MOST_VALUES], UNKNOWN)
            self._memo[key] = done
        return done if done or self._active else (UNKNOWN,)

    def _compute(self, expr: Expr, scope: Scope) -> Values:
        match expr:
            case Const(value, _):
                return (Known(value),)
            case Name(name, at):
                return self.name(name, scope, at)
            case Attr(base, attr, _):
                return join(*(attribute(self, v, attr, expr, scope) for v in self.values(base, scope)))
            case Call():
                return join(*(called(self, v, expr, scope) for v in self.values(expr.func, scope)))
            case Cond(_, then, orelse, _):
                return join(self.values(then, scope), self.values(orelse, scope))
            case Op("and" | "or", operands, _):
                return join(*(self.values(operand, scope) for operand in operands))
            case Other("fstring", (Const(str(text), _), *_), _) | Op("%" | "+", (Const(str(text), _), _), _):
                return (Text(text.partition("%")[0]),)
            case Op(op, operands, _):
                return self._arithmetic(op, operands, scope)
            case Seq(kind, items, _):
                exact = not any(isinstance(item, Star) for item in items)
                return (Group(kind, items, scope, exact),)
            case Comp(kind, elements, _, _):
                if kind == "dict":
                    return (Table({}, True, (Entry(elements[1], scope, True),)),)
                return (Group(kind, elements, scope, False),)
            case Mapping(items, _):
                return display(self, items, scope)
            case Lambda():
                return (
                    (Ref(scope.lambda_scopes[id(expr)]),) if id(expr) in scope.lambda_scopes else (UNKNOWN,)
                )
            case Sub(base, index, _):
                keys = self.values(index, scope)
                return join(*(element(self, v, keys) for v in self.values(base, scope)))
            case Other("setting", (Const(value, _),), _):
                return (Known(value, True),)
            case Other("walrus", (_, value), _) | Other("await", (value,), _):
                return self.values(value, scope)
            case Star(value, _):
                return self.values(value, scope)
        return (UNKNOWN,)

    def _arithmetic(self, op: str, operands: tuple[Expr, ...], scope: Scope) -> Values:
        compute = _ARITHMETIC.get(op)
        if compute is None or len(operands) != 2:
            return (UNKNOWN,)
        left, right = (self.values(operand, scope) for operand in operands)
        out: list[Value] = []
        for a in left:
            for b in right:
                if (
                    isinstance(a, Known)
                    and isinstance(b, Known)
                    and isinstance(a.value, (int, float))
                    and isinstance(b.value, (int, float))
                ):
                    out.append(Known(compute(a.value, b.value), a.by_default or b.by_default))
                else:
                    # A number scaled by a constant is still "that number" for the questions asked of it.
                    other = b if isinstance(a, Known) else a
                    out.append(other if isinstance(other, Made) and isinstance(other.what, str) else UNKNOWN)
        return join(tuple(out))

    # -- names ----------------------------------------------------------------------------------------------------

    def name(self, name: str, scope: Scope, at: At) -> Values:
        """What a name may stand for where it is used."""
        owner: Scope | None = scope
        while owner is not None:
            if name in owner.bindings and (owner.kind != "class" or owner is scope):
                inside = owner is scope
                found = reaching(owner.bindings[name], owner, at if inside else None)
                values = join(*(self.bound(binding, name, owner) for binding in found))
                if any(isinstance(v, (Table, Group)) for v in values):
                    return tuple(changed(self, v, name, owner, at if inside else None) for v in values)
                return values
            owner = owner.parent
        for star in scope.module.scope.stars:
            target = self.project.target(star, scope.module.path)
            if target is not None:
                module = self.project.module(target)
                if module is not None and name in module.scope.bindings:
                    return self.module_name(module, name)
            elif name in names.STAR_NAMES.get(star.module, ()):
                return (External(f"{star.module}.{name}"),)
        return (External(f"builtins.{name}"),) if name in _BUILTINS else (UNKNOWN,)

    def bound(self, binding: Binding, name: str, scope: Scope) -> Values:
        """What one binding gives a name of a scope."""
        match binding.kind:
            case "assign" | "with" | "augment":
                assert binding.value is not None
                return self.values(binding.value, scope)
            case "unpack":
                assert binding.value is not None
                values = self.values(binding.value, scope)
                if binding.index is None:
                    return (UNKNOWN,)
                index = (Known(binding.index),)
                return join(*(element(self, v, index) for v in values))
            case "for":
                assert binding.value is not None
                return join(*(iterated(self, v, binding.index) for v in self.values(binding.value, scope)))
            case "param":
                return self.parameter(scope, binding.node, binding.index or 0)
            case "import":
                return self._imported(binding.node, scope.module)
            case "def" | "class":
                return (Ref(binding.node),)
        return (UNKNOWN,)

    def _imported(self, node: Import, module: Module) -> Values:
        path = module.path
        if node.name is None:
            full = node.module if node.bound != node.module.split(".")[0] else node.bound
            found = self.project.find(full, path)
            return (ModuleRef(found),) if found is not None else (External(full),)
        target = self.project.target(node, path)
        if target is not None:
            inner = self.project.module(target)
            if inner is not None and inner is not module:
                if node.name in inner.scope.bindings:
                    return self.module_name(inner, node.name)
                for star in inner.scope.stars:
                    deeper = self.project.target(star, inner.path)
                    deepest = self.project.module(deeper) if deeper else None
                    if deepest is not None and node.name in deepest.scope.bindings:
                        return self.module_name(deepest, node.name)
        below = self.project.submodule(node, path)
        if below is not None:
            return (ModuleRef(below),)
        if target is not None or node.level:
            return (UNKNOWN,)
        return (External(f"{node.module}.{node.name}"),)

    def module_name(self, module: Module, name: str) -> Values:
        """What a module-level name of a module stands for after the module has run."""
        bindings = module.scope.bindings.get(name, [])
        key = (id(bindings), id(module))
        if key in self._active:
            return ()
        self._active.add(key)
        try:
            return join(*(self.bound(binding, name, module.scope) for binding in bindings)) or (UNKNOWN,)
        finally:
            self._active.discard(key)

    # -- parameters -----------------------------------------------------------------------------------------------

    def parameter(self, scope: Scope, param: Param, position: int) -> Values:
        """What a parameter may hold: what the callers in the project give, and its default where one gives nothing."""
        if param.name == scope.self_name and scope.owner is not None:
            return (SelfOf(scope.owner),)
        default = self._default(scope, param)
        callers = self.callers.of(scope)
        out: list[Values] = []
        for site, skipped in callers:
            arguments = self._arguments.get(id(site))
            if arguments is None:
                arguments = Arguments(self, site.call, site.scope)
                if all(key is not None for key, _ in site.call.keywords):
                    self._arguments[id(site)] = arguments
            if param.kind == "kwargs":
                named = {p.name for p in scope.params}
                out.append((arguments.rest(named),))
            elif param.kind == "args":
                out.append((Group("tuple", (), site.scope, False),))
            else:
                given = arguments.get(param.name, None if param.kind == "keyword" else position - skipped)
                if ABSENT in given:
                    given = tuple(v for v in given if v is not ABSENT)
                    out.append(default)
                out.append(given)
        if callers:
            return join(*out)
        annotated = self._annotated(scope, param)
        if annotated:
            return annotated
        if param.kind == "kwargs":
            return (Table({}, True),)
        return default or (UNKNOWN,)

    def _default(self, scope: Scope, param: Param) -> Values:
        option = command_line_option(self, scope, param)
        if option is not None:
            return option
        if param.default is None:
            return hydra_settings(self, scope)
        outside = scope.parent or scope
        out: list[Value] = []
        for value in self.values(param.default, outside):
            if isinstance(value, Known):
                value = Known(value.value, True)
            elif isinstance(value, Made) and value.what in ("typer.Option", "typer.Argument"):
                if value.call.args:
                    out += [
                        Known(v.value, True)
                        for v in self.values(value.call.args[0], value.scope)
                        if isinstance(v, Known)
                    ]
                continue
            out.append(value)
        return tuple(out)

    def _annotated(self, scope: Scope, param: Param) -> Values:
        if param.annotation is None or not isinstance(param.annotation, (Name, Attr)):
            return ()
        found = self.values(param.annotation, scope.parent or scope)
        return tuple(SelfOf(v.scope) for v in found if isinstance(v, Ref) and v.scope.kind == "class")

    # -- classes --------------------------------------------------------------------------------------------------

    def lineage(self, cls: Scope) -> tuple[Value, ...]:
        """A class and its bases, nearest first: ``Ref`` for those of the project, ``External`` for the others."""
        known = self._lineage.get(id(cls))
        if known is not None:
            return known
        if cls.kind != "class":
            return (Ref(cls),)  # what a generator function makes
        self._lineage[id(cls)] = (Ref(cls),)
        out: dict[Value, None] = {Ref(cls): None}
        for base in cls.node.bases:
            if isinstance(base, Sub):  # Dataset[T]
                base = base.base
            for value in self.values(base, cls.parent or cls):
                if isinstance(value, Ref) and value.scope.kind == "class":
                    out.update(dict.fromkeys(self.lineage(value.scope)))
                else:
                    out[value if isinstance(value, External) else UNKNOWN] = None
        self._lineage[id(cls)] = tuple(out)
        return tuple(out)

    def is_a(self, cls: Scope, names: frozenset[str]) -> bool:
        """The class derives from one of the named classes of other packages."""
        return any(isinstance(v, External) and v.name in names for v in self.lineage(cls))

    def method(self, cls: Scope, name: str) -> Scope | None:
        """The function that a method name finds on a class, in it or its bases."""
        for value in self.lineage(cls):
            if isinstance(value, Ref) and name in value.scope.functions:
                return value.scope.functions[name]
        return None

    def instance_attribute(self, cls: Scope, attr: str) -> Values:
        """What an attribute of an instance may hold: what the methods of its classes store, or its class attribute."""
        out: list[Values] = []
        for value in self.lineage(cls):
            if not isinstance(value, Ref):
                continue
            owner = value.scope
            if attr in owner.functions:
                method = owner.functions[attr]
                if is_property(method):
                    return join(*(self.values(expr, method) for expr, _ in method.returns)) or (UNKNOWN,)
                return (Ref(method, True),)
            for method in owner.all_functions:
                for store in method.stores:
                    if (
                        store.attr == attr
                        and isinstance(store.base, Name)
                        and store.base.id == method.self_name
                    ):
                        values = self.values(store.value, method)
                        if store.element is not None:
                            index = (Known(store.element),)
                            values = join(*(element(self, v, index) for v in values))
                        out.append(values)
            if attr in owner.bindings and not out:
                for binding in owner.bindings[attr]:
                    found = self.bound(binding, attr, owner)
                    out.append(tuple(Known(v.value, True) if isinstance(v, Known) else v for v in found))
            if out:
                break
        if not out:
            return (UNKNOWN,)
        return join(*out) or (UNKNOWN,)


def is_property(scope: Scope) -> bool:
    """A method that stands behind an attribute."""
    return any(dotted(d).rpartition(".")[2] in ("property", "cached_property") for d in scope.node.decorators)


_BUILTINS = frozenset(dir(builtins))
