"""A loader is given arguments that `DataLoader` rejects together, or that do nothing.

Most of these raise when the loader is built, and some (`prefetch_factor=0`, `timeout` without workers) only when
the first batch is asked for. Attributes set afterwards are refused (`loader.batch_size = 8`) or have no effect
(`loader.shuffle = True`). Each case was tried with torch 2.13.

**Found:** `shuffle=True` with a `sampler`, also where another branch has none; `batch_sampler` with `batch_size`,
`shuffle`, `sampler` or `drop_last`; `prefetch_factor`, `timeout`, `multiprocessing_context` or
`persistent_workers=True` with 0 workers; `shuffle=True` or a `sampler` with an `IterableDataset`; `batch_size=None`
with `drop_last=True`; `prefetch_factor=0`; `in_order=False` with 0 workers and `pin_memory_device` (no effect);
attributes set on a loader after it was built.

**Left alone:** arguments whose values are not known for sure; what does not contradict: `batch_size=1` or
`drop_last=False` with a `batch_sampler`, `shuffle=False` with a `sampler`.

**Versions:** torch 2.x; `in_order` from 2.6, `pin_memory_device` deprecated since 2.8.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Cond, Expr, Name
from dlcheck.lint.finding import Severity
from dlcheck.lint.fix import Fix, RemoveArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.values import Absent, Group, Known, Made, Values, only

_REFUSED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})

_WITHOUT_EFFECT = ("in_order", "pin_memory_device")


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if loader.kind != "torch":
            continue
        for message, severity in _contradictions(program, loader):
            yield Report(loader.scope, loader.at, message, severity=severity, fix=_fix(loader, message))
    yield from _set_afterwards(program)


def _fix(loader: Loader, message: str) -> Fix | None:
    """Arguments that do nothing can go."""
    for name in _WITHOUT_EFFECT:
        if message.startswith(f"`{name}") and any(key == name for key, _ in loader.call.keywords):
            return Fix(f"leave out `{name}`", (RemoveArgument(loader.at, name),), safe=True)
    return None


def _contradictions(program: Program, loader: Loader) -> Iterator[tuple[str, Severity | None]]:
    shuffled = only(loader.arg("shuffle"), True)
    sampler, batch_sampler = _is_given(loader.arg("sampler")), _is_given(loader.arg("batch_sampler"))
    if shuffled and sampler:
        yield (
            "`shuffle=True` and `sampler` exclude each other: this raises a ValueError. Keep the sampler alone",
            None,
        )
    elif shuffled and _is_given_in_a_branch(program, loader):
        yield (
            "where there is a `sampler`, `shuffle=True` next to it raises a ValueError: pass `shuffle=sampler is None`",
            None,
        )
    if batch_sampler:
        clash = [name for name, wrong in _with_batch_sampler(loader, shuffled, sampler) if wrong]
        if clash:
            named = " and ".join(f"`{name}`" for name in clash)
            yield (
                f"`batch_sampler` already decides {named}: together they raise a ValueError. Leave {named} out",
                None,
            )
    if _never_workers(loader):
        yield from _without_workers(loader)
    if only(loader.arg("prefetch_factor"), 0):
        yield "`prefetch_factor=0` fails when the first batch is asked for: it must be at least 1", None
    if _always_iterable(program, loader) and (shuffled or sampler):
        what = "`shuffle=True`" if shuffled else "a `sampler`"
        yield (
            f"an `IterableDataset` decides its own order: {what} raises a ValueError. Shuffle inside the dataset",
            None,
        )
    if only(loader.arg("batch_size"), None) and only(loader.arg("drop_last"), True):
        yield "`batch_size=None` turns batching off, and `drop_last=True` then raises a ValueError", None
    if _is_given(loader.arg("pin_memory_device")):
        yield (
            "`pin_memory_device` is deprecated and ignored: leave it out, `pin_memory=True` is enough",
            "info",
        )


def _with_batch_sampler(loader: Loader, shuffled: bool, sampler: bool) -> list[tuple[str, bool]]:
    sizes = loader.arg("batch_size")
    size = bool(sizes) and all(isinstance(v, Known) and v.value not in (1, None) for v in sizes)
    return [
        ("batch_size", size),
        ("shuffle", shuffled),
        ("sampler", sampler),
        ("drop_last", only(loader.arg("drop_last"), True)),
    ]


def _without_workers(loader: Loader) -> Iterator[tuple[str, Severity | None]]:
    factor = loader.arg("prefetch_factor")
    if factor and all(isinstance(v, Known) and isinstance(v.value, int) for v in factor):
        yield "`prefetch_factor` needs workers: with `num_workers=0` it raises a ValueError", None
    if only(loader.arg("persistent_workers"), True):
        yield "`persistent_workers=True` needs workers: with `num_workers=0` it raises a ValueError", None
    timeout = loader.arg("timeout")
    if timeout and all(
        isinstance(v, Known) and isinstance(v.value, (int, float)) and v.value > 0 for v in timeout
    ):
        yield "`timeout` needs workers: with `num_workers=0` the first batch raises an AssertionError", None
    if _is_given(loader.arg("multiprocessing_context")):
        yield "`multiprocessing_context` needs workers: with `num_workers=0` it raises a ValueError", None
    if only(loader.arg("in_order"), False):
        yield "`in_order=False` does nothing with `num_workers=0`", "info"


def _never_workers(loader: Loader) -> bool:
    """Nothing, or a literal 0, is given for ``num_workers``: no default that a caller may change."""
    values = loader.arg("num_workers")
    return bool(values) and all(
        isinstance(v, Absent) or (isinstance(v, Known) and v.value == 0 and not v.by_default) for v in values
    )


def _is_given(values: Values) -> bool:
    """Something that is certainly not ``None`` is certainly given."""
    return bool(values) and all(
        (isinstance(v, Known) and v.value is not None and not v.by_default)
        or (isinstance(v, Made) and v.what != "")
        or isinstance(v, Group)
        for v in values
    )


def _is_given_in_a_branch(program: Program, loader: Loader) -> bool:
    """A sampler in one branch and ``None`` in the other, with no word on it between the choice and the loader."""
    given = [expr for name, expr in loader.call.keywords if name == "sampler"]
    scope = loader.scope
    if len(given) != 1 or _is_asked_about(loader):
        return False
    choices: list[Expr] = []
    match given[0]:
        case Cond(_, then, orelse, _):
            choices = [then, orelse]
        case Name(name, _):
            bindings = scope.bindings.get(name, ())
            here = loader.site.block
            branches = [b.block for b in bindings if b.block is not None and b.block is not here]
            ifs = {id(block.node) for block in branches}
            plain = [b for b in bindings if b.block is here]
            if len(ifs) != 1 or any(block.kind not in ("if", "else", "orelse") for block in branches):
                return False
            if (
                len(bindings) != 2
                or (plain and plain[0].at > branches[0].first)
                or branches[0].parent is not here
            ):
                return False
            if any(b.kind != "assign" or b.value is None or b.at > loader.at for b in bindings):
                return False
            choices = [b.value for b in bindings if b.value is not None]
    kinds = [program.values(choice, scope) for choice in choices]
    return any(only(k, None) for k in kinds) and any(
        k and all(isinstance(v, Made) and v.what for v in k) for k in kinds
    )


def _is_asked_about(loader: Loader) -> bool:
    """The loader itself is built in a branch, where only one of the two may come."""
    around = loader.site.block.chain() if loader.site.block is not None else ()
    return any(block.kind in ("if", "else", "orelse", "except") for block in around)


def _always_iterable(program: Program, loader: Loader) -> bool:
    values = loader.arg("dataset")
    return bool(values) and all(
        isinstance(v, Made)
        and not isinstance(v.what, str)
        and program.evaluator.is_a(v.what, names.ITERABLE_DATASETS)
        for v in values
    )


def _set_afterwards(program: Program) -> Iterator[Report]:
    built = {id(loader.call): loader for loader in program.loaders if loader.cls is None}
    for scope in program.scopes():
        for store in scope.stores:
            if store.attr not in _REFUSED and store.attr != "shuffle":
                continue
            values = program.values(store.base, scope)
            if not values or not all(isinstance(v, Made) and id(v.call) in built for v in values):
                continue
            if store.attr == "shuffle":
                message = "setting `shuffle` on a loader that exists does nothing: its sampler was made when it was built"
            else:
                message = f"`{store.attr}` of a loader cannot be changed after it was built: this raises a ValueError"
            yield Report(scope, store.at, message, help="build another loader with the value you want")


RULE = Rule(
    code="DLC206",
    name="invalid-loader-arguments",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import torch
        from torch.utils.data import DataLoader, Sampler

        class Nearby(Sampler):
            def __init__(self, data, size):
                self.data, self.size = data, size
            def __iter__(self):
                return iter(torch.randint(len(self.data), (len(self.data),)).tolist())
            def __len__(self):
                return len(self.data)

        def main(data, options):
            if not options.random:
                sampler = Nearby(data, options.size)
            else:
                sampler = None
            return DataLoader(data, batch_size=options.size, shuffle=True, sampler=sampler)  # <- DLC206
        """,
        """
        from torch.utils.data import DataLoader, RandomSampler

        def make(dataset):
            return DataLoader(dataset, shuffle=True, sampler=RandomSampler(dataset))  # <- DLC206
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, batch_size=4, prefetch_factor=2)  # <- DLC206
        """,
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Stream(IterableDataset):
            def __iter__(self):
                yield 1

        loader = DataLoader(Stream(), shuffle=True)  # <- DLC206
        """,
        """
        from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

        def make(dataset):
            batches = BatchSampler(SequentialSampler(dataset), 8, False)
            return DataLoader(dataset, batch_size=8, batch_sampler=batches)  # <- DLC206
        """,
        """
        from torch.utils.data import DataLoader

        def grow(dataset):
            loader = DataLoader(dataset, batch_size=8, num_workers=2)
            loader.batch_size = 16  # <- DLC206
            return loader
        """,
        """
        from torch.utils.data import DataLoader

        loader = DataLoader([1, 2], num_workers=0, persistent_workers=True)  # <- DLC206
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader, DistributedSampler

        def make(train, test, distributed):
            sampler = None
            if distributed:
                sampler = DistributedSampler(train)
            if sampler is None:
                return DataLoader(train, shuffle=True, sampler=sampler)
            loaders = [DataLoader(train, sampler=sampler)]
            sampler = None
            return [*loaders, DataLoader(test, shuffle=True, sampler=sampler)]
        """,
        """
        from torch.utils.data import DataLoader

        def forever(source):
            while True:
                yield from source

        def main(source):
            return DataLoader(forever(source), batch_size=4)
        """,
        """
        from torch.utils.data import DataLoader, DistributedSampler

        def make(dataset, distributed):
            sampler = DistributedSampler(dataset) if distributed else None
            return DataLoader(dataset, shuffle=sampler is None, sampler=sampler)
        """,
        """
        from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

        def make(dataset):
            batches = BatchSampler(SequentialSampler(dataset), 8, False)
            return DataLoader(dataset, batch_size=1, shuffle=False, drop_last=False, batch_sampler=batches)
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset, workers):
            factor = 4 if workers else None
            return DataLoader(dataset, num_workers=workers, persistent_workers=workers > 0, prefetch_factor=factor)
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset, workers=0):
            return DataLoader(dataset, num_workers=workers, prefetch_factor=2)
        """,
    ),
)
