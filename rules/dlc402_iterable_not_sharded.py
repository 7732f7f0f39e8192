"""An iterable dataset gives all of its samples in every worker.

Each worker runs its own copy of the `IterableDataset`. Unless the copy asks which worker it runs in, and goes over a part
of the samples, every sample comes as many times per epoch as there are workers, while the epoch looks that much longer.
Source: documentation of `torch.utils.data.IterableDataset`; Hugging Face datasets issue 3423; espnet issue 2081.

**Found:** an `__iter__` that goes over files, ranges, lists or tables, for which a loader with more than one worker is seen,
where neither it, nor what it calls, nor a `worker_init_fn` knows of workers or shards.

**Left alone:** endless streams, and samples that are drawn or made at random; sharding in a parent class, a helper, a wrapped
iterable or a `worker_init_fn`; loaders with at most one worker; sources that are not known (a queue, a given reader).
Classes of which no loader is seen are reported with low confidence, and so are those that divide among ranks, where it is not
known that the loader has workers.

**Cure:** in `__iter__`, take every `num_workers`-th sample (or file) from the `id` of `torch.utils.data.get_worker_info()`.
**Versions:** all.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.lint.share_out import share_out
from dlcheck.program.dividing import dividing_loader
from dlcheck.program.loaders import Loader
from dlcheck.program.paths import Path
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Scope
from dlcheck.program.streams import knows_rank, knows_worker, sources, stream_path
from dlcheck.program.values import External, Known, Ref

_GRADES: tuple[Confidence, ...] = ("low", "medium", "high")
_PLAIN_BASES = frozenset(
    {
        "torch.utils.data.IterableDataset",
        "torch.utils.data.dataset.IterableDataset",
        "torch.utils.data.Dataset",
    }
)
_PLAIN_PACKAGES = ("abc.", "typing.", "builtins.", "collections.abc.", "typing_extensions.")


@dataclass(frozen=True, eq=False)
class _Found:
    scope: Scope
    confidence: Confidence
    loader: Loader | None
    dataset: Dataset


def check(program: Program) -> Iterator[Report]:
    best: dict[Scope, _Found] = {}
    for dataset in program.datasets:
        found = _unsharded(program, dataset) if dataset.iterable else None
        if found is not None:
            before = best.get(found.scope)
            if before is None or _GRADES.index(found.confidence) > _GRADES.index(before.confidence):
                best[found.scope] = found
    for found in best.values():
        yield _report(found)


def _unsharded(program: Program, dataset: Dataset) -> _Found | None:
    method = dataset.evaluator.method(dataset.cls, "__iter__")
    if method is None or not _plain_class(dataset):
        return None
    loader = dividing_loader(program, dataset)
    if loader is None and dataset.loaders:
        return None
    path = stream_path(dataset)
    found = sources(dataset)
    family = {step.scope.owner for step in path.steps} | {
        v.scope for v in dataset.evaluator.lineage(dataset.cls) if isinstance(v, Ref)
    }
    kinds = {source.kind for source in found} - {"drawn"}
    if (
        not kinds
        or "endless" in kinds
        or "self" in kinds
        or knows_worker(path, (c for c in family if c is not None))
    ):
        return None
    if loader is None and kinds != {"whole"}:
        return None
    place = next((s.cls for s in found if s.kind == "whole"), dataset.cls)
    where = dataset.evaluator.method(place, "__iter__") or method
    return _Found(where, _confidence(loader, kinds, path), loader, dataset)


def _confidence(loader: Loader | None, kinds: AbstractSet[str], path: Path) -> Confidence:
    if loader is None or kinds != {"whole"}:
        return "low"
    if knows_rank(
        path
    ):  # a part for each rank is not one for each worker; unless somebody counts workers as ranks
        return "medium" if loader.workers == "some" else "low"
    return "high" if loader.workers == "some" else "medium"


def _plain_class(dataset: Dataset) -> bool:
    """Nothing of another package but ``IterableDataset`` is below it that might divide the samples itself."""
    bases = [v for v in dataset.evaluator.lineage(dataset.cls) if not isinstance(v, Ref)]
    return all(
        isinstance(v, External) and (v.name in _PLAIN_BASES or v.name.startswith(_PLAIN_PACKAGES))
        for v in bases
    )


def _report(found: _Found) -> Report:
    times = "once per worker"
    if found.loader is not None:
        counts = {
            v.value for v in found.loader.arg("num_workers") if isinstance(v, Known) and not v.by_default
        }
        if (
            found.loader.workers == "some"
            and len(counts) == 1
            and type(count := counts.pop()) is int
            and count > 1
        ):
            times = f"{count} times per epoch, once per worker"
    at = found.scope.at
    return Report(
        found.scope,
        (at[0], at[1], at[0], at[1] + len("def __iter__")),
        f"every worker goes over all of the samples, so each comes {times}: give each worker a part, by `get_worker_info()`",
        help="in `__iter__`: `info = get_worker_info()`, and then every `info.num_workers`-th sample or file from `info.id` "
        "(all of them where `info` is `None`)",
        confidence=found.confidence,
        also=((found.loader.scope, found.loader.at),) if found.loader is not None else (),
        fix=share_out(found.dataset, found.scope),
    )


RULE = Rule(
    code="DLC402",
    name="iterable-not-sharded",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Lines(IterableDataset):
            def __init__(self, path):
                self.path = path
            def __iter__(self):  # <- DLC402
                with open(self.path) as f:
                    for line in f:
                        yield line.split()

        loader = DataLoader(Lines("train.txt"), batch_size=32, num_workers=4)
        """,
        """
        # file: data.py
        import random
        from torch.utils.data import IterableDataset

        class Shards(IterableDataset):
            def __init__(self, files, shuffle):
                self.files = sorted(files)
                self.shuffle = shuffle
            def read(self, path):
                for line in open(path):
                    yield line
            def __iter__(self):  # <- DLC402
                files = list(self.files)
                if self.shuffle:
                    random.shuffle(files)
                for path in files:
                    yield from self.read(path)
        # file: train.py
        import argparse
        from torch.utils.data import DataLoader
        from data import Shards

        parser = argparse.ArgumentParser()
        parser.add_argument("--num-workers", type=int, default=8)
        args = parser.parse_args()
        loader = DataLoader(Shards(args.files, True), num_workers=args.num_workers)
        """,
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Numbers(IterableDataset):
            def __init__(self, start, end):
                self.start = start
                self.end = end
            def __iter__(self):  # <- DLC402
                return iter(range(self.start, self.end))

        def main(workers):
            return DataLoader(Numbers(0, 100), num_workers=2)
        """,
        """
        import random
        from itertools import chain
        import numpy as np
        from torch.utils.data import DataLoader, IterableDataset

        class Buffer(IterableDataset):
            def __init__(self, inner, size):
                self.inner = inner
                self.size = size
            def __iter__(self):
                buffer = []
                for sample in self.inner:
                    buffer.append(sample)
                    if len(buffer) == self.size:
                        yield buffer.pop(random.randrange(len(buffer)))
                yield from buffer

        class Rows(IterableDataset):
            def __init__(self, files):
                self.files = files
                print(len(self.files))
            def __iter__(self):  # <- DLC402
                return chain.from_iterable(map(self.rows, self.files))
            def rows(self, name):
                return iter(np.load(name))

        def seed_worker(worker_id):
            np.random.seed(worker_id)

        def main(files):
            data = Buffer(Rows(files), 1000)
            return DataLoader(data, batch_size=8, num_workers=4, worker_init_fn=seed_worker)
        """,
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Packed(IterableDataset):
            def __init__(self, files, encode, length):
                self.files, self.encode, self.length = files, encode, length

            def __iter__(self):  # <- DLC402
                waiting = []
                for name in self.files:
                    with open(name) as text:
                        for line in text:
                            waiting.extend(self.encode(line))
                            while len(waiting) >= self.length:
                                yield waiting[: self.length]
                                waiting = waiting[self.length :]

        def build(files, encode):
            return DataLoader(Packed(files, encode, 512), batch_size=8, num_workers=4)
        """,
        """
        import torch.distributed as dist
        from torch.utils.data import DataLoader, IterableDataset

        class Lines(IterableDataset):
            def __init__(self, files):
                self.files = files

            def __iter__(self):  # <- DLC402
                for name in self.files[dist.get_rank() :: dist.get_world_size()]:
                    with open(name) as f:
                        yield from f

        def build(files):
            return DataLoader(Lines(files), batch_size=8, num_workers=4)
        """,
    ),
    clean=(
        """
        import torch
        from torch.utils.data import DataLoader, IterableDataset

        class Noise(IterableDataset):
            def __init__(self, scales):
                self.scales = scales
            def __iter__(self):
                for scale in self.scales:
                    while True:
                        yield scale * torch.randn(8)

        def main(scales):
            return DataLoader(Noise(scales), batch_size=4, num_workers=4)
        """,
        """
        from itertools import islice
        from torch.utils.data import DataLoader, IterableDataset, get_worker_info

        class Lines(IterableDataset):
            def __init__(self, path):
                self.path = path
            def part(self, lines):
                info = get_worker_info()
                return lines if info is None else islice(lines, info.id, None, info.num_workers)
            def __iter__(self):
                with open(self.path) as f:
                    for line in self.part(f):
                        yield line.split()

        class Words(Lines):
            def __iter__(self):
                for line in super().__iter__():
                    yield from line

        loader = DataLoader(Words("train.txt"), batch_size=32, num_workers=4)
        """,
        """
        import random
        from torch.utils.data import DataLoader, IterableDataset

        class Endless(IterableDataset):
            def __init__(self, items):
                self.items = list(items)
            def __iter__(self):
                while True:
                    yield random.choice(self.items)

        class Drawn(IterableDataset):
            def __init__(self, items, size):
                self.items = list(items)
                self.size = size
            def __iter__(self):
                for _ in range(self.size):
                    yield self.items[random.randrange(len(self.items))]

        a = DataLoader(Endless([]), num_workers=4)
        b = DataLoader(Drawn([], 100), num_workers=4)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, IterableDataset

        class Numbers(IterableDataset):
            def __init__(self, start, end):
                self.start = start
                self.end = end
            def __iter__(self):
                return iter(range(self.start, self.end))

        def split(worker_id):
            info = torch.utils.data.get_worker_info()
            data = info.dataset
            size = (data.end - data.start) // info.num_workers
            data.start += worker_id * size
            data.end = data.start + size

        def main():
            return DataLoader(Numbers(0, 100), num_workers=2, worker_init_fn=split)
        """,
        """
        from torch.utils.data import DataLoader, IterableDataset

        class Lines(IterableDataset):
            def __init__(self, path):
                self.path = path
            def __iter__(self):
                yield from open(self.path)

        a = DataLoader(Lines("a"), batch_size=4)
        b = DataLoader(Lines("a"), num_workers=1)
        """,
    ),
)
