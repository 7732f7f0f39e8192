"""The dataset keeps one Python object per sample, and there are millions of them.

Reading a Python object writes its reference count, so a forked worker soon copies the pages that hold the
list: memory grows to the size of the list times the number of workers. (Workers that are not forked receive
a copy at once.) Measured: 2 million short strings grew each worker by 236 MB in one epoch, a NumPy array of
the same by 2 MB. Source: torch issue 13246, where the documentation warns.

**Found:** in `__init__` and what it calls, a list or dict kept on `self` with an entry per sample, of a
size that is written in the code (a million or more); with low confidence where it grows line by line with a
file or a folder tree.

**Left alone:** arrays, tensors, Arrow tables; datasets whose loaders have no workers.

**Cure:** an array of fixed-width strings or of offsets, a tensor, an Arrow table. `dlcheck run` measures
the growth. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Comp, Const, Expr, Mapping, Name, Op, Other, Seq, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import attribute_of_self
from dlcheck.program.paths import Path, loop_around, loop_of
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import Known

_LARGE = 1_000_000
_GROWING = frozenset({"builtins.open", "os.walk", "gzip.open", "json.loads", "csv.reader", "csv.DictReader"})
_NUMBERS = frozenset({"numpy.array", "numpy.asarray", "torch.tensor", "torch.as_tensor", "numpy.fromiter"})


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if dataset.workers == "none":
            continue
        for scope, at, attr, over in _lists(dataset):
            confidence = _size(over, scope, dataset)
            if confidence is not None:
                yield Report(
                    scope,
                    at,
                    f"`self.{attr}` keeps a Python object per sample, which the workers copy page by page as they read: "
                    "keep an array or a tensor",
                    help="`np.array(names)` of fixed-width strings, offsets into one buffer, or an Arrow table",
                    confidence=confidence,
                )


def _lists(dataset: Dataset) -> Iterator[tuple[Scope, tuple[int, int, int, int], str, Expr]]:
    """Where a list or dict of objects is made in the set-up path: (scope, place, attribute, what it runs over)."""
    path: Path = dataset.setup_path
    for step in path.steps:
        scope = step.scope
        for store in scope.stores:
            attr = attribute_of_self(Attr(store.base, store.attr, store.at), scope) if store.attr else ""
            if attr and isinstance(store.value, Comp) and store.value.kind in ("list", "dict", "set"):
                if _is_object(store.value.elements[-1], dataset, scope):
                    yield scope, store.at, attr, store.value.clauses[0].iterable
        for site in scope.calls:
            func = site.call.func
            block = loop_around(site.block)
            if not isinstance(func, Attr) or func.attr != "append" or block is None or not site.call.args:
                continue
            attr = attribute_of_self(func.base, scope)
            loop = loop_of(scope, block)
            if (
                attr
                and loop is not None
                and loop.iterable is not None
                and _is_object(site.call.args[0], dataset, scope)
            ):
                yield scope, site.at, attr, loop.iterable


def _is_object(expr: Expr, dataset: Dataset, scope: Scope) -> bool:
    """A string, tuple, dict or list; not a number, not an array."""
    if isinstance(expr, (Seq, Mapping)) or (isinstance(expr, Other) and expr.kind == "fstring"):
        return True
    if isinstance(expr, Call):
        called = callee_names(dataset.evaluator, expr, scope)
        if any(n in _NUMBERS for n in called) or dotted(expr.func) in ("int", "float"):
            return False
        return isinstance(expr.func, Attr) and expr.func.attr in (
            "join",
            "strip",
            "split",
            "rstrip",
            "format",
        )
    return isinstance(expr, Name) or (isinstance(expr, Op) and expr.op in ("+", "%", "/"))


def _size(over: Expr, scope: Scope, dataset: Dataset) -> Confidence | None:
    for part in walk(over):
        if isinstance(part, Call) and dotted(part.func) == "range":
            sizes = [v for a in part.args for v in dataset.evaluator.values(a, scope) if isinstance(v, Known)]
            if any(isinstance(v.value, int) and v.value >= _LARGE for v in sizes):
                return "high"
        if isinstance(part, Const) and isinstance(part.value, int) and part.value >= _LARGE:
            return "high"
        if isinstance(part, Call) and any(
            n in _GROWING for n in callee_names(dataset.evaluator, part, scope)
        ):
            return "low"
        if isinstance(part, Name) and any(
            isinstance(b.value, Call)
            and any(n in _GROWING for n in callee_names(dataset.evaluator, b.value, scope))
            for b in scope.bindings.get(part.id, ())
        ):
            return "low"
    return None


RULE = Rule(
    code="DLC109",
    name="object-list-memory-growth",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("memory",),
    found=(
        """
        from torch.utils.data import Dataset

        class Names(Dataset):
            def __init__(self, root):
                self.names = [f"{root}/{i:08d}.jpg" + "" for i in range(14_000_000)]  # <- DLC109
            def __len__(self):
                return len(self.names)
            def __getitem__(self, i):
                return self.names[i]
        """,
        """
        from torch.utils.data import Dataset

        SIZE = 5_000_000

        class Pairs(Dataset):
            def __init__(self, root):
                self.pairs = [(i, root) for i in range(SIZE)]  # <- DLC109
            def __getitem__(self, i):
                return self.pairs[i]
        """,
        """
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, reader):
                self.records = []
                for i in range(2_000_000):
                    self.records.append({"id": i, "key": reader.key(i)})  # <- DLC109
            def __getitem__(self, i):
                return self.records[i]
        """,
        """
        from torch.utils.data import Dataset

        class Index(Dataset):
            def __init__(self, count=10_000_000):
                self.index = {i: (i // 100, i % 100) for i in range(count)}  # <- DLC109
            def __getitem__(self, i):
                return self.index[i]
        """,
    ),
    clean=(
        """
        import os
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, root):
                self.paths = [os.path.join(root, n) for n in os.listdir(root)]
            def __getitem__(self, i):
                return self.paths[i]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Offsets(Dataset):
            def __init__(self):
                self.offsets = np.arange(10_000_000)
            def __getitem__(self, i):
                return self.offsets[i]
        """,
        """
        from torch.utils.data import Dataset

        class Lines(Dataset):
            def __init__(self, path):
                with open(path) as f:
                    self.lines = [line.strip() for line in f]
            def __getitem__(self, i):
                return self.lines[i]
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Pairs(Dataset):
            def __init__(self):
                self.pairs = [(i, i) for i in range(2_000_000)]
            def __getitem__(self, i):
                return self.pairs[i]

        loader = DataLoader(Pairs(), num_workers=0)
        """,
    ),
)
