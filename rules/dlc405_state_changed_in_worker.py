"""The state of a dataset is changed in one process and used in another, which has a copy of its own.

Workers get a copy of the dataset when they are started. With `persistent_workers=True` that happens once, so what the main
process changes between epochs never reaches them; and what the items count or collect on `self` stays in the worker and is lost
with it. Neither gives an error. Source: documentation of `torch.utils.data` (*Multi-process data loading*); Hugging Face datasets
issue 6673; torch issue 97326.

**Found:** an attribute that the items read, set on the dataset in the epoch loop (directly, or by one of its methods), or a
list, dict or array that one of its methods fills there, with persistent workers; an attribute that the items change, and that
the main process reads, with loader workers.

**Left alone:** values in shared memory (`multiprocessing.Value`, tensors changed in place); caches that nobody else reads;
attributes that the main process may have set itself, by taking an item; loaders without workers.

**Cure:** hand the epoch over in the sampler's indices or a shared `multiprocessing.Value`, or do without persistent workers;
return counts with the sample. **Versions:** persistent workers: torch 1.7 and later.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dlcheck.facts.model import At, Attr, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.kept import is_self
from dlcheck.program.lazy import is_lazy
from dlcheck.program.loaders import Loader
from dlcheck.program.outside import (
    GROWS,
    calls_of,
    family_of,
    filled,
    is_dataset,
    items_taken_outside,
    named,
    own_methods,
    read_outside,
)
from dlcheck.program.persistent import persists, runs_in
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Block, Scope, Store
from dlcheck.program.values import Group, Made, Table

_PRIVATE = frozenset(
    {
        f"numpy.{name}"
        for name in ("ones", "zeros", "full", "empty", "array", "arange", "ones_like", "zeros_like")
    }
    | {"collections.deque", "collections.defaultdict", "builtins.list", "builtins.dict", "builtins.set"}
)
_SHARED = ("multiprocessing", "Manager", "share_memory", "torch.multiprocessing", "ctypes")


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        loaders = [loader for loader in dataset.loaders if loader.may_have_workers]
        if not loaders:
            continue
        for loader in loaders:
            persistent = persists(loader)
            if persistent is not None:
                yield from _set_between_epochs(program, dataset, loader, persistent)
        if any(loader.workers == "some" for loader in loaders):
            yield from _lost_in_workers(program, dataset, loaders)


# -- from the main process to the workers -------------------------------------------------------------------------------


def _set_between_epochs(
    program: Program, dataset: Dataset, loader: Loader, confidence: Confidence
) -> Iterator[Report]:
    loops = {
        loop
        for use in program.uses_of[loader]
        if use.kind in ("for", "next", "comp")
        for loop in program.consumption.epoch_loops(use, loader)
    }
    if not loops:
        return
    read = _read_by_items(dataset)
    family = family_of(dataset)
    for scope, store in (pair for attr in sorted(read) for pair in named(program).stores.get(attr, ())):
        if scope.owner in family or _own_setter(dataset, store.attr or ""):
            continue
        if runs_in(program, scope, store.block, loops):
            if is_dataset(program, store.base, scope, dataset, loader):
                yield _never_seen(scope, store.at, store.attr or "", loader, confidence)
    for method in own_methods(dataset):
        changed = [s.attr for s in method.stores if is_self(s.base, method) and s.attr in read]
        changed += [attr for attr in filled(method) if attr in read and _is_plain(dataset, attr)]
        for site, base in calls_of(program, dataset, method) if changed else ():
            if runs_in(program, site.scope, site.block, loops):
                if is_dataset(program, base, site.scope, dataset, loader):
                    yield _never_seen(site.scope, site.at, changed[0] or "", loader, confidence)


def _is_plain(dataset: Dataset, attr: str) -> bool:
    """A list, dict or array in the memory of the process. Tensors may be shared."""
    values = dataset.evaluator.instance_attribute(dataset.cls, attr)
    return bool(values) and all(
        isinstance(v, Group | Table)
        or (isinstance(v, Made) and isinstance(v.what, str) and v.what in _PRIVATE)
        for v in values
    )


def _never_seen(scope: Scope, at: At, attr: str, loader: Loader, confidence: Confidence) -> Report:
    return Report(
        scope,
        at,
        f"the workers of this loader persist, each with its own copy of the dataset: they never see this change of `{attr}`",
        help="keep the value in a `multiprocessing.Value` that the dataset holds, pass it in the sampler's indices, or leave "
        "`persistent_workers` out",
        confidence=confidence,
        also=((loader.scope, loader.at),),
    )


def _own_setter(dataset: Dataset, attr: str) -> bool:
    """The attribute is a property, whose setter may well share the value."""
    return dataset.evaluator.method(dataset.cls, attr) is not None


# -- from the workers to the main process -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Change:
    attr: str
    scope: Scope
    at: At


def _lost_in_workers(program: Program, dataset: Dataset, loaders: list[Loader]) -> Iterator[Report]:
    seen: set[str] = set()
    for change in _changes(dataset):
        if change.attr in seen or _is_shared(dataset, change.attr):
            continue
        read = read_outside(program, dataset, loaders, change.attr)
        if read is None or items_taken_outside(program, dataset, loaders):
            continue
        seen.add(change.attr)
        yield Report(
            change.scope,
            change.at,
            f"`self.{change.attr}` is changed in the worker's copy of the dataset, and read in the main process, which never "
            "sees the change",
            help="return the value with the sample, or keep it in a `multiprocessing.Value`",
            confidence="high",
            also=(read,),
        )


def _changes(dataset: Dataset) -> Iterator[_Change]:
    """What the items store or collect on ``self``, each time."""
    family = family_of(dataset)
    for step in dataset.item_path.steps:
        if step.lazy or step.scope.owner not in family:
            continue
        for store in step.scope.stores:
            if store.attr is not None and is_self(store.base, step.scope):
                if not _first_time_only(store.block, step.scope, store.at):
                    yield _Change(store.attr, step.scope, store.at)
        for site in step.scope.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in GROWS and isinstance(func.base, Attr):
                if is_self(func.base.base, step.scope) and not _first_time_only(
                    site.block, step.scope, site.at
                ):
                    yield _Change(func.base.attr, step.scope, site.at)


def _first_time_only(block: Block | None, scope: Scope, at: At) -> bool:
    """Behind a check of ``self`` that what is stored there is not there yet."""
    tests = [b.node.test for b in (block.chain() if block is not None else ()) if b.kind in ("if", "else")]
    asks_self = any(is_self(part, scope) for test in tests for part in walk(test))
    return is_lazy(block, scope, at) and (asks_self or not tests)


def _is_shared(dataset: Dataset, attr: str) -> bool:
    for value in dataset.evaluator.instance_attribute(dataset.cls, attr):
        name = value.what if isinstance(value, Made) and isinstance(value.what, str) else ""
        receiver = value.receiver if isinstance(value, Made) else None
        made_by = receiver.what if isinstance(receiver, Made) and isinstance(receiver.what, str) else ""
        if any(word in text for text in (name, made_by) for word in _SHARED):
            return True
    return False


# -- shared -------------------------------------------------------------------------------------------------------------


def _read_by_items(dataset: Dataset) -> set[str]:
    """The attributes of ``self`` that the items read, those that they set themselves left out."""
    family = family_of(dataset)
    steps = [step.scope for step in dataset.item_path.steps if step.scope.owner in family]
    stored: list[Store] = [store for scope in steps for store in scope.stores]
    own = {store.attr for store in stored}
    return {a.attr for scope in steps for a, _ in scope.attrs if is_self(a.base, scope)} - own


RULE = Rule(
    code="DLC405",
    name="state-changed-in-worker",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from torch.utils.data import DataLoader, Dataset

        class Frames(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.epoch = 0
            def __getitem__(self, index):
                return self.paths[index][self.epoch % 4]

        def main(paths, model):
            dataset = Frames(paths)
            loader = DataLoader(dataset, num_workers=4, persistent_workers=True)
            for epoch in range(10):
                dataset.epoch = epoch  # <- DLC405
                for batch in loader:
                    model(batch).backward()
        """,
        """
        # file: data.py
        from torch.utils.data import Dataset

        class Growing(Dataset):
            def __init__(self, images, size):
                self.images = images
                self.size = size
            def set_size(self, size):
                self.size = size
            def crop(self, image):
                return image[:self.size]
            def __getitem__(self, index):
                return self.crop(self.images[index])
        # file: train.py
        from torch.utils.data import DataLoader
        from data import Growing

        def train_epoch(loader, model, epoch):
            loader.dataset.set_size(64 + epoch)  # <- DLC405
            for batch in loader:
                model(batch).backward()

        def main(images, model, workers=4):
            loader = DataLoader(Growing(images, 64), num_workers=workers, persistent_workers=workers > 0)
            for epoch in range(10):
                train_epoch(loader, model, epoch)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Counted(Dataset):
            def __init__(self, items):
                self.items = items
                self.broken = 0
            def __getitem__(self, index):
                item = self.items[index]
                if item is None:
                    self.broken += 1  # <- DLC405
                return item

        def main(items):
            dataset = Counted(items)
            for batch in DataLoader(dataset, num_workers=2):
                pass
            print("broken:", dataset.broken)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Logged(Dataset):
            def __init__(self, items):
                self.items = items
                self.seen = []
            def report(self):
                return sorted(self.seen)
            def __getitem__(self, index):
                self.seen.append(index)  # <- DLC405
                return self.items[index]

        def main(items):
            loader = DataLoader(Logged(items), num_workers=2)
            for batch in loader:
                pass
            return loader.dataset.report()
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader, Dataset

        class Frames(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.epoch = 0
                self.note = ""
            def __getitem__(self, index):
                return self.paths[index][self.epoch % 4]

        def restarted(paths, model):
            dataset = Frames(paths)
            loader = DataLoader(dataset, num_workers=4)
            for epoch in range(10):
                dataset.epoch = epoch
                for batch in loader:
                    model(batch).backward()

        def inline(paths, model):
            dataset = Frames(paths)
            loader = DataLoader(dataset, num_workers=0)
            for epoch in range(10):
                dataset.epoch = epoch
                for batch in loader:
                    model(batch).backward()

        def noted(paths, model):
            dataset = Frames(paths)
            dataset.epoch = 3
            loader = DataLoader(dataset, num_workers=4, persistent_workers=True)
            for epoch in range(10):
                dataset.note = str(epoch)
                for batch in loader:
                    model(batch).backward()
        """,
        """
        import multiprocessing as mp
        from torch.utils.data import DataLoader, Dataset

        class Shared(Dataset):
            def __init__(self, items):
                self.items = items
                self.epoch = mp.Value("i", 0)
                self.seen = mp.Manager().list()
            def set_epoch(self, epoch):
                self.epoch.value = epoch
            def __getitem__(self, index):
                self.seen.append(index)
                return self.items[index], self.epoch.value

        def main(items, model):
            dataset = Shared(items)
            loader = DataLoader(dataset, num_workers=4, persistent_workers=True)
            for epoch in range(10):
                dataset.set_epoch(epoch)
                for batch in loader:
                    model(batch).backward()
            print(dataset.seen)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Cached(Dataset):
            def __init__(self, items):
                self.items = items
                self.last = None
                self.file = None
            def __getitem__(self, index):
                if self.file is None:
                    self.file = open("x")
                self.last = index
                return self.items[index]

        def main(items):
            dataset = Cached(items)
            for batch in DataLoader(dataset, num_workers=2):
                pass
            print(len(dataset), dataset.file)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Sized(Dataset):
            def __init__(self, items):
                self.items = items
            def __getitem__(self, index):
                self.width = len(self.items[index])
                return self.items[index]

        def main(items, make_model):
            dataset = Sized(items)
            first = dataset[0]
            model = make_model(dataset.width)
            for batch in DataLoader(dataset, num_workers=2):
                model(batch)
        """,
    ),
)
