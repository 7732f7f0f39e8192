"""The loop keeps batches beyond their step, and with them shared memory and file descriptors.

A tensor from a worker lives in shared memory, and holds a descriptor for as long as it lives. A list of all batches runs into
"too many open files" or a full `/dev/shm`; `list(loader)` reads and keeps a whole epoch, often only to count it.
Source: PyTorch documentation, *Multiprocessing package, file descriptor strategy*; torch issues 973 and 11201.

**Found:** `list(loader)`, `[batch for batch in loader]`; whole batches of a loader with workers that are appended to a list, or
stored in a dict, which lives on after the step.

**Left alone:** predictions and other new tensors; parts of a batch kept for a metric (low confidence); what was moved to a
device, turned into numbers, or copied first; lists that the loop empties, a `deque(maxlen=)`; `list(loader)` as a statement of
its own that lets a resumed `StatefulDataLoader` run out.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Comp, Do, Expr, Name, Seq, dotted
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Block
from dlcheck.program.uses import Use
from dlcheck.program.values import Group, Made, Table, Values, join

_SMALL = frozenset(
    {
        "builtins.range",
        "builtins.list",
        "torch.arange",
        "torch.tensor",
        "torch.randn",
        "torch.rand",
        "torch.ones",
    }
)


_PARTS = "parts of batches"
# What gives something else than the batches of what it is given, or not all of them.
_OTHER = frozenset({"map", "imap", "imap_unordered", "starmap", "filter", "islice", "takewhile"})
_TAKES_OUT = frozenset({"clear", "pop", "popleft"})


def check(program: Program) -> Iterator[Report]:
    for use in program.consumption.uses:
        if use.kind == "list" or (use.kind == "comp" and _lists_all(use)):
            yield from _listed(program, use)
        elif use.kind == "for" and any(loader.workers == "some" for loader in use.loaders):
            yield from _kept(program, use)


def _kept(program: Program, use: Use) -> Iterator[Report]:
    places = [(at, names) for at, names in _places(program, use) if names]
    whole = {name for _, names in places for name in names} == set(_bound(use))
    for at, _ in places[:1] if whole else places:
        kept = "whole batches" if whole else _PARTS
        yield Report(
            use.scope,
            at,
            f"{kept} are kept beyond their step: each one holds shared memory and open descriptors of "
            "the workers, until one of them runs out",
            help="keep what you need as numbers or copies (`.clone()`, `.tolist()`), or move it to its device first",
            confidence=None if whole else "low",
        )


def _lists_all(use: Use) -> bool:
    """``[batch for batch in loader]``."""
    loop = next((x for x in use.scope.loops if x.inner is use.inner), None)
    node = loop.node if loop is not None else None
    if not isinstance(node, Comp) or node.kind == "gen" or len(node.clauses) > 1 or node.clauses[0].tests:
        return False
    element, bound = node.elements[-1], _bound(use)
    parts = element.items if isinstance(element, Seq) else (element,)
    return bool(bound) and [part.id for part in parts if isinstance(part, Name)] == bound


def _listed(program: Program, use: Use) -> Iterator[Report]:
    counted = any(
        site.call.args
        and getattr(site.call.args[0], "at", None) == use.at
        and getattr(site.call.func, "id", "") == "len"
        for site in use.scope.calls
    )
    if use.loaders and all(_made_on_the_spot(loader) or _run_out(use, loader) for loader in use.loaders):
        return
    if any(isinstance(v, Made) and _computes(v) for v in _source(program, use)):
        return
    reads_all = "`list(loader)` loads a whole epoch and keeps every batch in memory"
    yield Report(
        use.scope,
        use.at,
        f"{reads_all}, only to count them" if counted else reads_all,
        help="`len(loader)` counts batches without loading" if counted else "iterate over the loader instead",
    )


def _source(program: Program, use: Use) -> Values:
    """What is listed: the argument of ``list``, or what a comprehension goes over."""
    listed = [use.source] if use.source is not None else []
    listed += [x.iterable for x in use.scope.loops if x.inner is use.inner and x.iterable is not None]
    return join(*(program.values(expr, use.scope) for expr in listed))


def _computes(value: Made) -> bool:
    func = value.call.func
    return (func.attr if isinstance(func, Attr) else getattr(func, "id", "")) in _OTHER


def _run_out(use: Use, loader: Loader) -> bool:
    """``list(loader)`` for nothing but its effect: a loader that was stopped at the end of an epoch is let run out."""
    alone = any(s.at == use.at and isinstance(s.statement, Do) for s in use.scope.calls)
    return alone and loader.name.endswith("StatefulDataLoader")


def _made_on_the_spot(loader: Loader) -> bool:
    """The data set is a list, a range or a tensor that stands there: it is as small as it looks."""
    values = loader.arg("dataset")
    return bool(values) and all(
        (isinstance(v, Group) and v.exact) or (isinstance(v, Made) and v.what in _SMALL) for v in values
    )


def _places(program: Program, use: Use) -> Iterator[tuple[At, set[str]]]:
    """Where the loop keeps something of a batch: ``kept.append(x)``, ``kept[i] = x``; with the names that it keeps."""
    for site in use.scope.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.attr == "append" and len(site.call.args) == 1:
            if _inside(use, site.block) and _lives_on(program, use, func.base):
                yield site.at, _of_batch(use, site.call.args[0])
    for store in use.scope.stores:
        if isinstance(store.index, Name) and store.element is None and _inside(use, store.block):
            if _is_dict(program, use, store.base) and _lives_on(program, use, store.base):
                yield store.at, _of_batch(use, store.value)


def _is_dict(program: Program, use: Use, expr: Expr) -> bool:
    """A dict, which keeps what is put into it; a tensor or an array copies it."""
    values = program.values(expr, use.scope)
    return bool(values) and all(isinstance(v, Table) for v in values)


def _inside(use: Use, block: Block | None) -> bool:
    return use.inner is not None and block is not None and use.inner in block.chain()


def _of_batch(use: Use, kept: Expr) -> set[str]:
    """The names of a batch in what is kept, while they are still the batch: not moved or copied under the same name."""
    bound = _bound(use)
    parts = kept.items if isinstance(kept, Seq) else (kept,)
    names = {part.id for part in parts if isinstance(part, Name)}
    changed = any(
        b.kind != "for" and _inside(use, b.block) for n in names for b in use.scope.bindings.get(n, ())
    )
    return names if names <= set(bound) and not changed else set()


def _lives_on(program: Program, use: Use, store: Expr) -> bool:
    """What batches are put into is neither emptied in the loop nor bounded."""
    if not isinstance(store, (Name, Attr)):
        return False
    if isinstance(store, Name) and any(_inside(use, b.block) for b in use.scope.bindings.get(store.id, ())):
        return False
    name = dotted(store)
    if any(
        isinstance(site.call.func, Attr)
        and site.call.func.attr in _TAKES_OUT
        and dotted(site.call.func.base) == name
        and _inside(use, site.block)
        for site in use.scope.calls
    ):
        return False
    return not any(
        isinstance(v, Made)
        and v.what == "collections.deque"
        and (len(v.call.args) > 1 or any(key == "maxlen" for key, _ in v.call.keywords))
        for v in program.values(store, use.scope)
    )


def _bound(use: Use) -> list[str]:
    """The names that a batch is bound to: one, or those of its parts."""
    target: Expr | None = use.target
    if use.skips_first and isinstance(target, Seq) and len(target.items) == 2:
        target = target.items[1]
    if isinstance(target, Seq) and all(isinstance(item, Name) for item in target.items):
        return [item.id for item in target.items if isinstance(item, Name)]
    return [target.id] if isinstance(target, Name) else []


RULE = Rule(
    code="DLC501",
    name="batches-kept",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("memory",),
    found=(
        """
        from torch.utils.data import DataLoader
        def main(ds, net):
            dl = DataLoader(ds, num_workers=2)
            seen = []
            for x, y in dl:
                net(x)
                seen.append((x, y))  # <- DLC501
            return seen
        """,
        """
        from torch.utils.data import DataLoader

        def evaluate(dataset, model):
            loader = DataLoader(dataset, batch_size=8)
            return sum(model(x) for x in loader) / len(list(loader))  # <- DLC501
        """,
        """
        from torch.utils.data import DataLoader

        def collect(dataset):
            loader = DataLoader(dataset, num_workers=4)
            everything = []
            for batch in loader:
                everything.append(batch)  # <- DLC501
            return everything
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader

        def loaders(a, b):
            train_loader = DataLoader(a, num_workers=2)
            return train_loader, DataLoader(b)
        # file: main.py
        from data import loaders

        def main(a, b):
            train_loader, test_loader = loaders(a, b)
            batches = list(train_loader)  # <- DLC501
            return batches
        """,
        """
        from torch.utils.data import DataLoader

        def collect(dataset, model):
            kept = []
            for i, batch in enumerate(DataLoader(dataset, num_workers=8)):
                if i % 10 == 0:
                    kept.append(batch)  # <- DLC501
            return kept
        """,
        """
        from torch.utils.data import DataLoader

        def load(dataset):
            loader = DataLoader(dataset, batch_size=256, num_workers=4)
            return [(x, y) for x, y in loader]  # <- DLC501
        """,
        """
        from torch.utils.data import DataLoader

        def load(dataset):
            images, labels = [], []
            for x, y in DataLoader(dataset, batch_size=256, num_workers=4):
                images.append(x)  # <- DLC501
                labels.append(y)
            return images, labels

        def by_number(dataset):
            kept = {}
            for i, batch in enumerate(DataLoader(dataset, batch_size=256, num_workers=4)):
                kept[i] = batch  # <- DLC501
            return kept
        """,
    ),
    clean=(
        """
        import numpy as np
        from torch.utils.data import DataLoader

        def features(dataset, count, size):
            bank, start = np.zeros((count, size)), 0
            for index, x in DataLoader(dataset, num_workers=4):
                bank[index] = x
            for x in DataLoader(dataset, num_workers=4):
                bank[start : start + len(x)] = x
                start += len(x)
            return bank

        def two_at_a_time(dataset, model):
            waiting = {}
            for i, x in enumerate(DataLoader(dataset, num_workers=4)):
                waiting[i % 2] = x
                waiting["last"] = x
                model(waiting)
        """,
        """
        from torch.utils.data import DataLoader

        def evaluate(dataset, model):
            outputs = []
            for x, y in DataLoader(dataset, num_workers=4):
                outputs.append(model(x))
            return outputs
        """,
        """
        from torch.utils.data import DataLoader

        def evaluate(dataset, device):
            kept = []
            for batch in DataLoader(dataset, num_workers=4):
                batch = batch.to(device)
                kept.append(batch)
            return kept
        """,
        """
        from collections import deque
        from torch.utils.data import DataLoader

        def pairs(dataset):
            for step in range(10):
                pending = []
                for batch in DataLoader(dataset, num_workers=4):
                    pending = []
                    pending.append(batch)

        def accumulate(dataset, model, steps):
            waiting, last = [], deque(maxlen=3)
            for batch in DataLoader(dataset, num_workers=4):
                last.append(batch)
                waiting.append(batch)
                if len(waiting) == steps:
                    model(waiting)
                    waiting.clear()
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from itertools import islice
        from torch.utils.data import DataLoader

        def score(model, loader):
            return sum(float(model(x)) for x in loader)

        def main(datasets, model, names):
            loaders = [DataLoader(d, num_workers=2) for d in datasets]
            named = list(zip(names, loaders))
            first = list(islice(loaders[0], 3)), [batch for batch in islice(loaders[1], 3)]
            with ThreadPoolExecutor() as pool:
                return named, first, list(pool.map(lambda loader: score(model, loader), loaders))

        def predict(model, dataset):
            loader = DataLoader(dataset, num_workers=2)
            return [model(x) for x in loader], [x.cuda() for x in loader], [x for x in loader if x.any()]
        """,
        """
        from torchdata.stateful_dataloader import StatefulDataLoader

        def resume(dataset, state, finished):
            loader = StatefulDataLoader(dataset, num_workers=2)
            loader.load_state_dict(state)
            if finished:
                list(loader)
            return loader
        """,
        """
        from torch.utils.data import DataLoader

        def count(dataset):
            loader = DataLoader(dataset, num_workers=4)
            return len(loader), list(range(3))
        """,
    ),
)
