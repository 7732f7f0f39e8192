"""The `__iter__` of an iterable dataset gives an iterator that can be used once.

A loader calls `__iter__` at the start of each epoch. If that returns `self`, or goes over an iterator, a generator or an open
file that `__init__` made, the first epoch uses it up, and all later ones are empty: with `num_workers=0`, and with persistent
workers. With workers that are started anew it seems to work, since each fork copies the unused iterator. Source: Python
documentation (*Iterator types*); Hugging Face datasets issue 3646.

**Found:** an `__iter__` that returns or goes over an iterator kept on `self` since `__init__`; an `__iter__` that only returns
`self`, where `__next__` ends and nothing goes back to the start.

**Left alone:** endless streams; an `__iter__` or `__next__` that makes the iterator anew, or rewinds it (`seek(0)`).

**Cure:** make the iterator in `__iter__`; best, write `__iter__` as a generator. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Call, Const, Expr, Name, dotted
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.kept import is_self, setup_steps
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.streams import sources
from dlcheck.program.values import Group, Made, Ref, Value

_ITERATORS = frozenset({"builtins.iter", "builtins.map", "builtins.filter", "builtins.zip", "builtins.enumerate"}) | {
    "csv.reader", "csv.DictReader", "itertools.chain", "itertools.islice", "itertools.chain.from_iterable",
    "itertools.product", "itertools.starmap", "itertools.zip_longest", "glob.iglob", "os.scandir", "pathlib.Path.glob",
    "pathlib.Path.rglob", "pathlib.Path.iterdir",
}  # fmt: skip
_REWINDS = frozenset({"seek", "reset", "rewind", "restart", "__init__"})


def check(program: Program) -> Iterator[Report]:
    seen: set[Scope] = set()
    for dataset in program.datasets:
        method = dataset.evaluator.method(dataset.cls, "__iter__") if dataset.iterable else None
        if method is None or method in seen:
            continue
        seen.add(method)
        kept = _kept_iterator(dataset, method)
        if kept is not None:
            attr, at, made = kept
            yield Report(
                method,
                at,
                f"`self.{attr}` is an iterator that was made in `__init__`: the first epoch uses it up, and later ones are "
                "empty, with 0 workers and with persistent ones",
                help="make the iterator in `__iter__`, so that each epoch starts from the beginning",
                confidence=_confidence(program, dataset),
                also=(made,),
            )
        elif _only_returns_self(method) and _ends_for_good(dataset):
            yield Report(
                method,
                (method.at[0], method.at[1], method.at[0], method.at[1] + len("def __iter__")),
                "`__iter__` returns the dataset itself and nothing goes back to the start: the second epoch is empty, "
                "with 0 workers and with persistent ones",
                help="write `__iter__` as a generator, or set the position back in it",
                confidence=_confidence(program, dataset),
            )


def _confidence(program: Program, dataset: Dataset) -> Confidence:
    loaders = [loader for loader in dataset.loaders if program.uses_of[loader]]
    if loaders and not any(program.is_repeated(loader) for loader in loaders):
        hooks = [use for loader in loaders for use in program.uses_of[loader] if use.kind == "hook"]
        return "high" if hooks else "low"  # as far as is seen, there is one epoch only
    return "high"


def _kept_iterator(dataset: Dataset, method: Scope) -> tuple[str, At, tuple[Scope, At]] | None:
    """An attribute that ``__iter__`` goes over, which holds an iterator since the set-up and is never made anew."""
    used = [expr for expr, _ in method.returns] + [
        y.value for y, _ in method.yields if y.delegates and y.value
    ]
    used += [loop.iterable for loop in method.loops if loop.iterable is not None]
    endless = any(source.kind == "endless" for source in sources(dataset))
    setup = {step.scope for step in setup_steps(dataset, dataset.cls)}
    for expr in used:
        for attr in _attributes(expr, method):
            if endless or _made_anew(dataset, attr, setup):
                continue
            for step in setup:
                for store in step.stores:
                    if store.attr == attr and is_self(store.base, step):
                        values = dataset.evaluator.values(store.value, step)
                        if values and all(_is_one_shot(v) for v in values):
                            return attr, expr.at, (step, store.at)
    return None


def _attributes(expr: Expr, method: Scope) -> list[str]:
    """``x`` for ``self.x``, ``iter(self.x)``, ``enumerate(self.x)``, ``map(f, self.x)``."""
    passed_on = ("iter", "enumerate", "map", "filter", "zip")
    if isinstance(expr, Call) and dotted(expr.func) in passed_on:
        return [found for argument in expr.args for found in _attributes(argument, method)]
    return [expr.attr] if isinstance(expr, Attr) and is_self(expr.base, method) else []


def _is_one_shot(value: Value) -> bool:
    match value:
        case Group("gen"):
            return True
        case Made(what, call, _, _, _) if isinstance(what, str):
            if what in ("pandas.read_csv", "pandas.read_json", "pandas.read_table"):
                return any(key in ("chunksize", "iterator") for key, _ in call.keywords)
            if what == "builtins.iter" and len(call.args) == 2:
                return False
            return what in _ITERATORS or what in names.PLAIN_OPENERS
        case Made(what, _, _, _, _) if isinstance(what, Scope):
            return what.kind == "function" and what.is_generator and not _has_endless_loop(what)
    return False


def _has_endless_loop(function: Scope) -> bool:
    return any(loop.kind == "while" for loop in function.loops)


def _made_anew(dataset: Dataset, attr: str, setup: set[Scope]) -> bool:
    """Some method stores the attribute again, or goes back to its start."""
    for method in _methods(dataset):
        if method not in setup and any(s.attr == attr and is_self(s.base, method) for s in method.stores):
            return True
        for site in method.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in _REWINDS and dotted(func.base).endswith(f".{attr}"):
                return True
    return False


def _methods(dataset: Dataset) -> list[Scope]:
    return [
        m for v in dataset.evaluator.lineage(dataset.cls) if isinstance(v, Ref) for m in v.scope.all_functions
    ]


def _only_returns_self(method: Scope) -> bool:
    """``return self`` and nothing else that could bring it back to the start."""
    returns = [expr for expr, _ in method.returns]
    return (
        bool(returns)
        and all(is_self(expr, method) for expr in returns)
        and not method.stores
        and not method.calls
        and not method.is_generator
    )


def _ends_for_good(dataset: Dataset) -> bool:
    """``__next__`` comes to an end, and leaves nothing as it was at the start."""
    method = dataset.evaluator.method(dataset.cls, "__next__")
    if method is None:
        return False
    ends: list[Block | None] = [
        block
        for node, block in method.raises
        if node.value is not None and "StopIteration" in _name(node.value)
    ]
    takes = [
        site
        for site in method.calls
        if dotted(site.call.func) == "next" and len(site.call.args) == 1 and not _in_try(site.block)
    ]
    if not ends and not takes:
        return False
    if not any(_advances(dataset, method)):
        return False
    for block in ends:
        inside = set(block.chain()) if block is not None else set()
        if any(store.block in inside for store in method.stores if store.block is not None):
            return False  # set back before the end
        if any(
            site.block in inside
            for site in method.calls
            if site.block is not None and _on_self(site.call, method)
        ):
            return False
    return not any(b.kind == "except" for s in method.stores if s.block is not None for b in s.block.chain())


def _advances(dataset: Dataset, method: Scope) -> Iterator[bool]:
    """It counts on, reads on, or takes the next of something that is kept on ``self``."""
    for store in method.stores:
        yield is_self(store.base, method) and (store.augmented or not isinstance(store.value, Const))
    for site in method.calls:
        name = dotted(site.call.func)
        if name == "next" and site.call.args:
            yield isinstance(site.call.args[0], Attr) and is_self(site.call.args[0].base, method)
        elif isinstance(site.call.func, Attr) and site.call.func.attr in ("readline", "read", "pop"):
            yield isinstance(site.call.func.base, Attr) and is_self(site.call.func.base.base, method)


def _on_self(call: Call, method: Scope) -> bool:
    return isinstance(call.func, Attr) and is_self(call.func.base, method)


def _in_try(block: Block | None) -> bool:
    return block is not None and any(b.kind == "try" for b in block.chain())


def _name(expr: Expr) -> str:
    return (
        dotted(expr.func if isinstance(expr, Call) else expr) if isinstance(expr, (Call, Name, Attr)) else ""
    )


RULE = Rule(
    code="DLC407",
    name="one-shot-iterable",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Lines(IterableDataset):
            def __init__(self, path):
                self.lines = open(path)
            def __iter__(self):
                for line in self.lines:  # <- DLC407
                    yield line.split()

        def main(model):
            loader = DataLoader(Lines("train.txt"))
            for epoch in range(10):
                for batch in loader:
                    model(batch)
        """,
        """
        from torch.utils.data import IterableDataset

        def read(paths):
            for path in paths:
                yield from open(path)

        class Stream(IterableDataset):
            def __init__(self, paths):
                super().__init__()
                self.source = read(paths)
            def __iter__(self):
                return iter(self.source)  # <- DLC407
        """,
        """
        from torch.utils.data import IterableDataset

        class Counter(IterableDataset):
            def __init__(self, items):
                self.items = items
                self.position = 0
            def __iter__(self):  # <- DLC407
                return self
            def __next__(self):
                if self.position >= len(self.items):
                    raise StopIteration
                item = self.items[self.position]
                self.position += 1
                return item
        """,
        """
        import torch

        class Mapped(torch.utils.data.IterableDataset):
            def __init__(self, data, transform):
                self.data = map(transform, data)
                self.pairs = (x for x in data)
            def __iter__(self):
                return self.data  # <- DLC407

        class Next(torch.utils.data.IterableDataset):
            def __init__(self, data):
                self.it = iter(data)
            def __iter__(self):  # <- DLC407
                return self
            def __next__(self):
                return next(self.it)
        """,
        """
        import csv
        from torch.utils.data import DataLoader, IterableDataset

        class Table(IterableDataset):
            def __init__(self, path):
                self.rows = csv.reader(open(path))

            def numbers(self, row):
                return [float(field) for field in row]

            def __iter__(self):
                return map(self.numbers, self.rows)  # <- DLC407

        def main(path):
            loader = DataLoader(Table(path), batch_size=8)
            for epoch in range(3):
                for batch in loader:
                    print(batch)
        """,
    ),
    clean=(
        """
        from torch.utils.data import IterableDataset

        class Lines(IterableDataset):
            def __init__(self, path, items):
                self.path = path
                self.file = open(path)
                self.items = list(items)
            def __iter__(self):
                self.file.seek(0)
                for line in self.file:
                    yield line

        class Anew(Lines):
            def __iter__(self):
                self.file = open(self.path)
                return iter(self.file)

        class Plain(Lines):
            def __iter__(self):
                return iter(self.items)
        """,
        """
        from torch.utils.data import IterableDataset

        class Reset(IterableDataset):
            def __init__(self, items):
                self.items = items
                self.position = 0
            def __iter__(self):
                self.position = 0
                return self
            def __next__(self):
                if self.position >= len(self.items):
                    raise StopIteration
                self.position += 1
                return self.items[self.position - 1]

        class Back(Reset):
            def __iter__(self):
                return self
            def __next__(self):
                if self.position >= len(self.items):
                    self.position = 0
                    raise StopIteration
                self.position += 1
                return self.items[self.position - 1]
        """,
        """
        import itertools
        import random
        from torch.utils.data import IterableDataset

        class Endless(IterableDataset):
            def __init__(self, items):
                self.items = items
                self.count = 0
                self.numbers = itertools.count()
            def __iter__(self):
                return self
            def __next__(self):
                self.count += 1
                return random.choice(self.items)

        class Numbers(Endless):
            def __iter__(self):
                return iter(self.numbers)
        """,
        """
        from torch.utils.data import IterableDataset

        class Restarted(IterableDataset):
            def __init__(self, loader):
                self.loader = loader
                self.it = iter(loader)
            def __iter__(self):
                return self
            def __next__(self):
                try:
                    return next(self.it)
                except StopIteration:
                    self.it = iter(self.loader)
                    raise
        """,
    ),
)
