"""`__getitem__` can raise `StopIteration`, which ends the epoch silently.

The loader takes a `StopIteration` out of the item path for the end of the data: the epoch stops there, with
no error and no warning. Measured with torch 2.13: an epoch of six batches ended after two, with and without
workers. Source: Python documentation, *Iterator types*; `_MapDatasetFetcher` of torch.

**Found:** in the item path of a map-style dataset, `raise StopIteration`, or `next(it)` with no default on
an iterator that the dataset keeps, or on a search that may find nothing (`next(a for a in items if ...)`,
`next(folder.glob(...))`).

**Left alone:** `next` inside `try ... except StopIteration`, in a generator, with a default, on a fresh
iterator over all of something, or on an endless one (`itertools.cycle`); iterable datasets.

**Cure:** `raise IndexError`; `next(it, None)` with a check, or an `except StopIteration` that starts the
iterator again. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Comp, Const, Expr, Name, Raise, Seq, While, dotted
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemFunction, attribute_of_self, item_functions
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.values import Made

_SEARCHES = frozenset({"pathlib.Path.glob", "pathlib.Path.rglob", "glob.iglob", "builtins.filter"})
_ENDLESS = frozenset({"itertools.cycle", "itertools.count", "itertools.repeat"})


def check(program: Program) -> Iterator[Report]:
    for function in item_functions(program):
        if function.scope.is_generator or any(way.path.kind != "item" for way in function.ways):
            continue
        if not any(way.path.steps[0].scope.name.startswith("__getitem") for way in function.ways):
            continue
        yield from _raised(function)
        yield from _drawn(function)


def _raised(function: ItemFunction) -> Iterator[Report]:
    for node, block in function.scope.raises:
        if _is_stop(node) and not _caught(block):
            yield Report(
                function.scope,
                node.at,
                "the loader takes this `StopIteration` for the end of the data, and the epoch ends silently: "
                "raise `IndexError`",
                help="raise `IndexError` for an index that is out of range",
            )


def _drawn(function: ItemFunction) -> Iterator[Report]:
    for site in function.scope.calls:
        call = site.call
        if not isinstance(call.func, Name) or call.func.id != "next" or len(call.args) != 1:
            continue
        if _caught(site.block):
            continue
        if _may_be_empty(function, call.args[0]):
            yield Report(
                function.scope,
                site.at,
                "where nothing is found, this `next` raises `StopIteration`, which ends the epoch silently: pass a default, "
                "and raise an error that says what is missing",
                help="`found = next(matches, None)`, and `raise KeyError(...)` where it is `None`",
                confidence="medium",
            )
            continue
        if not attribute_of_self(call.args[0], function.scope) or _endless(function, call.args[0]):
            continue
        yield Report(
            function.scope,
            site.at,
            f"when `{dotted(call.args[0])}` is used up, its `StopIteration` ends the epoch silently: catch it, or pass a default",
            help="`try: ... except StopIteration:` around it, and start the iterator again",
        )


def _may_be_empty(function: ItemFunction, drawn: Expr) -> bool:
    """A search that may find nothing: ``(x for x in items if x.id == key)``, ``folder.glob("*.png")``."""
    if isinstance(drawn, Comp):
        return any(clause.tests for clause in drawn.clauses)
    if not isinstance(drawn, Call):
        return False
    if dotted(drawn.func) == "iter" and len(drawn.args) == 1:
        return _may_be_empty(function, drawn.args[0])
    called = callee_names(function.evaluator, drawn, function.scope)
    of_path = isinstance(drawn.func, Attr) and drawn.func.attr in ("glob", "rglob") and not called
    return of_path or any(name in _SEARCHES for name in called)


def _is_stop(node: Raise) -> bool:
    value = node.value.func if isinstance(node.value, Call) else node.value
    return isinstance(value, Name) and value.id == "StopIteration"


def _caught(block: Block | None) -> bool:
    for around in block.chain() if block is not None else ():
        if around.kind == "try" and any(_catches(handler.type) for handler in around.node.handlers):
            return True
        if around.kind == "except" and dotted(around.node.type) == "StopIteration":
            return True  # the iterator has just been started again
    return False


def _catches(kind: Expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.items if isinstance(kind, Seq) else (kind,)
    return any(dotted(k) in ("StopIteration", "Exception", "BaseException") for k in kinds)


def _endless(function: ItemFunction, expr: Expr) -> bool:
    """The iterator never ends: it cycles, or a generator of the project loops for ever."""
    for value in function.evaluator.values(expr, function.scope):
        if isinstance(value, Made):
            if isinstance(value.what, str):
                if value.what in _ENDLESS:
                    return True
                if (
                    value.what == "builtins.iter"
                    and value.call.args
                    and _endless(function, value.call.args[0])
                ):
                    return True
            elif value.what.kind == "function" and _loops_for_ever(value.what):
                return True
    return False


def _loops_for_ever(scope: Scope) -> bool:
    return any(
        isinstance(loop.node, While) and isinstance(loop.node.test, Const) and bool(loop.node.test.value)
        for loop in scope.loops
    )


RULE = Rule(
    code="DLC114",
    name="stopiteration-in-getitem",
    severity="error",
    check=check,
    page=__doc__ or "",
    causes=(),
    found=(
        """
        from torch.utils.data import Dataset

        class Rows(Dataset):
            def __init__(self, rows):
                self.rows = rows
            def __len__(self):
                return len(self.rows)
            def __getitem__(self, index):
                if index >= len(self.rows):
                    raise StopIteration  # <- DLC114
                return self.rows[index]
        """,
        """
        from torch.utils.data import Dataset

        class Stream(Dataset):
            def __init__(self, source, length):
                self.iterator = iter(source)
                self.length = length
            def __len__(self):
                return self.length
            def __getitem__(self, index):
                return next(self.iterator)  # <- DLC114
        """,
        """
        from torch.utils.data import Dataset

        class Mixed(Dataset):
            def __init__(self, images, texts):
                self.images = images
                self.texts = iter(texts)
            def _text(self):
                return next(self.texts)  # <- DLC114
            def __getitem__(self, index):
                return self.images[index], self._text()
        """,
        """
        from torch.utils.data import Dataset

        class Queue(Dataset):
            def __init__(self, queue):
                self.queue = queue
            def __getitem__(self, index):
                item = self.queue.get()
                if item is None:
                    raise StopIteration("no more items")  # <- DLC114
                return item
        """,
        """
        from pathlib import Path
        from torch.utils.data import Dataset

        class Cases(Dataset):
            def __init__(self, folders, notes):
                self.folders = folders
                self.notes = notes
            def __getitem__(self, index):
                folder = Path(self.folders[index])
                note = next(n for n in self.notes if n["folder"] == folder.name)  # <- DLC114
                return note["grade"], next(folder.glob("*_t1.nii"))  # <- DLC114
        """,
    ),
    clean=(
        """
        from pathlib import Path
        from torch.utils.data import Dataset

        class Cases(Dataset):
            def __init__(self, folders, columns):
                self.folders = folders
                self.columns = columns
            def __getitem__(self, index):
                folder = Path(self.folders[index])
                scan = next(folder.glob("*_t1.nii"), None)
                if scan is None:
                    raise FileNotFoundError(folder)
                return scan, next(iter(self.columns.values()))[index]
        """,
        """
        from torch.utils.data import Dataset

        class Stream(Dataset):
            def __init__(self, source):
                self.source = source
                self.iterator = iter(source)
            def __getitem__(self, index):
                try:
                    return next(self.iterator)
                except StopIteration:
                    self.iterator = iter(self.source)
                    return next(self.iterator)
        """,
        """
        import itertools
        from torch.utils.data import Dataset

        class Cycled(Dataset):
            def __init__(self, source):
                self.iterator = itertools.cycle(source)
            def __getitem__(self, index):
                return next(self.iterator)
        """,
        """
        from torch.utils.data import Dataset

        class Found(Dataset):
            def __init__(self, groups):
                self.groups = groups
            def __getitem__(self, index):
                return next((g for g in self.groups if g.start <= index), None)
        """,
        """
        from torch.utils.data import IterableDataset

        class Stream(IterableDataset):
            def __init__(self, source):
                self.iterator = iter(source)
            def __iter__(self):
                return self
            def __next__(self):
                return next(self.iterator)
        """,
        """
        from torch.utils.data import Dataset

        def forever(source):
            while True:
                yield from source

        class Endless(Dataset):
            def __init__(self, source):
                self.iterator = forever(source)
            def __getitem__(self, index):
                return next(self.iterator)
        """,
    ),
)
