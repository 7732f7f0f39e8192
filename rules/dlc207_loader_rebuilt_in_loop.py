"""A loader, or an iterator of one, is made anew in a loop, although nothing about it depends on the loop.

Each `iter(loader)` starts all workers and fills the queue from nothing, and `next(iter(loader))` throws both away
after one batch; with `shuffle=False` it even returns the same first batch for ever. A `DataLoader(...)` built in
every epoch, or in every call of a validation function, can keep no workers. Measured with two forked workers and
trivial items: 52 ms per batch against 2 ms. See torch issue 1917.

**Found:** `next(iter(loader))` in a loop, or in a function that a loop calls; `DataLoader(...)` in a loop that
consumes it, directly or in a function, where its arguments do not vary with the loop.

**Left alone:** `iter(loader)` once per epoch or after `StopIteration`; one peek before the loop; loaders that
depend on the loop (folds, shards, a curriculum); loaders without workers; a loader that an inner loop consumes for several
epochs.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Assign, Attr, Call, Expr, Name, Star, dotted, walk
from dlcheck.lint.fix import Fix, Move
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.arguments import Arguments
from dlcheck.program.items import GROWS
from dlcheck.program.loaders import Loader
from dlcheck.program.paths import Path
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.steps import Step
from dlcheck.program.uses import Use


def check(program: Program) -> Iterator[Report]:
    for use in program.consumption.uses:
        if use.kind == "next" and _fresh_iterator(program, use):
            yield from _first_batches(program, use)
    for loader in program.loaders:
        if not program.uses_of[loader] or any(use.kind == "hook" for use in program.uses_of[loader]):
            continue
        if loader.workers == "none":
            continue  # nothing is started, and nothing lost
        if any(program.consumption.epoch_loops(use, loader) for use in program.uses_of[loader]):
            continue
        if _changed_afterwards(program, loader):
            continue
        if _rebuilt(program, loader.scope, loader.site.block, _arguments(loader), 0):
            yield Report(
                loader.scope,
                loader.at,
                "this loader is built again in every turn of a loop, though nothing about it changes: its workers are "
                "started, and its queue filled, from nothing each time",
                help="build the loader once, before the loop, and hand it in",
                confidence="high" if loader.workers == "some" else "medium",
                fix=_hoist(loader),
            )


def _changed_afterwards(program: Program, loader: Loader) -> bool:
    """``loader.dataset.start = step * size``: each one loads something else."""
    return any(
        isinstance(store.base, Attr)
        and store.base.attr == "dataset"
        and loader in program.consumption.loaders_in(store.base.base, scope)
        for scope in {use.scope for use in program.uses_of[loader]}
        for store in scope.stores
    )


def _fresh_iterator(program: Program, use: Use) -> bool:
    """``next(iter(loader))``, not ``next(iterator)``, and not the restart after ``StopIteration``."""
    if use.block is not None and any(block.kind == "except" for block in use.block.chain()):
        return False
    return any(
        site.at == use.at and site.call.args and _is_iter(site.call.args[0]) for site in use.scope.calls
    )


def _is_iter(expr: Expr) -> bool:
    return isinstance(expr, Call) and dotted(expr.func) == "iter"


def _first_batches(program: Program, use: Use) -> Iterator[Report]:
    loops = [loader for loader in use.loaders if program.consumption.epoch_loops(use, loader)]
    if not loops:
        return
    same = all(v.value is False for v in loops[0].arg("shuffle") if hasattr(v, "value")) and not loops[
        0
    ].given("sampler")
    cost = "starts the loader anew for one batch"
    if any(loader.workers == "some" for loader in loops):
        cost = "starts all workers and fills their queue for one batch, and throws them away"
    if same and loops[0].given("shuffle"):
        cost += "; without shuffling it is the same batch every time"
    yield Report(
        use.scope,
        use.at,
        f"`next(iter(loader))` in a loop {cost}",
        help="keep one iterator (`batches = iter(loader)`), call `next(batches)`, and make a new one on `StopIteration`",
        also=((loops[0].scope, loops[0].at),),
    )


def _arguments(loader: Loader) -> tuple[Expr, ...]:
    return (*loader.call.args, *(value for _, value in loader.call.keywords))


def _hoist(loader: Loader) -> Fix | None:
    """Build it before the loops, where it is a plain assignment of the loop's body that needs nothing from the loop."""
    block, statement = loader.site.block, loader.site.statement
    loops = [b for b in block.chain() if b.kind in ("for", "while")] if block is not None else []
    if not loops or block is not loops[0] or len(loops) != len(list(loops[0].chain())):
        return None
    if not (isinstance(statement, Assign) and statement.value is loader.call):
        return None
    match statement.targets:
        case (Name(name, _),) if len(loader.scope.bindings[name]) == 1:
            parts = [part for expr in _arguments(loader) for part in walk(expr)]
            bound = {
                other
                for other, bindings in loader.scope.bindings.items()
                if any(b.block is not None and loops[-1] in b.block.chain() for b in bindings)
            }
            if any(isinstance(p, Call) or (isinstance(p, Name) and p.id in bound) for p in parts):
                return None
            return Fix(
                "build the loader before the loop", (Move(statement.at, loops[-1].node.at),), safe=True
            )
    return None


def _rebuilt(
    program: Program, scope: Scope, block: Block | None, exprs: tuple[Expr, ...], depth: int
) -> bool:
    """A loop runs this place again and again, and none of the expressions varies with that loop."""
    around = list(block.chain()) if block is not None else []
    loops = [b for b in around if b.kind in ("for", "while")]
    nearer = around[: around.index(loops[0])] if loops else around
    if any(b.kind in ("if", "else", "except") for b in nearer):
        return False  # built only now and then
    if loops:
        return not _vary(program, scope, loops, exprs)
    if scope.kind != "function" or depth > 3 or _uses_self(exprs, scope):
        return False
    needed = _parameters_behind(scope, exprs)
    for site, skipped in program.evaluator.callers.of(scope):
        if any(isinstance(a, Star) for a in site.call.args) or any(k is None for k, _ in site.call.keywords):
            continue  # what is given is not seen
        arguments = Arguments(program.evaluator, site.call, site.scope)
        given: list[Expr] = []
        for position, param in enumerate(scope.params):
            if param.name in needed:
                given += [expr for expr, _ in arguments.given(param.name, position - skipped)]
        if _rebuilt(program, site.scope, site.block, tuple(given), depth + 1):
            return True
    return False


def _vary(program: Program, scope: Scope, loops: list[Block], exprs: tuple[Expr, ...]) -> bool:
    """Some expression depends on what the loops bind, on what they change, or on ``self``."""
    names: set[str] = set()
    for name, bindings in scope.bindings.items():
        for binding in bindings:
            inside = binding.block is not None and set(binding.block.chain()) & set(loops)
            if inside and (binding.kind in ("for", "augment") or _not_a_copy(binding.value)):
                names.add(name)
    for site in scope.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.attr in GROWS and isinstance(func.base, Name):
            if site.block is not None and set(site.block.chain()) & set(loops):
                names.add(func.base.id)
    inside_loops = [
        (name, binding.value)
        for name, bindings in scope.bindings.items()
        for binding in bindings
        if binding.value is not None and binding.block is not None and set(binding.block.chain()) & set(loops)
    ]
    while more := {name for name, value in inside_loops if name not in names and _names_in(value) & names}:
        names |= more
    if loops[0].kind == "while":
        names |= {
            n.id
            for n in (e for x in exprs for e in walk(x))
            if isinstance(n, Name) and _changes(scope, n.id, loops)
        }
    step = Step(scope, False, False, names)
    path = Path(program.evaluator, "loop", [step])
    if _uses_self(exprs, scope) or any(path.varies(expr, step) for expr in exprs):
        return True
    return any(_is_set_in(scope, loops, part) for expr in exprs for part in _outermost_names(expr))


def _outermost_names(expr: Expr) -> Iterator[Expr]:
    """``args`` and ``args.path``, each as it is used: of ``f(args, args.path)`` both."""
    parts = list(walk(expr))
    bases = {id(part.base) for part in parts if isinstance(part, Attr)}
    for part in parts:
        if id(part) not in bases and isinstance(part, (Name, Attr)):
            yield part


def _is_set_in(scope: Scope, loops: list[Block], used: Expr) -> bool:
    """The loops set what is used (``args.fold = fold`` before ``load(args.fold)``), or a part of it (``load(args)``)."""
    for store in scope.stores:
        if store.block is not None and set(store.block.chain()) & set(loops) and isinstance(store.base, Name):
            part = f"{store.base.id}.{store.attr}" if store.attr is not None else store.base.id
            if dotted(used) in (store.base.id, part):
                return True
    return False


def _names_in(value: Expr) -> set[str]:
    return {part.id for part in walk(value) if isinstance(part, Name)}


def _not_a_copy(value: Expr | None) -> bool:
    """A name set in the loop from a call may be another object each time: a new dataset, the next shard."""
    return value is not None and any(isinstance(part, Call) for part in walk(value))


def _changes(scope: Scope, name: str, loops: list[Block]) -> bool:
    return any(
        b.block is not None and set(b.block.chain()) & set(loops) for b in scope.bindings.get(name, ())
    )


def _uses_self(exprs: tuple[Expr, ...], scope: Scope) -> bool:
    """An attribute of ``self`` that another method than ``__init__`` sets may differ from call to call."""
    owner, me = scope.owner, scope.self_name
    if owner is None or me is None:
        return False
    used = {
        part.attr
        for expr in exprs
        for part in walk(expr)
        if isinstance(part, Attr) and isinstance(part.base, Name) and part.base.id == me
    }
    changed = {
        store.attr for method in owner.all_functions if method.name != "__init__" for store in method.stores
    }
    return bool(used & changed)


def _parameters_behind(scope: Scope, exprs: tuple[Expr, ...]) -> set[str]:
    """The parameters that the expressions are computed from, through assignments of the function."""
    seen: set[str] = set()
    waiting = [part.id for expr in exprs for part in walk(expr) if isinstance(part, Name)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for binding in scope.bindings.get(name, ()):
            if binding.kind == "def":  # a function that closes over names
                waiting += [name.id for name, _ in binding.node.names]
            elif binding.value is not None and binding.kind != "param":
                waiting += [part.id for part in walk(binding.value) if isinstance(part, Name)]
    return seen & {param.name for param in scope.params}


RULE = Rule(
    code="DLC207",
    name="loader-rebuilt-in-loop",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("startup",),
    found=(
        """
        from torch.utils.data import DataLoader

        def train(args, dataset, model):
            for epoch in range(10):
                args.epoch = epoch
                loader = DataLoader(dataset, batch_size=args.batch_size, num_workers=4)  # <- DLC207
                for batch in loader:
                    model(batch)
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model, optimizer):
            loader = DataLoader(dataset, num_workers=4, shuffle=True)
            for step in range(1000):
                x, y = next(iter(loader))  # <- DLC207
                model(x).backward()
                optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader

        def validate(model, valset, batch_size, epoch):
            loader = DataLoader(valset, batch_size=batch_size, num_workers=1)  # <- DLC207
            for x in loader:
                model(x)
            print(epoch)

        def main(model, trainset, valset, args):
            train_loader = DataLoader(trainset, num_workers=4)
            for epoch in range(args.epochs):
                for x in train_loader:
                    model(x).backward()
                validate(model, valset, args.batch_size, epoch)
        """,
        """
        from torch.utils.data import DataLoader

        def main(model, trainset):
            for epoch in range(10):
                loader = DataLoader(trainset, batch_size=32, shuffle=True, num_workers=4)  # <- DLC207
                for x in loader:
                    model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, dataset):
                self.data = DataLoader(dataset, batch_size=32)
            def run_epoch(self, epoch):
                size = len(next(iter(self.data))[0])  # <- DLC207
                for x in self.data:
                    pass
            def train(self, epochs):
                for epoch in range(epochs):
                    self.run_epoch(epoch)
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def load(args):
            return DataLoader(read(args.fold), batch_size=32, num_workers=4)

        def train(args, model):
            loader = load(args)
            for epoch in range(10):
                for batch in loader:
                    model(batch)

        def main(args, model):
            for fold in range(5):
                args.fold = fold
                train(args, model)
        """,
        """
        from torch.utils.data import DataLoader

        def check_experts(stream, model):
            for i, experience in enumerate(stream):
                data = stream.parts[i].dataset
                for x, y in DataLoader(data, batch_size=256, num_workers=4):
                    model(x)
                other, _ = experience.dataset, experience.label
                for x, y in DataLoader(other, batch_size=256, num_workers=4):
                    model(x)
        """,
        """
        from torch.utils.data import DataLoader

        def main(model, dataset):
            loader = DataLoader(dataset, num_workers=4)
            example = next(iter(loader))
            for epoch in range(10):
                for x in loader:
                    model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def main(model, dataset):
            loader = DataLoader(dataset, num_workers=4)
            batches = iter(loader)
            for step in range(1000):
                try:
                    x = next(batches)
                except StopIteration:
                    batches = iter(loader)
                    x = next(batches)
                model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader, Subset

        def main(model, dataset, folds):
            for train_index, val_index in folds:
                loader = DataLoader(Subset(dataset, train_index), num_workers=4)
                for x in loader:
                    model(x).backward()
        """,
    ),
)
