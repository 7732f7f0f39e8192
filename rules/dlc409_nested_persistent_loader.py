"""A loader with persistent workers is iterated again while it is being iterated.

Without persistent workers each `for` has an iterator and workers of its own. With them the loader has one iterator: starting
it again resets it, and the outer loop ends after its step, with no error; `zip(loader, loader)` gives two interleaved halves.
Source: `DataLoader.__iter__` of torch.

**Found:** a `for` (or `next(iter(loader))`, `list(loader)`) over a loader in a loop over the same loader, itself or in a function
that the loop hands the loader to; one loader twice in a `zip`.

**Left alone:** loaders without persistent workers; two loaders over one data set; one loop after the other.

**Cure:** a second loader for the inner loop, or `persistent_workers=False`. **Versions:** torch 1.7 and later.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Call, Expr, Name, Star, dotted
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.arguments import Arguments
from dlcheck.program.loaders import Loader
from dlcheck.program.persistent import persists
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, CallSite, Loop, Scope
from dlcheck.program.values import Ref

_WRAPPERS = frozenset({"enumerate", "iter", "tqdm", "islice", "track", "trange", "list", "next"})


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        confidence = persists(loader)
        if confidence is None:
            continue
        for use in program.uses_of[loader]:
            loop = next((x for x in use.scope.loops if use.inner is not None and x.inner is use.inner), None)
            if loop is None or loop.kind == "while" or loop.iterable is None:
                continue
            for where, at, message in (*_nested(program, loader, loop), *_zipped(program, loader, loop)):
                yield Report(
                    where,
                    at,
                    message,
                    help="build a second loader for the inner loop, or leave `persistent_workers` out",
                    confidence=confidence,
                    also=((loop.scope, _head(loop)), (loader.scope, loader.at)),
                )


_AGAIN = (
    "this loader is started again while a loop over it is running: with persistent workers both share one iterator, and the "
    "outer loop ends after this step, with no error"
)
_TWICE = (
    "one loader with persistent workers twice in a `zip` has one iterator: each side gets every other batch"
)


def _nested(program: Program, loader: Loader, outer: Loop) -> Iterator[tuple[Scope, At, str]]:
    """The places in a loop that start the loader of that loop again."""
    assert outer.iterable is not None
    name = _text(outer.iterable)
    if not name or _rebound(outer, name):
        return
    for at in _starts(program, loader, outer.scope, name, outer.inner):
        yield outer.scope, at, _AGAIN
    for site in outer.scope.calls:
        if site.block is None or outer.inner not in site.block.chain():
            continue
        for function, inner_name in _handed_to(program, site, name):
            for at in _starts(program, loader, function, inner_name, None):
                yield function, at, _AGAIN


def _starts(program: Program, loader: Loader, scope: Scope, name: str, inside: Block | None) -> Iterator[At]:
    for loop in scope.loops:
        within = inside is None or (loop.block is not None and inside in loop.block.chain())
        if within and loop.iterable is not None and _text(loop.iterable) == name:
            if loader in program.consumption.loaders_in(loop.iterable, scope):
                yield loop.iterable.at
    for site in scope.calls:
        within = inside is None or (site.block is not None and inside in site.block.chain())
        fresh = dotted(site.call.func) in ("iter", "list") and len(site.call.args) == 1
        if within and fresh and _text(site.call) == name and not _is_iterated(scope, site.call):
            if loader in program.consumption.loaders_in(site.call.args[0], scope):
                yield site.at


def _is_iterated(scope: Scope, call: Call) -> bool:
    return any(loop.iterable is not None and call in _peeled(loop.iterable) for loop in scope.loops)


def _peeled(expr: Expr) -> list[Expr]:
    out = [expr]
    while isinstance(expr, Call) and expr.args and dotted(expr.func).rpartition(".")[2] in _WRAPPERS:
        expr = expr.args[0]
        out.append(expr)
    return out


def _text(expr: Expr) -> str:
    """The name of what is iterated: ``loader`` in ``enumerate(tqdm(loader))``."""
    return dotted(_peeled(expr)[-1])


def _rebound(loop: Loop, name: str) -> bool:
    """The name stands for something else in the loop from some point on."""
    inside = (b.block for b in loop.scope.bindings.get(name.partition(".")[0], ()) if b.kind != "param")
    return any(block is not None and loop.inner in block.chain() for block in inside)


def _handed_to(program: Program, site: CallSite, name: str) -> Iterator[tuple[Scope, str]]:
    """The functions that a call hands the named loader to, with its name there; methods see ``self.loader`` as it is."""
    if not _may_be_handed(site, name):
        return
    for value in program.values(site.call.func, site.scope):
        if not isinstance(value, Ref) or value.scope.kind != "function":
            continue
        function = value.scope
        func = site.call.func
        if name.startswith(f"{site.scope.self_name}.") and isinstance(func, Attr):
            if isinstance(func.base, Name) and func.base.id == site.scope.self_name:
                yield function, f"{function.self_name}.{name.partition('.')[2]}"
        if any(isinstance(argument, Star) for argument in site.call.args):
            continue
        skip = 1 if function.self_name is not None else 0
        arguments = Arguments(program.evaluator, site.call, site.scope)
        for position, param in enumerate(function.params[skip:]):
            given = arguments.given(param.name, None if param.kind == "keyword" else position)
            if any(dotted(expr) == name for expr, where in given if where is site.scope):
                yield function, param.name


def _may_be_handed(site: CallSite, name: str) -> bool:
    """As far as the call itself tells, without following what is called."""
    func, keywords = site.call.func, site.call.keywords
    if name.startswith(f"{site.scope.self_name}.") and isinstance(func, Attr):
        return True
    return any(key is None for key, _ in keywords) or any(
        dotted(given) == name for given in (*site.call.args, *(value for _, value in keywords))
    )


def _zipped(program: Program, loader: Loader, loop: Loop) -> Iterator[tuple[Scope, At, str]]:
    assert loop.iterable is not None
    call = _peeled(loop.iterable)[-1]
    if isinstance(call, Call) and dotted(call.func) == "zip":
        texts = [_text(argument) for argument in call.args]
        twice = {text for text in texts if text and texts.count(text) > 1}
        for argument in call.args:
            if _text(argument) in twice and loader in program.consumption.loaders_in(argument, loop.scope):
                yield loop.scope, call.at, _TWICE
                return


def _head(loop: Loop) -> At:
    return (
        loop.iterable.at
        if loop.iterable is not None
        else (loop.at[0], loop.at[1], loop.at[0], loop.at[1] + 3)
    )


RULE = Rule(
    code="DLC409",
    name="nested-persistent-loader",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from torch.utils.data import DataLoader

        def pairs(dataset, distance):
            loader = DataLoader(dataset, num_workers=4, persistent_workers=True)
            for i, a in enumerate(loader):
                for j, b in enumerate(loader):  # <- DLC409
                    print(distance(a, b))
        """,
        """
        from torch.utils.data import DataLoader

        def evaluate(model, batches):
            for batch in batches:  # <- DLC409
                model(batch)

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=2, persistent_workers=True)
            for step, batch in enumerate(loader):
                model(batch).backward()
                if step % 100 == 0:
                    evaluate(model, loader)
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=2, persistent_workers=True, shuffle=True)
            for a, b in zip(loader, loader):  # <- DLC409
                model(a, b).backward()
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, dataset, workers=4):
                self.loader = DataLoader(dataset, num_workers=workers, persistent_workers=workers > 0)
            def sample(self):
                return next(iter(self.loader))  # <- DLC409
            def train(self, model):
                for batch in self.loader:
                    model(batch, self.sample()).backward()
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def pairs(dataset, distance):
            loader = DataLoader(dataset, num_workers=4)
            for a in loader:
                for b in loader:
                    print(distance(a, b))
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, num_workers=4, persistent_workers=True)

        def pairs(dataset, distance):
            queries, gallery = make(dataset), make(dataset)
            for a in queries:
                for b in gallery:
                    print(distance(a, b))
            for a, b in zip(queries, gallery):
                print(a, b)
        """,
        """
        from torch.utils.data import DataLoader

        def evaluate(model, batches):
            for batch in batches:
                model(batch)

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=2, persistent_workers=True)
            for epoch in range(10):
                for batch in loader:
                    model(batch).backward()
                evaluate(model, loader)
            first = next(iter(loader))
        """,
        """
        from torch.utils.data import DataLoader

        def main(datasets, model):
            for dataset in datasets:
                loader = DataLoader(dataset, num_workers=2, persistent_workers=True)
                for batch in loader:
                    print(len(loader), loader.dataset)
                    loader = DataLoader(dataset, num_workers=2, persistent_workers=True)
                    for other in loader:
                        model(batch, other)
        """,
    ),
)
