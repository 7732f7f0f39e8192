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
from dlcheck.program.callers import Callers
from dlcheck.program.scope import Binding, Block, CallSite, Scope
from dlcheck.program.settings_files import NAMESPACES, READERS, WRAPPERS, hydra_settings, settings_read
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
    from dlcheck.program.project import Module, Project

_DEEPEST = 40
_MOST_VALUES = 12

_SAME_AS_ARGUMENT = {
    "builtins.int", "builtins.list", "builtins.tuple", "builtins.sorted", "builtins.reversed", "copy.copy",
    "copy.deepcopy", "builtins.bool", "builtins.str",
}  # fmt: skip
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
                return join(*(self.attribute(v, attr, expr, scope) for v in self.values(base, scope)))
            case Call():
                return join(*(self.called(v, expr, scope) for v in self.values(expr.func, scope)))
            case Cond(_, then, orelse, _):
                return join(self.values(then, scope), self.values(orelse, scope))
            case Op("and" | "or", operands, _):
                return join(*(self.values(operand, scope) for operand in operands))
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
                return self._display(items, scope)
            case Lambda():
                return (
                    (Ref(scope.lambda_scopes[id(expr)]),) if id(expr) in scope.lambda_scopes else (UNKNOWN,)
                )
            case Sub(base, index, _):
                keys = self.values(index, scope)
                return join(*(self.element(v, keys) for v in self.values(base, scope)))
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
                found = self._reaching(owner.bindings[name], owner, at if inside else None)
                values = join(*(self._bound(binding, name, owner) for binding in found))
                if any(isinstance(v, (Table, Group)) for v in values):
                    return tuple(self._changed(v, name, owner, at if inside else None) for v in values)
                return values
            owner = owner.parent
        for star in scope.module.scope.stars:
            target = self.project.target(star, scope.module.path)
            if target is not None:
                module = self.project.module(target)
                if module is not None and name in module.scope.bindings:
                    return self.module_name(module, name)
            elif name in _STAR_NAMES.get(star.module, ()):
                return (External(f"{star.module}.{name}"),)
        return (External(f"builtins.{name}"),) if name in _BUILTINS else (UNKNOWN,)

    def _reaching(self, bindings: list[Binding], scope: Scope, at: At | None) -> list[Binding]:
        """The bindings of a name that may hold where it is used (``at``; ``None``: used from an inner scope)."""
        if at is None or len(bindings) == 1:
            return bindings
        use = (at[0], at[1])
        block = scope.block_at(at)
        around = list(block.chain()) if block is not None else []
        loops = [b for b in around if b.kind in ("for", "while", "comp")]
        out: list[Binding] = []
        for binding in reversed(bindings):
            statement_end = (binding.at[2], binding.at[3])
            inner = binding.kind in ("for", "with") and binding.block is not None and binding.block in around
            before = statement_end <= use or binding.kind == "param" or inner
            if not before:
                # A later binding reaches an earlier use only around a loop that holds both.
                if binding.block is not None and any(loop in binding.block.chain() for loop in loops):
                    out.append(binding)
                continue
            if _exclusive(binding.block, around):
                continue
            out.append(binding)
            if binding.block is None or binding.block in around:
                break
        return out or bindings

    def _bound(self, binding: Binding, name: str, scope: Scope) -> Values:
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
                return join(*(self.element(v, index) for v in values))
            case "for":
                assert binding.value is not None
                return join(*(self.iterated(v, binding.index) for v in self.values(binding.value, scope)))
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
            return join(*(self._bound(binding, name, module.scope) for binding in bindings)) or (UNKNOWN,)
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
        option = self._command_line_option(scope, param)
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

    def _command_line_option(self, scope: Scope, param: Param) -> Values | None:
        """The default that ``@click.option("--num-workers", default=4)`` gives to a parameter."""
        for decorator in getattr(scope.node, "decorators", ()):
            if not isinstance(decorator, Call) or not dotted(decorator.func).endswith("option"):
                continue
            names = [a.value for a in decorator.args if isinstance(a, Const) and isinstance(a.value, str)]
            if param.name in names or any(n.lstrip("-").replace("-", "_") == param.name for n in names):
                for key, value in decorator.keywords:
                    if key == "default":
                        known = [v for v in self.values(value, scope.module.scope) if isinstance(v, Known)]
                        return tuple(Known(v.value, True) for v in known)
        return None

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
        out: list[Value] = [Ref(cls)]
        for base in cls.node.bases:
            if isinstance(base, Sub):  # Dataset[T]
                base = base.base
            for value in self.values(base, cls.parent or cls):
                if isinstance(value, Ref) and value.scope.kind == "class":
                    out += [v for v in self.lineage(value.scope) if v not in out]
                elif isinstance(value, External):
                    out.append(value)
                else:
                    out.append(UNKNOWN)
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
                if _is_property(method):
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
                            values = join(*(self.element(v, index) for v in values))
                        out.append(values)
            if attr in owner.bindings and not out:
                for binding in owner.bindings[attr]:
                    found = self._bound(binding, attr, owner)
                    out.append(tuple(Known(v.value, True) if isinstance(v, Known) else v for v in found))
            if out:
                break
        if not out:
            return (UNKNOWN,)
        return join(*out) or (UNKNOWN,)

    # -- attributes, calls, elements ------------------------------------------------------------------------------

    def attribute(self, value: Value, attr: str, expr: Attr, scope: Scope) -> Values:
        match value:
            case External(name):
                return (External(f"{name}.{attr}"),)
            case ModuleRef(path):
                module = self.project.module(path)
                if module is not None and attr in module.scope.bindings:
                    return self.module_name(module, attr)
                below = self.project.file_or_package(f"{path.removesuffix('/__init__.py')}/{attr}")
                return (ModuleRef(below),) if below is not None else (UNKNOWN,)
            case Ref(inner, _) if inner.kind == "class":
                if attr in inner.functions:
                    return (Ref(inner.functions[attr]),)
                method = self.method(inner, attr)
                if method is not None:
                    return (Ref(method),)
                if attr in inner.bindings:
                    return join(*(self._bound(b, attr, inner) for b in inner.bindings[attr]))
                return (UNKNOWN,)
            case SelfOf(inner):
                return self.instance_attribute(inner, attr)
            case Made(what, _, _, _, _) if isinstance(what, Scope):
                return self.instance_attribute(what, attr) if what.kind == "class" else (UNKNOWN,)
            case Made(what, _, where, _, _) if isinstance(what, str):
                if what.endswith((".parse_args", ".parse_known_args")) or what == "":
                    found = self.parser_default(attr, where)
                    if found:
                        return found
                return (Method(value, attr),)
            case Table(entries, _, _):
                if attr in entries and not hasattr(dict, attr):
                    return self.element(value, (Known(attr),))
                return (Method(value, attr),)
        if dotted(expr.base).rpartition(".")[2] in _SETTINGS_NAMES:
            found = self.parser_default(attr, scope)
            if found:
                return found
        settings, _, key = dotted(expr).partition(".")
        if settings in _SETTINGS_NAMES and "." in key:
            defaults = self.callers.settings(key)
            if defaults:
                found = join(*(self.values(value, where) for value, where in defaults))
                return tuple(Known(v.value, True) if isinstance(v, Known) else v for v in found)
        return (Method(value, attr),) if isinstance(value, (Group, Method)) else (UNKNOWN,)

    def parser_default(self, dest: str, scope: Scope) -> Values:
        """The default of a command-line argument: of a parser in the same file, else of the nearest file that has one."""
        sites = self.callers.option(dest)
        if not sites:
            return ()
        here = scope.module.path

        def shared(path: str) -> int:
            a, b = here.split("/"), path.split("/")
            return next(
                (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
            )

        nearest = max(shared(site.scope.module.path) for site in sites)
        out: list[Values] = []
        for site in sites:
            if shared(site.scope.module.path) != nearest:
                continue
            keywords = dict(site.call.keywords)
            action = keywords.get("action")
            if "default" in keywords:
                out.append(self.values(keywords["default"], site.scope))
            elif isinstance(action, Const) and action.value == "store_true":
                out.append((Known(False),))
            elif isinstance(action, Const) and action.value == "store_false":
                out.append((Known(True),))
            elif isinstance(keywords.get("required"), Const):
                out.append((UNKNOWN,))
            else:
                out.append((Known(None),))
        return tuple(Known(v.value, True) if isinstance(v, Known) else v for v in join(*out))

    def called(self, value: Value, call: Call, scope: Scope) -> Values:
        """What calling a value gives."""
        match value:
            case External("functools.partial") if call.args:
                functions = self.values(call.args[0], scope)
                return tuple(PartialRef(f, ((call, scope),)) for f in functions)
            case External("builtins.dict"):
                return self._dict_call(call, scope)
            case External(name) if name in NAMESPACES and not call.args:
                return self._dict_call(call, scope)
            case External(name) if name in READERS:
                return settings_read(self, call, scope) or (Made(name, call, scope),)
            case External(name) if name in WRAPPERS and call.args:
                tables = tuple(v for v in self.values(call.args[0], scope) if isinstance(v, Table))
                return tables or (Made(name, call, scope),)
            case External("builtins.getattr") if len(call.args) >= 2 and isinstance(call.args[1], Const):
                attr = Attr(call.args[0], str(call.args[1].value), call.at)
                return join(
                    *(self.attribute(v, attr.attr, attr, scope) for v in self.values(call.args[0], scope))
                )
            case External(name) if name in _SAME_AS_ARGUMENT and call.args:
                found = self.values(call.args[0], scope)
                return tuple(v for v in found if isinstance(v, (Known, Group, Table))) or (
                    Made(name, call, scope),
                )
            case External(name):
                return (Made(name, call, scope),)
            case Ref(inner, _):
                return self._called_ref(inner, call, scope)
            case PartialRef(func, calls):
                made = self.called(func, call, scope)
                return tuple(
                    Made(v.what, v.call, v.scope, (*calls, *v.before), v.receiver)
                    if isinstance(v, Made)
                    else v
                    for v in made
                )
            case Method(receiver, attr):
                return self._called_method(receiver, attr, call, scope)
            case Made(what, _, _, _, _) | SelfOf(what) if isinstance(what, Scope) and what.kind == "class":
                method = self.method(what, "__call__") or self.method(what, "forward")
                return (
                    self._called_ref(method, call, scope) if method is not None else (Made("", call, scope),)
                )
        return (Made("", call, scope),)

    def _called_ref(self, inner: Scope, call: Call, scope: Scope) -> Values:
        if inner.kind == "class":
            return (Made(inner, call, scope),)
        if inner.is_generator:
            return (Made(inner, call, scope),)
        if not inner.returns:
            return (Known(None),)
        return join(*(self.values(expr, inner) for expr, _ in inner.returns))

    def _called_method(self, receiver: Value, attr: str, call: Call, scope: Scope) -> Values:
        if isinstance(receiver, Table):
            if attr == "get" and call.args:
                default = self.values(call.args[1], scope) if len(call.args) > 1 else (Known(None),)
                keys = self.values(call.args[0], scope)
                found = self.element(receiver, keys)
                if all(isinstance(k, Known) and _has(receiver, k.value) for k in keys):
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

    def element(self, value: Value, keys: Values) -> Values:
        """What ``value[key]`` may give."""
        match value:
            case Group(_, items, scope, exact):
                index = keys[0].value if len(keys) == 1 and isinstance(keys[0], Known) else None
                if exact and type(index) is int and -len(items) <= index < len(items):
                    return self.values(items[index], scope)
                return join(*(self.values(item, scope) for item in items)) or (UNKNOWN,)
            case Table(entries, _, loose):
                chosen: list[Entry] = []
                for key in keys:
                    if isinstance(key, Known) and not isinstance(key.value, float) and key.value in entries:
                        chosen += entries[key.value]
                    elif not isinstance(key, Known):
                        chosen += [e for group in entries.values() for e in group]
                chosen += loose
                found = join(*(self.values(e.expr, e.scope) for e in chosen))
                return found or (UNKNOWN,)
            case Made(what, call, scope, _, _) if isinstance(what, str) and what.endswith(
                (".prepare", ".setup_dataloaders")
            ):
                # Accelerate and Fabric hand back what they were given, wrapped.
                index = keys[0].value if len(keys) == 1 and isinstance(keys[0], Known) else None
                if type(index) is int and 0 <= index < len(call.args):
                    return self.values(call.args[index], scope)
            case Made(what) if isinstance(what, str) and what.endswith(".random_split"):
                return (value,)  # a subset, of whatever was split
        return (UNKNOWN,)

    def iterated(self, value: Value, index: int | None) -> Values:
        """What a loop over a value binds; ``index``: the position in a target that is unpacked."""
        match value:
            case Group(_, items, scope, _):
                found = join(*(self.values(item, scope) for item in items)) or (UNKNOWN,)
                if index is not None:
                    return join(*(self.element(v, (Known(index),)) for v in found))
                return found
            case Made("builtins.enumerate", call, scope, _, _) if call.args:
                if index == 1:
                    return join(*(self.iterated(v, None) for v in self.values(call.args[0], scope)))
            case Made("builtins.zip", call, scope, _, _):
                if index is not None and index < len(call.args):
                    return join(*(self.iterated(v, None) for v in self.values(call.args[index], scope)))
        return (UNKNOWN,)

    # -- dicts ----------------------------------------------------------------------------------------------------

    def _display(self, items: tuple[tuple[Expr | None, Expr], ...], scope: Scope) -> Values:
        table = Table({}, False, ())
        for key, value in items:
            if key is None:
                merged = [v for v in self.values(value, scope) if isinstance(v, Table)]
                table = self._merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
                continue
            names = self.values(key, scope)
            if len(names) == 1 and isinstance(names[0], Known) and not isinstance(names[0].value, float):
                table = _with(table, names[0].value, Entry(value, scope, True))
            else:
                table = Table(table.entries, True, (*table.loose, Entry(value, scope, False)))
        return (table,)

    def _dict_call(self, call: Call, scope: Scope) -> Values:
        table = Table({}, False, ())
        for argument in call.args:
            merged = [v for v in self.values(argument, scope) if isinstance(v, Table)]
            table = self._merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
        for key, value in call.keywords:
            if key is None:
                merged = [v for v in self.values(value, scope) if isinstance(v, Table)]
                table = self._merge(table, merged or [Table({}, True)], certain=len(merged) == 1)
            else:
                table = _with(table, key, Entry(value, scope, True))
        return (table,)

    def _merge(self, table: Table, others: list[Table], *, certain: bool) -> Table:
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

    def _changed(self, value: Value, name: str, scope: Scope, at: At | None) -> Value:
        """A dict or list with what the scope puts into it under this name."""
        if isinstance(value, Table):
            return self._updated(value, name, scope, at)
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

    def _updated(self, table: Table, name: str, scope: Scope, at: At | None) -> Table:
        """A table after the ``name.update(...)`` and ``name[key] = value`` that stand before its use."""
        around: list[Block] = []
        if at is not None:
            block = scope.block_at(at)
            around = list(block.chain()) if block is not None else []
        changes: list[tuple[At, Block | None, Callable[[Table, bool], Table]]] = []
        for site in scope.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in ("update", "setdefault") and _is_name(func.base, name):
                changes.append((site.at, site.block, self._update_of(site)))
        for store in scope.stores:
            if store.attr is None and store.index is not None and _is_name(store.base, name):
                keys = [v.value if isinstance(v, Known) else ... for v in self.values(store.index, scope)]
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

    def _update_of(self, site: CallSite) -> Callable[[Table, bool], Table]:
        def change(table: Table, certain: bool) -> Table:
            func = site.call.func
            assert isinstance(func, Attr)
            if func.attr == "setdefault":
                if len(site.call.args) == 2 and isinstance(site.call.args[0], Const):
                    key = site.call.args[0].value
                    if not isinstance(key, float):
                        return _with(table, key, Entry(site.call.args[1], site.scope, False))
                return table
            others = [v for v in self._dict_call(site.call, site.scope) if isinstance(v, Table)]
            return self._merge(table, others, certain=certain)

        return change


def _has(table: Table, key: object) -> bool:
    """Whether a dict holds a key for certain."""
    return any(name == key and all(e.certain for e in group) for name, group in table.entries.items())


def _loosely(entry: Entry) -> Callable[[Table, bool], Table]:
    return lambda table, certain: Table(table.entries, table.open, (*table.loose, entry))


def _setter(key: str | int | bool | None, entry: Entry) -> Callable[[Table, bool], Table]:
    def change(table: Table, certain: bool) -> Table:
        if certain and entry.certain:
            return _with(table, key, entry)
        soft = Entry(entry.expr, entry.scope, False)
        return Table({**table.entries, key: (*table.entries.get(key, ()), soft)}, table.open, table.loose)

    return change


def _with(table: Table, key: str | int | bool | None, entry: Entry) -> Table:
    return Table({**table.entries, key: (entry,)}, table.open, table.loose)


def _is_name(expr: Expr, name: str) -> bool:
    return isinstance(expr, Name) and expr.id == name


def _is_property(scope: Scope) -> bool:
    return any(dotted(d).rpartition(".")[2] in ("property", "cached_property") for d in scope.node.decorators)


def _exclusive(block: Block | None, around: list[Block]) -> bool:
    """A block that cannot have run where the blocks ``around`` are running: the other branch of one ``if``."""
    if block is None:
        return False
    for mine in block.chain():
        for other in around:
            if mine.node is other.node and {mine.kind, other.kind} == {"if", "else"}:
                return True
    return False


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
                self.table = _with(self.table, key, Entry(value, scope, True))
                continue
            found = self.evaluator.values(value, scope)
            tables = [v for v in found if isinstance(v, Table)]
            if not tables:
                tables = [Table({}, True)]
            self.table = self.evaluator._merge(self.table, tables, certain=len(tables) == 1)

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


_SETTINGS_NAMES = frozenset(
    "args opt opts option options arg argv params hparams config cfg conf flags FLAGS opt_ namespace "
    "settings".split()
)
_STAR_NAMES: dict[str, frozenset[str]] = {
    "torch.utils.data": frozenset(
        ["Dataset", "IterableDataset", "DataLoader", "TensorDataset", "Subset", "random_split"]
    ),
    "torch": frozenset(["Tensor", "tensor", "load", "device", "no_grad"]),
}
_BUILTINS = frozenset(dir(builtins))
