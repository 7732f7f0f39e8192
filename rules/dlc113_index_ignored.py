"""`__getitem__` ignores its index and draws a sample at random.

Shuffling, samplers and distributed sharding then have no effect: an epoch repeats some samples and leaves
out others, evaluation differs from run to run, and `len(dataset)` is only a number of steps. Source:
PyTorch documentation, *Map-style datasets*.

**Found:** a `__getitem__` that never uses its index, and picks from what the dataset keeps by a random
number.

**Left alone:** synthetic data (`torch.randn(...)`); methods that only raise or hand over; a parameter named
`_`, which says that it is meant (low confidence).

**Cure:** look samples up by the index; for endless random sampling, a `RandomSampler(replacement=True,
num_samples=...)` or an `IterableDataset`. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Expr, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import attribute_of_self
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope

_RANDOM = ("random.", "numpy.random.", "torch.randint", "torch.randperm", "torch.multinomial")
_PICKS = frozenset({"choice", "choices", "sample"})


def check(program: Program) -> Iterator[Report]:
    seen: set[Scope] = set()
    for dataset in program.datasets:
        method = dataset.evaluator.method(dataset.cls, "__getitem__")
        if method is None or method in seen or len(method.params) != 2 or dataset.iterable:
            continue
        seen.add(method)
        index = method.params[1].name
        if _used(method, index) or not any(_picks(step.scope, program) for step in dataset.item_path.steps):
            continue
        yield Report(
            method,
            (method.at[0], method.at[1], method.at[0], method.at[1] + len("def __getitem__")),
            f"`__getitem__` never uses `{index}` and draws a sample at random: shuffling, samplers and distributed "
            "sharding have no effect",
            help="look the sample up by the index, or make this an `IterableDataset`",
            confidence="low" if index.startswith("_") or "unused" in index else "high",
        )


def _used(method: Scope, index: str) -> bool:
    """The index is read, before something else takes its name in every case."""
    replaced = min(
        (b.at for b in method.bindings[index] if b.kind == "assign" and b.block is None),
        default=None,
    )
    for inner in method.descend():
        for name, _ in inner.names:
            if name.id == index and (replaced is None or name.at[:2] < replaced[2:]):
                return True
    return False


def _picks(scope: Scope, program: Program) -> bool:
    """It takes something that the dataset keeps, by a random number."""
    for site in scope.calls:
        called = callee_names(program.evaluator, site.call, scope)
        drawn = any(n.startswith(_RANDOM) for n in called) and _last(site.call) in _PICKS
        if drawn and any(attribute_of_self(part, scope) for a in site.call.args[:1] for part in walk(a)):
            return True
    return any(
        attribute_of_self(sub.base, scope) and _drawn(sub.index, scope, program) for sub, _ in scope.subs
    )


def _last(call: Call) -> str:
    return call.func.attr if isinstance(call.func, Attr) else getattr(call.func, "id", "")


def _drawn(expr: Expr, scope: Scope, program: Program) -> bool:
    for part in walk(expr):
        if _is_draw(part, scope, program):
            return True
        for binding in scope.bindings.get(getattr(part, "id", ""), ()):
            if (
                binding.kind == "assign"
                and binding.value is not None
                and _is_draw(binding.value, scope, program)
            ):
                return True
    return False


def _is_draw(expr: Expr, scope: Scope, program: Program) -> bool:
    return isinstance(expr, Call) and any(
        n.startswith(_RANDOM) for n in callee_names(program.evaluator, expr, scope)
    )


RULE = Rule(
    code="DLC113",
    name="index-ignored",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=(),
    found=(
        """
        import random
        from torch.utils.data import Dataset

        class Pairs(Dataset):
            def __init__(self, pairs):
                self.pairs = pairs
            def __len__(self):
                return 1000
            def __getitem__(self, index):  # <- DLC113
                return random.choice(self.pairs)
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Crops(Dataset):
            def __init__(self, path, size):
                self.data = np.load(path)
                self.size = size
            def __getitem__(self, idx):  # <- DLC113
                start = np.random.randint(0, len(self.data) - self.size)
                return self.data[start : start + self.size]
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Tokens(Dataset):
            def __init__(self, data, length):
                self.data = data
                self.length = length
            def __getitem__(self, index):  # <- DLC113
                start = torch.randint(0, self.data.size(0) - self.length, (1,))
                return self.data[start : start + self.length].long()
        """,
        """
        import random
        from torch.utils.data import Dataset

        class Triplets(Dataset):
            def __init__(self, groups):
                self.groups = groups
            def draw(self):
                return random.sample(self.groups, 3)
            def __getitem__(self, index):  # <- DLC113
                return self.draw()
        """,
        """
        import random
        import numpy as np
        from torch.utils.data import Dataset

        class Arrays(Dataset):
            def __init__(self, files):
                self.files = files
            def __len__(self):
                return len(self.files)
            def __getitem__(self, index):  # <- DLC113
                index = random.randint(0, len(self.files) - 1)
                return np.load(self.files[index])
        """,
    ),
    clean=(
        """
        import random
        import numpy as np
        from torch.utils.data import Dataset

        class Arrays(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, index):
                index = index % len(self.files)
                first = np.load(self.files[index])
                index = random.randrange(len(self.files))
                return first, np.load(self.files[index])
        """,
        """
        import random
        from torch.utils.data import Dataset

        class Pairs(Dataset):
            def __init__(self, items):
                self.items = items
            def __getitem__(self, index):
                return self.items[index], random.choice(self.items)
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Synthetic(Dataset):
            def __init__(self, size):
                self.size = size
            def __getitem__(self, index):
                return torch.randn(self.size), torch.randint(0, 10, (1,))
        """,
        """
        from torch.utils.data import Dataset

        class Base(Dataset):
            def __getitem__(self, index):
                raise NotImplementedError
        """,
        """
        import random
        from torch.utils.data import Dataset

        class Retry(Dataset):
            def __init__(self, items):
                self.items = items
            def __getitem__(self, index):
                for _ in range(3):
                    try:
                        return self.load(index)
                    except OSError:
                        index = random.choice(self.items)
            def load(self, index):
                return self.items[index]
        """,
    ),
)
