"""Every worker, or every epoch, or every item draws the same random numbers.

Workers are copies of the main process: a generator that was made at set-up has the same state in each of them, so that all
workers draw the same numbers, and with new workers in each epoch all epochs do too. The global generators of `random`,
`numpy` and `torch` are free of this: since torch 1.9 each worker gets a seed of its own, different in each epoch. Seeding
them again with a constant, or with the worker's number alone, undoes that. Source: `torch/utils/data/_utils/worker.py`; torch
issue 5059; albumentations issues 2473 and 2559.

**Found:** a generator made in the set-up of a dataset, transform or collator, or at module level, and drawn from in the item
path; a `worker_init_fn` that seeds with a constant; one, or an item, that seeds with the worker's number and no more, while
workers do not persist; items that seed with the same value each time, be it the worker's own seed; the `__iter__` of an iterable
dataset that draws its samples from a constant or a setting as seed, in several workers; `torch.manual_seed` with a constant or
a setting in the epoch loop of a shuffled loader.

**Left alone:** the global generators; generators made or seeded in the worker from a seed of its own; seeds that depend on the
index or the epoch, or may be `None`; evaluation sets, which are meant to be constant; loaders without workers.

**Cure:** draw from the global generators, or make the generator in the worker from `torch.initial_seed()`. A
`worker_init_fn` that only seeds can be deleted. **Versions:** torch 1.9 and later.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At
from dlcheck.lint.fix import Fix
from dlcheck.lint.own_generator import own_generator, own_seed
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.dividing import dividing_loader
from dlcheck.program.in_workers import collators
from dlcheck.program.items import short
from dlcheck.program.kept import draws, kept_from_setup, maker, used_in_worker_init
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Dataset, Program
from dlcheck.program.random_state import (
    GENERATORS,
    fresh_generators,
    is_conditional,
    is_worker_seed,
    new_generators,
    restores_state,
    same_each_turn,
    seed_sources,
    seeding,
    worker_parameter,
)
from dlcheck.program.reseeding import asks_for_worker, reseeded
from dlcheck.program.scope import Scope
from dlcheck.program.streams import knows_worker, sources, stream_path
from dlcheck.program.values import Absent, Known, may_be, only


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if _drawn_in_workers(program, dataset):
            yield from _generators(program, dataset)
        if not _for_evaluation(program, dataset):
            yield from _seeds_of_items(program, dataset)
            yield from _seeds_of_streams(program, dataset)
            yield from _workers_seeded_by_items(program, dataset)
    for collator in collators(program):
        if _drawn_in_workers(program, collator):
            yield from _generators(program, collator)
    for loader in program.loaders:
        yield from _worker_seeds(program, loader)
        yield from _epoch_seeds(program, loader)


def _for_evaluation(program: Program, dataset: Dataset) -> bool:
    return bool(dataset.loaders) and all(program.role(loader) == "eval" for loader in dataset.loaders)


def _drawn_in_workers(program: Program, dataset: Dataset) -> bool:
    """Loaders that may have workers use it for something else than evaluation; or the project makes no loader of it."""
    if not dataset.loaders:
        return dataset.workers != "none"
    return any(loader.may_have_workers and program.role(loader) != "eval" for loader in dataset.loaders)


# -- generators ---------------------------------------------------------------------------------------------------------


def _generators(program: Program, dataset: Dataset) -> Iterator[Report]:
    if asks_for_worker(dataset.item_path):
        return
    for kept in kept_from_setup(dataset):
        made = [name for name, _ in maker(kept.values) if name in GENERATORS]
        if not made or kept.remade or reseeded(program, kept, dataset) or used_in_worker_init(program, kept):
            continue
        drawn = draws(kept)
        if drawn:
            fix = own_generator(kept)
            yield _same_numbers(f"self.{kept.attr}", made[0], kept.scope, kept.at, drawn[0], fix)
    if not any(loader.is_given("worker_init_fn") for loader in dataset.loaders):
        yield from _global_generators(program, dataset)


def _same_numbers(
    name: str, made: str, scope: Scope, at: At, draw: tuple[Scope, At], fix: Fix | None = None
) -> Report:
    return Report(
        scope,
        at,
        f"every worker gets a copy of `{name}` in one and the same state, so all workers draw the same random numbers: "
        "draw from the global generators, or make this one in the worker",
        help=f"make the generator at the first item of each worker, from `torch.initial_seed()` (`{short(made)}(...)`), or use "
        "the global `random`, `np.random` or `torch` functions, which are seeded for each worker",
        also=(draw,),
        fix=fix,
    )


def _global_generators(program: Program, dataset: Dataset) -> Iterator[Report]:
    for step in dataset.item_path.steps:
        module = step.scope.module.scope
        for name, _ in step.scope.names:
            for binding in module.bindings.get(name.id, ()) if step.scope.is_global(name.id) else ():
                if binding.kind == "assign" and binding.value is not None:
                    made = [n for n, _ in maker(program.values(binding.value, module)) if n in GENERATORS]
                    if made:
                        yield _same_numbers(name.id, made[0], module, binding.value.at, (step.scope, name.at))


# -- seeds --------------------------------------------------------------------------------------------------------------


def _seeds_of_items(program: Program, dataset: Dataset) -> Iterator[Report]:
    """Items of a map-style dataset that seed with the same value each time, with no condition."""
    path = dataset.item_path
    if path.kind != "item":
        return
    for step in path.steps:
        if step.lazy or restores_state(step.scope):
            continue
        for call, name, seed in (
            *seeding(step.scope, program.evaluator),
            *new_generators(step.scope, program.evaluator),
        ):
            of_worker = is_worker_seed(seed, step.scope, program.evaluator)
            block = step.scope.block_at(call.at)
            if path.varies(seed, step) or is_conditional(block, but_for="worker" if of_worker else ""):
                continue
            if of_worker:
                yield Report(
                    step.scope,
                    call.at,
                    f"`{short(name)}` starts again from the worker's seed for every item, so every item of a worker draws "
                    "the same random numbers: seed nothing here",
                    help="delete it: torch seeds `random`, `numpy` and itself in each worker, once",
                )
            elif seed_sources(seed, step.scope, program.evaluator) <= {"constant", "setting"}:
                yield Report(
                    step.scope,
                    call.at,
                    f"`{short(name)}` is called for every item with the same seed, so every item draws the same random numbers: "
                    "seed nothing here, or mix in the index",
                    help="delete it (workers are seeded already), or seed with `seed + index` where items must be reproducible",
                )


def _seeds_of_streams(program: Program, dataset: Dataset) -> Iterator[Report]:
    """An iterable dataset that makes up its samples from one seed, in each of its workers.

    One that goes over samples that there are is the matter of DLC402.
    """
    made_up = dataset.iterable and {source.kind for source in sources(dataset)} <= {"drawn", "endless"}
    loader = dividing_loader(program, dataset) if made_up else None
    if loader is None:
        return
    path = stream_path(dataset)
    if knows_worker(path, {step.scope.owner for step in path.steps if step.scope.owner is not None}):
        return
    evaluator = program.evaluator
    for step in path.steps:
        if restores_state(step.scope):
            continue
        for call, name, seed in (*seeding(step.scope, evaluator), *fresh_generators(step.scope, evaluator)):
            fixed = seed_sources(seed, step.scope, evaluator) <= {"constant", "setting"}
            by_system = may_be(evaluator.values(seed, step.scope), None)
            if fixed and not by_system and not is_conditional(step.scope.block_at(call.at)):
                yield Report(
                    step.scope,
                    call.at,
                    f"`{short(name)}` seeds this stream alike in every worker, so all workers yield the same samples: seed with "
                    "`torch.initial_seed()`",
                    help="in a worker, `torch.initial_seed()` is a seed of its own, another one in each epoch, which follows "
                    "from `torch.manual_seed` in the main process",
                    confidence="high" if loader.workers == "some" else "medium",
                    also=((loader.scope, loader.at),),
                    fix=own_seed(evaluator, step.scope, name, seed),
                )


def _workers_seeded_by_items(program: Program, dataset: Dataset) -> Iterator[Report]:
    """Items, the first of each worker say, that seed with the worker's number alone."""
    for step in dataset.item_path.steps:
        if restores_state(step.scope):
            continue
        for call, name, seed in seeding(step.scope, program.evaluator):
            sources = seed_sources(seed, step.scope, program.evaluator)
            if "worker" not in sources or "other" in sources or dataset.item_path.varies(seed, step):
                continue
            fix = own_seed(program.evaluator, step.scope, name, seed)
            for loader in dataset.loaders:
                if loader.may_have_workers and program.role(loader) != "eval":
                    yield from _same_each_epoch(program, loader, step.scope, call.at, short(name), fix)


def _worker_seeds(program: Program, loader: Loader) -> Iterator[Report]:
    """A ``worker_init_fn`` that gives all workers one seed, or each worker the same one in every epoch."""
    if not loader.may_have_workers or program.role(loader) == "eval":
        return
    if any(getattr(v, "name", "") == "numpy.random.seed" for v in loader.arg("worker_init_fn")):
        yield from _same_each_epoch(
            program, loader, loader.scope, loader.given("worker_init_fn")[0][0].at, "np.random.seed"
        )
    for function in program.functions_given(loader, "worker_init_fn"):
        worker = worker_parameter(function)
        for call, name, seed in seeding(function, program.evaluator):
            sources = seed_sources(seed, function, program.evaluator, worker)
            if sources <= {"constant", "setting"}:
                yield Report(
                    function,
                    call.at,
                    f"`{short(name)}` gives all workers the same seed, so they draw the same random numbers, and again in every "
                    "epoch: delete it, or use `torch.initial_seed() % 2**32`",
                    help="delete the seeding: torch seeds `random`, `numpy` and itself differently in each worker and epoch",
                    also=((loader.scope, loader.at),),
                    fix=own_seed(program.evaluator, function, name, seed),
                )
            elif "other" not in sources:
                fix = own_seed(program.evaluator, function, name, seed)
                plain = "setting" not in sources
                yield from _same_each_epoch(program, loader, function, call.at, short(name), fix, plain=plain)


def _same_each_epoch(
    program: Program,
    loader: Loader,
    scope: Scope,
    at: At,
    name: str,
    fix: Fix | None = None,
    *,
    plain: bool = True,
) -> Iterator[Report]:
    """Seeded with the worker's number: workers that are started again draw what they drew before."""
    persistent = loader.arg("persistent_workers")
    if not all(isinstance(v, Absent) or (isinstance(v, Known) and not v.value) for v in persistent):
        return
    uses = program.uses_of[loader]
    # Of a loader that is handed out, the loop is not seen: few train for one epoch.
    repeated = (plain and not uses) or program.is_repeated(loader) or any(use.kind == "hook" for use in uses)
    yield Report(
        scope,
        at,
        f"`{name}` seeds each worker with its number, and workers are started again in every epoch: each epoch repeats the same "
        "random numbers. Delete it, or use `torch.initial_seed() % 2**32`",
        help="delete the seeding: torch seeds `random`, `numpy` and itself differently in each worker and epoch",
        confidence=None if repeated and loader.workers == "some" else "low",
        also=((loader.scope, loader.at),),
        fix=fix,
    )


def _epoch_seeds(program: Program, loader: Loader) -> Iterator[Report]:
    """``torch.manual_seed(0)`` in the epoch loop: the sampler shuffles by it, the same way each time."""
    if not may_be(loader.arg("shuffle"), True) or any(
        not only(loader.arg(name), None) and not all(isinstance(v, Absent) for v in loader.arg(name))
        for name in ("sampler", "batch_sampler", "generator")
    ):
        return
    for use in program.uses_of[loader]:
        loops = program.consumption.epoch_loops(use, loader, sure=True) if use.kind == "for" else frozenset()
        for call, name, seed in seeding(use.scope, program.evaluator):
            block = use.scope.block_at(call.at)
            around = [b for b in block.chain() if b.kind in ("for", "while")] if block is not None else []
            # In an outer loop (over runs, or over settings) the same seed is meant.
            if not around or is_conditional(block.parent if block else None) or not loops <= {around[0]}:
                continue
            if (
                around[0] in loops
                and name.startswith("torch.")
                and same_each_turn(seed, use.scope, program.evaluator, around[0])
            ):
                yield Report(
                    use.scope,
                    call.at,
                    f"`{short(name)}` with the same seed in each turn of the epoch loop makes every epoch shuffle the same way: "
                    "seed once before the loop",
                    also=((loader.scope, loader.at),),
                )


RULE = Rule(
    code="DLC401",
    name="duplicated-worker-rng",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import numpy as np, random, torch
        from torch.utils.data import DataLoader
        def seed_worker(worker_id):
            np.random.seed(worker_id)  # <- DLC401
        def main(ds): return DataLoader(ds, num_workers=4, worker_init_fn=seed_worker)
        """,
        """
        import numpy as np
        from torch.utils.data import DataLoader, Dataset

        class Crops(Dataset):
            def __init__(self, signals):
                self.signals = signals
                self.rng = np.random.default_rng()  # <- DLC401
            def __getitem__(self, index):
                rng = self.rng
                signal = self.signals[index]
                start = rng.integers(0, len(signal) - 100)
                return signal[start:start + 100]

        train_loader = DataLoader(Crops([]), num_workers=4, shuffle=True)
        """,
        """
        # file: transforms.py
        import random

        class Flip:
            def __init__(self, p, seed=None):
                self.p = p
                self.random = random.Random(seed)  # <- DLC401
            def __call__(self, image):
                if self.random.random() < self.p:
                    return image[::-1]
                return image
        # file: data.py
        from torch.utils.data import Dataset
        from transforms import Flip

        class Images(Dataset):
            def __init__(self, images):
                self.images = images
                self.transform = Flip(0.5)
            def __getitem__(self, index):
                return self.transform(self.images[index])
        """,
        """
        import numpy as np
        import random
        from torch.utils.data import DataLoader

        SEED = 42

        def seed_worker(worker_id):
            np.random.seed(SEED)  # <- DLC401
            random.seed(SEED)  # <- DLC401

        def main(dataset, args):
            return DataLoader(dataset, num_workers=args.workers, worker_init_fn=seed_worker)
        """,
    ),
    clean=(
        """
        import numpy as np
        import random
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Crops(Dataset):
            def __init__(self, signals):
                order = random.Random(12345)
                self.signals = order.sample(signals, len(signals))
            def __getitem__(self, index):
                start = np.random.randint(10)
                return self.signals[index][start:]

        def seed_worker(worker_id):
            seed = torch.initial_seed() % 2**32
            np.random.seed(seed)
            random.seed(seed)

        loader = DataLoader(Crops([]), num_workers=4, worker_init_fn=seed_worker)
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Lazy(Dataset):
            def __init__(self, items):
                self.items = items
                self.rng = None
            def __getitem__(self, index):
                if self.rng is None:
                    self.rng = np.random.default_rng(torch.initial_seed())
                fixed = np.random.default_rng(index)
                return self.items[index] + self.rng.random() + fixed.random()
        """,
        """
        import numpy as np
        from torch.utils.data import DataLoader, Dataset

        class Noise(Dataset):
            def __init__(self, items, seed):
                self.items = items
                self.rng = np.random.RandomState(seed)
            def __getitem__(self, index):
                return self.items[index] + self.rng.rand()

        def main(items, model):
            val_loader = DataLoader(Noise(items, 0), num_workers=4)
            train_loader = DataLoader(Noise(items, 0), num_workers=0)
        """,
        """
        import numpy as np
        import random
        import torch
        from torch.utils.data import DataLoader, Dataset, get_worker_info

        class Noise(Dataset):
            def __init__(self, items):
                self.items = items
                self.rng = np.random.RandomState(0)
            def __getitem__(self, index):
                return self.items[index] + self.rng.rand()

        def init(worker_id):
            info = get_worker_info()
            info.dataset.rng = np.random.RandomState(info.seed % 2**32)

        def main(items):
            torch.manual_seed(0)
            return DataLoader(Noise(items), num_workers=4, worker_init_fn=init)
        """,
    ),
)
