"""The fix that gives each worker a random number generator of its own."""

from __future__ import annotations

from dlcheck.facts.model import Attr, Call, Expr, dotted
from dlcheck.lint.fix import AddImport, Fix, InsertInBody, Replace
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.kept import Kept, is_self
from dlcheck.program.random_state import GENERATORS, SEEDERS
from dlcheck.program.scope import Scope
from dlcheck.program.values import External

_ENTRIES = ("__getitem__", "__getitems__", "__iter__", "__call__", "forward")
# Drawn from the global generator, which torch seeds for each worker and epoch: two generators of one worker differ as well.
_SEED = "torch.randint(2**31, ()).item()"


def own_generator(kept: Kept) -> Fix | None:
    """Make the generator anew in each process that draws from it, with a seed of the worker's own, before the first draw.

    ``None`` where the generator is more than one plain call, or is drawn from in another class than the one that keeps it.
    """
    cls = kept.scope.owner
    made = _made(kept)
    if cls is None or not made or not _free(kept.dataset.evaluator, cls, ("os", "torch")):
        return None
    drawing = list(dict.fromkeys(scope for scope, _ in kept.reads))
    if not drawing or any(scope.owner is not cls or scope.self_name is None for scope in drawing):
        return None
    entries = [cls.functions[name] for name in _ENTRIES if name in cls.functions]
    first = [entry for entry in entries if kept.dataset.item_path.step_of(entry) is not None] or drawing
    process = f"_{kept.attr.lstrip('_')}_process"
    edits = [AddImport("os"), AddImport("torch")]
    return Fix(
        "make it in each worker, with a seed of its own",
        (
            *edits,
            *(InsertInBody(scope.at, _remake(scope, kept.attr, process, made), "first") for scope in first),
        ),
        safe=False,
    )


def _remake(scope: Scope, attr: str, process: str, made: str) -> str:
    me = scope.self_name
    return (
        f'if getattr({me}, "{process}", None) != os.getpid():\n'
        f"    {me}.{attr}, {me}.{process} = {made}, os.getpid()\n"
    )


def _made(kept: Kept) -> str:
    """The source that makes such a generator with a new seed, where it is made by one plain call."""
    stores = [s for s in kept.scope.stores if s.attr == kept.attr and is_self(s.base, kept.scope)]
    if len(stores) != 1 or stores[0].value is not kept.value or not isinstance(kept.value, Call):
        return ""
    func = kept.value.func
    names = set(callee_names(kept.dataset.evaluator, kept.value, kept.scope)) & GENERATORS
    if names == {"torch.Generator.manual_seed"} and isinstance(func, Attr) and isinstance(func.base, Call):
        func = func.base.func
    elif names != {"torch.Generator"}:
        bits = "numpy.random.Generator" in names  # it is given a bit generator, not a seed
        return f"{dotted(func)}({_SEED})" if names and dotted(func) and not bits else ""
    return f"{dotted(func)}().manual_seed({_SEED})" if dotted(func) else ""


def own_seed(evaluator: Evaluator, function: Scope, name: str, seed: Expr) -> Fix | None:
    """Seed a worker with its own seed, in place of one that other workers or epochs have too."""
    if name not in SEEDERS or not _free(evaluator, function, ("torch",)):
        return None
    code = "torch.initial_seed()" if name.startswith("torch.") else "torch.initial_seed() % 2**32"
    return Fix(f"seed with `{code}`", (AddImport("torch"), Replace(seed.at, code)), safe=False)


def _free(evaluator: Evaluator, scope: Scope, modules: tuple[str, ...]) -> bool:
    """The names of these modules stand for nothing else in the file."""
    module = scope.module.scope
    return all(
        name not in module.bindings or evaluator.name(name, module, module.at) == (External(name),)
        for name in modules
    )
