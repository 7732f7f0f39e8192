"""A loader takes a large tensor apart row by row, and puts the rows together again.

`TensorDataset` is indexed once per row, and default collate stacks the rows: for data in memory that is the
whole cost. Indexing a batch at once is about 100 times faster (measured: 20,000 rows in 0.60 s against
0.004 s). Workers do not help: they copy as well. Source: documentation of `DataLoader`, *Disabling
automatic batching*.

**Found:** a loader with an ordinary sampler over a `TensorDataset`, of a number of rows that is written in
the code (100,000 or more); over any other `TensorDataset` with low confidence.

**Left alone:** small data; loaders with `batch_size=None` or a batch sampler as `sampler`.

**Cure:** `DataLoader(data, sampler=BatchSampler(RandomSampler(data), size, drop_last=False),
batch_size=None)`, or a dataset with `__getitems__`. **Versions:** torch 1.2 and later (`__getitems__` from
2.0).
"""

from collections.abc import Iterator

from dlcheck.facts.model import Call, Const, Expr
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import Absent, Known, Made, Value

_LARGE = 100_000
_ORDINARY = frozenset(f"torch.utils.data.{name}" for name in ("RandomSampler", "SequentialSampler"))
_MAKERS = frozenset(
    f"torch.{name}" for name in ("randn", "rand", "zeros", "ones", "empty", "arange", "randint", "linspace")
)


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if loader.kind != "torch" or not _by_rows(loader):
            continue
        made = [
            d for d in loader.datasets if isinstance(d, Made) and d.what == "torch.utils.data.TensorDataset"
        ]
        if not made or len(made) != len(loader.datasets):
            continue
        yield Report(
            loader.scope,
            loader.at,
            "this loader indexes a tensor row by row and stacks the rows again: let it index a whole batch at once",
            help="`sampler=BatchSampler(RandomSampler(data), batch_size, drop_last=False), batch_size=None`",
            confidence=_confidence(made[0], program),
        )


def _by_rows(loader: Loader) -> bool:
    """The samples are fetched one by one and collated by default."""
    plain = all(
        isinstance(v, Absent) for name in ("batch_sampler", "collate_fn") for v in loader.arg(name)
    ) and all(isinstance(v, Absent) or _is_ordinary(v) for v in loader.arg("sampler"))
    sizes = loader.arg("batch_size")
    return plain and all(isinstance(v, Known) and v.value is not None and v.value != 1 for v in sizes)


def _is_ordinary(sampler: Value) -> bool:
    return isinstance(sampler, Made) and sampler.what in _ORDINARY


def _confidence(dataset: Made, program: Program) -> Confidence:
    if not dataset.call.args:
        return "low"
    rows = [_rows(dataset.call.args[0], dataset.scope, program)]
    return "high" if any(n is not None and n >= _LARGE for n in rows) else "low"


def _rows(expr: Expr, scope: Scope, program: Program) -> int | None:
    """The number of rows of a tensor that is made with a constant size."""
    for value in program.values(expr, scope):
        if isinstance(value, Made) and value.what in _MAKERS and value.call.args:
            place = 2 if value.what == "torch.randint" and len(value.call.args) > 2 else 0
            return _first(value.call, place, value.scope, program)
    return None


def _first(call: Call, place: int, scope: Scope, program: Program) -> int | None:
    size: Expr = call.args[place]
    items = getattr(size, "items", None)
    if items:
        size = items[0]
    if isinstance(size, Const) and isinstance(size.value, int):
        return size.value
    known = [
        v.value for v in program.values(size, scope) if isinstance(v, Known) and isinstance(v.value, int)
    ]
    return max(known, default=None)


RULE = Rule(
    code="DLC115",
    name="row-by-row-tensor-data",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("fetch-cpu", "collate"),
    found=(
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        data = TensorDataset(torch.randn(1_000_000, 32), torch.zeros(1_000_000))
        loader = DataLoader(data, batch_size=1024, shuffle=True)  # <- DLC115
        """,
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        def main(model):
            x = torch.rand((500_000, 16))
            y = torch.randint(0, 10, (500_000,))
            for batch in DataLoader(TensorDataset(x, y), batch_size=256):  # <- DLC115
                model(*batch)
        """,
        """
        import torch
        import torch.utils.data as data

        ROWS = 200_000

        def loaders():
            table = torch.zeros(ROWS, 8)
            dataset = data.TensorDataset(table)
            return data.DataLoader(dataset, 512, shuffle=True)  # <- DLC115
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Subset, TensorDataset

        dataset = TensorDataset(torch.arange(10_000_000))
        train = Subset(dataset, range(9_000_000))
        train_loader = DataLoader(train, batch_size=4096, shuffle=True)  # <- DLC115
        """,
        """
        import torch
        from torch.utils.data import DataLoader, RandomSampler, TensorDataset

        data = TensorDataset(torch.rand(3_000_000, 4))
        loader = DataLoader(data, sampler=RandomSampler(data), batch_size=2048)  # <- DLC115
        """,
    ),
    clean=(
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        loader = DataLoader(TensorDataset(torch.randn(1000, 32)), batch_size=16, shuffle=True)
        """,
        """
        import torch
        from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

        data = TensorDataset(torch.randn(1_000_000, 32))
        sampler = BatchSampler(RandomSampler(data), 1024, drop_last=False)
        loader = DataLoader(data, sampler=sampler, batch_size=None)
        """,
        """
        from torch.utils.data import DataLoader, TensorDataset

        def loader(x, y):
            return DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        loader = DataLoader(ImageFolder("train"), batch_size=64, shuffle=True)
        """,
    ),
)
