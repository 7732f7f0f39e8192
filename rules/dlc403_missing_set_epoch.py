"""A `DistributedSampler` shuffles every epoch the same way, or differently on each rank.

The sampler draws its permutation from `seed + epoch`, and it learns of the epoch by `set_epoch` alone: without that call every
epoch has the order of the first. All ranks must draw one and the same permutation, since each takes its part of it: with a seed
that differs from rank to rank, some samples are seen several times and others not at all. Source: documentation of
`DistributedSampler`; torch issue 31771.

**Found:** a shuffling `DistributedSampler` of a loader that is consumed in an epoch loop, where nothing calls `set_epoch`; a
`seed=` that is computed from the rank.

**Left alone:** samplers with `shuffle=False`, and those of evaluation loaders; frameworks that call it themselves (Lightning,
Accelerate, Hugging Face `Trainer`); a `set_epoch` in another file of the same folders on something that cannot be followed.

**Cure:** `sampler.set_epoch(epoch)` at the start of each epoch, before the loop over the loader starts; one seed for all ranks.
**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Call, Expr, Name, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.lint.tell_epoch import tell_epoch
from dlcheck.program.handed_on import SAMPLES_ANEW, is_handed_to
from dlcheck.program.items import argument
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.streams import class_of
from dlcheck.program.values import Known, Made, Unknown, Value, Values, only

_SAMPLERS = frozenset(
    {"torch.utils.data.DistributedSampler", "torch.utils.data.distributed.DistributedSampler"}
)
_RANKS = ("rank", "get_rank", "process_index")


def check(program: Program) -> Iterator[Report]:
    seen: set[int] = set()
    for loader in program.loaders:
        for sampler in _samplers(program, loader):
            if id(sampler.call) in seen:
                continue
            seen.add(id(sampler.call))
            seed = argument(sampler.call, 4, "seed")
            if seed is not None and _from_rank(seed, sampler.scope, 0):
                yield Report(
                    sampler.scope,
                    seed.at,
                    "the seed of this sampler differs from rank to rank, so each rank takes its part of another permutation: "
                    "some samples come several times, others never. Give all ranks one seed",
                    help="pass the same `seed` on all ranks",
                )
            yield from _without_epoch(program, loader, sampler)


def _without_epoch(program: Program, loader: Loader, sampler: Made) -> Iterator[Report]:
    shuffle = argument(sampler.call, 3, "shuffle")
    shuffles: Values = program.values(shuffle, sampler.scope) if shuffle is not None else ()
    if (shuffles and only(shuffles, False)) or program.role(loader) == "eval":
        return
    loops = {
        loop
        for use in program.uses_of[loader]
        if use.kind in ("for", "next", "comp")
        for loop in program.consumption.epoch_loops(use, loader)
    }
    if not loops or _by_framework(program, loader) or _told(program, loader, sampler):
        return
    sure = all(isinstance(v, Known) and v.value for v in shuffles) and program.is_repeated(loader)
    confidence: Confidence = "high" if sure else "medium"
    yield Report(
        sampler.scope,
        sampler.call.at,
        "nothing calls `set_epoch` on this sampler, so every epoch has the order of the first: call "
        "`sampler.set_epoch(epoch)` at the start of each epoch",
        help="call `sampler.set_epoch(epoch)` in the epoch loop, before the loop over the loader",
        confidence=confidence,
        also=((loader.scope, loader.at),),
        fix=tell_epoch(program, loader, sampler, loops),
    )


def _samplers(program: Program, loader: Loader) -> Iterator[Made]:
    """The distributed samplers that a loader may be given, itself or in a ``BatchSampler``."""
    waiting: list[Value] = [*loader.arg("sampler"), *loader.arg("batch_sampler")]
    for value in waiting[:20]:
        match value:
            case Made(what, call, scope, _, _) if isinstance(what, str):
                if what in _SAMPLERS:
                    yield value
                elif what == "torch.utils.data.BatchSampler" and call.args:
                    inner = program.values(call.args[0], scope)
                    yield from (v for v in inner if isinstance(v, Made) and v.what in _SAMPLERS)
            case Made(what, _, _, _, _) if isinstance(what, Scope) and what.kind == "class":
                own = program.evaluator.method(what, "__iter__") or program.evaluator.method(what, "__init__")
                if own is None and program.evaluator.is_a(what, _SAMPLERS):
                    yield value


def _by_framework(program: Program, loader: Loader) -> bool:
    """A framework drives the loader: it calls ``set_epoch`` itself."""
    if any(use.kind == "hook" for use in program.uses_of[loader]):
        return True
    return is_handed_to(
        program, loader, ("prepare", "prepare_data_loader", "setup_dataloaders", *SAMPLES_ANEW)
    )


def _told(program: Program, loader: Loader, sampler: Made) -> bool:
    """Something calls ``set_epoch`` on this sampler, or on a thing that cannot be followed but stands near it."""
    near = {
        loader.path,
        sampler.scope.module.path,
        *(use.scope.module.path for use in program.uses_of[loader]),
    }
    for site in program.evaluator.callers.named("set_epoch"):
        receiver = getattr(site.call.func, "base", None)
        if receiver is not None and _may_be_sampler(program, receiver, site.scope, loader, sampler):
            if any(_neighbours(site.scope.module.path, path) for path in near):
                return True
    for scope in program.scopes():
        for store in scope.stores:
            if store.attr == "epoch" and "sampler" in dotted(store.base).lower():
                if any(_neighbours(scope.module.path, path) for path in near):
                    return True
    return False


def _may_be_sampler(program: Program, receiver: Expr, scope: Scope, loader: Loader, sampler: Made) -> bool:
    values = program.values(receiver, scope)
    if any(isinstance(v, Made) and v.call is sampler.call for v in values):
        return True
    if loader in program.consumption.loaders_in(receiver, scope):
        return True
    others = [v for v in values if not isinstance(v, Unknown)]
    # Samplers and data sets that are known to be others do not help; a class of the project may hand the epoch on.
    known = [v for v in others if isinstance(v, Made) and isinstance(v.what, str) and v.what]
    if others and len(known) == len(values):
        return False
    classes = [cls for cls in map(class_of, values) if cls is not None]
    datasets = {cls for cls in classes if program.dataset_of(cls) is not None}
    return not (classes and len(datasets) == len(values))


def _neighbours(one: str, other: str) -> bool:
    """One of the two files stands in the folder of the other, or below it."""
    a, b = one.rpartition("/")[0], other.rpartition("/")[0]
    return a == b or a.startswith(b + "/" if b else "") or b.startswith(a + "/" if a else "")


def _from_rank(expr: Expr, scope: Scope, depth: int) -> bool:
    """The expression is computed from the number of the process."""
    for part in walk(expr):
        name = part.func if isinstance(part, Call) else part
        last = dotted(name).rpartition(".")[2].lower()
        if last in _RANKS or last.endswith("_rank"):
            return True
        if isinstance(part, Name) and depth < 4:
            bindings = scope.bindings.get(part.id, ())
            values = [b.value for b in bindings if b.kind in ("assign", "augment") and b.value is not None]
            if any(_from_rank(value, scope, depth + 1) for value in values if value is not expr):
                return True
    return False


RULE = Rule(
    code="DLC403",
    name="missing-set-epoch",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from torch.utils.data import DataLoader
        from torch.utils.data.distributed import DistributedSampler

        def main(dataset, model, args):
            if args.local_rank == -1:
                sampler = None
            else:
                sampler = DistributedSampler(dataset)  # <- DLC403
            loader = DataLoader(dataset, sampler=sampler, batch_size=32)
            for epoch in range(10):
                for batch in loader:
                    model(batch).backward()
        """,
        """
        # file: data.py
        import torch
        from torch.utils.data import DataLoader

        def make_loader(dataset, batch_size):
            sampler = torch.utils.data.distributed.DistributedSampler(dataset, shuffle=True)  # <- DLC403
            return DataLoader(dataset, batch_size=batch_size, sampler=sampler, num_workers=4)
        # file: train.py
        from data import make_loader

        def train_epoch(model, loader):
            for batch in loader:
                model(batch).backward()

        def main(model, dataset, args):
            loader = make_loader(dataset, args.batch_size)
            for epoch in range(args.epochs):
                train_epoch(model, loader)
        """,
        """
        import torch.distributed as dist
        from torch.utils.data import DataLoader, DistributedSampler

        def main(dataset, model, args):
            seed = args.seed + dist.get_rank()
            sampler = DistributedSampler(dataset, seed=seed)  # <- DLC403
            loader = DataLoader(dataset, sampler=sampler)
            for epoch in range(args.epochs):
                sampler.set_epoch(epoch)
                for batch in loader:
                    model(batch).backward()
        """,
        """
        from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

        class Trainer:
            def __init__(self, dataset, model):
                self.sampler = DistributedSampler(dataset)  # <- DLC403
                self.loader = DataLoader(dataset, batch_sampler=BatchSampler(self.sampler, 8, True))
                self.model = model
            def run_epoch(self):
                for batch in self.loader:
                    self.model(batch).backward()
            def train(self, epochs):
                for epoch in range(epochs):
                    self.run_epoch()
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader, DistributedSampler

        def train(model, loader, sampler, epoch):
            if sampler is not None:
                sampler.set_epoch(epoch)
            for batch in loader:
                model(batch).backward()

        def main(dataset, model, args):
            sampler = DistributedSampler(dataset, seed=args.seed)
            loader = DataLoader(dataset, sampler=sampler)
            for epoch in range(args.epochs):
                train(model, loader, sampler, epoch)
        """,
        """
        # file: runner.py
        class Runner:
            def __init__(self, loader, model):
                self.loader = loader
                self.model = model
            def run(self, epochs):
                for epoch in range(epochs):
                    self.loader.sampler.set_epoch(epoch)
                    for batch in self.loader:
                        self.model(batch).backward()
        # file: train.py
        from torch.utils.data import DataLoader, DistributedSampler
        from runner import Runner

        def main(dataset, model):
            loader = DataLoader(dataset, sampler=DistributedSampler(dataset))
            Runner(loader, model).run(10)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, DistributedSampler

        def main(dataset, valset, model):
            sampler = DistributedSampler(dataset, shuffle=False)
            loader = DataLoader(dataset, sampler=sampler)
            val_loader = DataLoader(valset, sampler=DistributedSampler(valset))
            for epoch in range(10):
                for batch in loader:
                    model(batch).backward()
                with torch.no_grad():
                    for batch in val_loader:
                        model(batch)
        """,
        """
        from accelerate import Accelerator
        from torch.utils.data import DataLoader, DistributedSampler

        def main(dataset, model, optimizer):
            accelerator = Accelerator()
            loader = DataLoader(dataset, sampler=DistributedSampler(dataset))
            model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
            for epoch in range(10):
                for batch in loader:
                    accelerator.backward(model(batch))
        """,
        """
        from torch.utils.data import DataLoader, DistributedSampler

        def main(dataset, model):
            loader = DataLoader(dataset, sampler=DistributedSampler(dataset))
            for batch in loader:
                model(batch).backward()
        """,
    ),
)
