"""The loop keeps batches beyond their step, and with them shared memory and file descriptors.

A tensor from a worker lives in shared memory, and holds a descriptor for as long as it lives. A list of all batches runs into
"too many open files" or a full `/dev/shm`; `list(loader)` reads and keeps a whole epoch, often only to count it.
Source: PyTorch documentation, *Multiprocessing package, file descriptor strategy*; torch issues 973 and 11201.

**Found:** `list(loader)`; whole batches of a loader with workers appended to a list that lives on after the step.

**Left alone:** predictions and other new tensors; parts of a batch kept for a metric (low confidence); what was moved to a
device, turned into numbers, or copied first; `list(loader)` as a statement of its own that lets a resumed
`StatefulDataLoader` run out.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Do, Expr, Name, Seq
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import CallSite
from dlcheck.program.uses import Use
from dlcheck.program.values import Group, Made

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


def check(program: Program) -> Iterator[Report]:
    for use in program.consumption.uses:
        if use.kind == "list":
            yield from _listed(program, use)
        elif use.kind == "for" and any(loader.workers == "some" for loader in use.loaders):
            for site in use.scope.calls:
                kept = _keeps_batch(use, site)
                if kept:
                    yield Report(
                        use.scope,
                        site.at,
                        f"{kept} are kept beyond their step: each one holds shared memory and open descriptors of "
                        "the workers, until one of them runs out",
                        help="keep what you need as numbers or copies (`.clone()`, `.tolist()`), or move it to its device first",
                        confidence="low" if kept == _PARTS else None,
                    )


def _listed(program: Program, use: Use) -> Iterator[Report]:
    counted = any(
        site.call.args
        and getattr(site.call.args[0], "at", None) == use.at
        and getattr(site.call.func, "id", "") == "len"
        for site in use.scope.calls
    )
    if use.loaders and all(_made_on_the_spot(loader) or _run_out(use, loader) for loader in use.loaders):
        return
    reads_all = "`list(loader)` loads a whole epoch and keeps every batch in memory"
    yield Report(
        use.scope,
        use.at,
        f"{reads_all}, only to count them" if counted else reads_all,
        help="`len(loader)` counts batches without loading" if counted else "iterate over the loader instead",
    )


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


def _keeps_batch(use: Use, site: CallSite) -> str:
    """What a call keeps: whole batches, parts of them, or nothing ("")."""
    func = site.call.func
    if not isinstance(func, Attr) or func.attr != "append" or len(site.call.args) != 1 or use.inner is None:
        return ""
    if site.block is None or use.inner not in site.block.chain() or not isinstance(func.base, (Name, Attr)):
        return ""
    kept, bound = site.call.args[0], _bound(use)
    names = [part.id for part in (kept.items if isinstance(kept, Seq) else (kept,)) if isinstance(part, Name)]
    if not names or not set(names) <= set(bound):
        return ""
    # The name must still be the batch: not moved or copied under the same name before.
    changed = [
        b
        for name in names
        for b in use.scope.bindings.get(name, ())
        if b.kind != "for" and b.block is not None and use.inner in b.block.chain()
    ]
    emptied = isinstance(func.base, Name) and any(
        b.block is not None and use.inner in b.block.chain() for b in use.scope.bindings.get(func.base.id, ())
    )
    if changed or emptied:
        return ""
    return "whole batches" if len(set(names)) == len(bound) else _PARTS


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
    ),
    clean=(
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
        from torch.utils.data import DataLoader

        def pairs(dataset):
            for step in range(10):
                pending = []
                for batch in DataLoader(dataset, num_workers=4):
                    pending = []
                    pending.append(batch)
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
