"""A loader's dataset or function holds something that cannot be pickled, so that workers start only where they are forked.

Where workers are not forked, the dataset, `collate_fn` and `worker_init_fn` are pickled for each of them. Lambdas, functions
and classes that are defined inside a function, locks, generators and modules cannot be: `AttributeError: Can't pickle local
object`, or `TypeError: cannot pickle '_thread.lock' object`. That is so on Windows and macOS, and on Linux from Python 3.14,
which no longer forks by default. Source: PyTorch documentation, *Platform-specific behaviors* of `torch.utils.data`; Python
documentation of `multiprocessing`, *Contexts and start methods*.

**Found:** lambdas; functions and classes that are defined inside a function, or below the main guard, where workers do not
find them; locks, queues, threads, executors, sockets, clients, generators, modules: in what `collate_fn`, `worker_init_fn` or
the dataset is given, or in what the set-up of a dataset or transform keeps on `self`, for a loader with workers.

**Left alone:** loaders without workers; programs that say `multiprocessing_context="fork"` or `set_start_method("fork")`;
classes that say how they are pickled (`__getstate__`, `__reduce__`); functions of a module, methods, and `functools.partial`
of these; notebooks; open files (DLC302); threads and pools that items wait for (DLC308). Where the number of workers is an
option with a default of 0, the finding has low confidence.

**Versions:** all of torch 2.x. An error where the project does not fork (`set_start_method`, Python 3.14).
"""

from collections.abc import Iterator

from dlcheck.lint.name_lambda import name_lambda
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.in_workers import asks_for_workers
from dlcheck.program.loaders import Loader
from dlcheck.program.pairing import workers_over
from dlcheck.program.pickling import Unpicklable, unpicklable, unpicklable_in
from dlcheck.program.program import Program
from dlcheck.program.project import Module
from dlcheck.program.scope import Scope
from dlcheck.program.start_method import forks_by_choice, start_method
from dlcheck.program.values import Made, SelfOf


def check(program: Program) -> Iterator[Report]:
    names: dict[Module, set[str]] = {}
    seen: set[object] = set()
    loaders = [
        loader
        for loader in program.loaders
        if loader.may_have_workers and not forks_by_choice(program, loader)
    ]
    for loader in sorted(loaders, key=lambda loader: start_method(program, loader) == "fork"):
        forks = start_method(program, loader) == "fork"
        where = " on Windows and macOS, and on Linux from Python 3.14" if forks else ""
        for role, found in _held(program, loader):
            module = found.scope.module
            # One change cures all places of a file that are given the same thing.
            key = (module, found.thing or found.at)
            if module.is_notebook or key in seen:
                continue  # workers that are not forked find nothing that a notebook defines, named or not
            if asks_for_workers(found.scope.block_at(found.at)):
                continue  # ``if workers == 0: collate = lambda batch: batch``
            seen.add(key)
            fault, cure, help = _IN_WORDS[found.cure]
            function = (
                found.thing if isinstance(found.thing, Scope) and found.thing.kind == "lambda" else None
            )
            yield Report(
                found.scope,
                found.at,
                f"{found.what} {fault}{where}: they do not start. {cure}",
                help=help,
                severity=None if forks else "error",
                confidence="low" if loader.workers == "none by default" else None,
                also=((loader.scope, loader.at),),
                fix=name_lambda(function, role, names) if function is not None else None,
            )


# By what is to be done: what is wrong, what to write instead, and the same once more in short.
_IN_WORDS = {
    "module level": (
        "cannot be pickled, and this loader's workers are sent it",
        "Use a function or class of a module",
        "move it to module level; `functools.partial` binds what it needs",
    ),
    "above the guard": (
        "is not found by this loader's workers, which do not run what is below the guard",
        "Define it above the guard",
        "move the definition above the main guard",
    ),
    "open later": (
        "cannot be pickled, and this loader's workers are sent it",
        "Make it in the worker, where it is first used",
        "make it at the first item, or leave it out in `__getstate__`",
    ),
}


def _held(program: Program, loader: Loader) -> Iterator[tuple[str, Unpicklable]]:
    """What workers of a loader are sent and cannot be, each with a name for what it does."""
    for argument, role in (("collate_fn", "collate"), ("worker_init_fn", "init_worker")):
        for expr, scope in loader.given(argument):
            for found in unpicklable(program.evaluator, expr, scope):
                yield role, found
    for dataset in loader.datasets:
        if isinstance(dataset, Made | SelfOf) and workers_over(loader, _class_of(dataset)) != "none":
            for found in unpicklable_in(program.evaluator, dataset, loader.scope, loader.at):
                yield "transform_item", found


def _class_of(dataset: Made | SelfOf) -> tuple[Scope, ...]:
    cls = dataset.what if isinstance(dataset, Made) else dataset.scope
    return (cls,) if isinstance(cls, Scope) else ()


RULE = Rule(
    code="DLC304",
    name="unpicklable-dataset",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from transformers import Trainer, TrainingArguments

        def main(model, train_set, pad):
            args = TrainingArguments("out", dataloader_num_workers=4)
            Trainer(model, args, lambda items: pad(items), train_set).train()  # <- DLC304
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def main(dataset):
            return DataLoader(dataset, num_workers=4, collate_fn=lambda items: torch.stack(items))  # <- DLC304
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision import transforms
        from torchvision.datasets import ImageFolder

        transform = transforms.Compose([
            transforms.Lambda(lambda image: image.convert("RGB")),  # <- DLC304
            transforms.ToTensor(),
        ])
        train_loader = DataLoader(ImageFolder("train", transform=transform), num_workers=2)
        """,
        """
        # file: data.py
        import threading
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, path, clean):
                self.path = path
                self.clean = clean
                self.lock = threading.Lock()  # <- DLC304
            def __getitem__(self, index):
                with self.lock:
                    return self.clean(index)
        # file: train.py
        from torch.utils.data import DataLoader
        from data import Records

        def main(args):
            def clean(text):
                return text.strip()
            return DataLoader(Records(args.path, clean), num_workers=args.workers)  # <- DLC304
        """,
        """
        from functools import partial
        from torch.utils.data import DataLoader

        def collate(items, pad):
            return pad(items)

        def make_loader(dataset, length):
            def pad(items):
                return items[:length]
            return DataLoader(
                dataset,
                num_workers=8,
                collate_fn=partial(collate, pad=pad),  # <- DLC304
            )
        """,
        """
        import numpy as np
        from torch.utils.data import DataLoader

        def main(dataset, seed):
            def init(worker_id):
                np.random.seed(seed + worker_id)
            loader = DataLoader(dataset, num_workers=2, worker_init_fn=init)  # <- DLC304
        """,
        """
        from torch.utils.data import DataLoader, Dataset
        import threading

        class Base(Dataset):
            def __init__(self, paths, transform=None):
                self.paths = paths
                if transform is None:
                    transform = lambda x: x  # <- DLC304
                self.transform = transform
            def __getitem__(self, index):
                return self.transform(self.paths[index])

        class Words(Base):
            def __init__(self, paths, transform=None):
                super().__init__(paths, transform=transform)
                self.seen = threading.local()  # <- DLC304

        def main(paths):
            return DataLoader(Words(paths), num_workers=4)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Numbers(Dataset):
            def __getitem__(self, index):
                return index

        if __name__ == "__main__":
            def collate(items):
                return items
            loader = DataLoader(
                Numbers(),
                num_workers=2,
                collate_fn=collate,  # <- DLC304
            )
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def build(dataset, workers):
            collate = None
            if workers == 0:
                collate = lambda batch: batch
            return DataLoader(dataset, 4, num_workers=workers, collate_fn=collate)
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader, Dataset

        class Captions(Dataset):
            def __init__(self, paths, tokenize):
                self.paths, self.tokenize = paths, tokenize
            def __getitem__(self, i):
                return self.tokenize(self.paths[i])

        def make_loader(args, paths, tokenize):
            return DataLoader(Captions(paths, tokenize), num_workers=args.workers)
        # file: tests/test_data.py
        from types import SimpleNamespace
        from data import make_loader

        def test_loader():
            args = SimpleNamespace(workers=0)
            assert make_loader(args, [], lambda texts: texts) is not None
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def main(dataset):
            return DataLoader(dataset, num_workers=0, collate_fn=lambda items: torch.stack(items))
        """,
        """
        from functools import partial
        from torch.utils.data import DataLoader, Dataset

        def collate(items, pad):
            return items + [pad]

        class Records(Dataset):
            def __init__(self, names):
                self.names = sorted(names, key=lambda name: name.lower())
                self.lengths = list(map(lambda name: len(name), names))
            def __getitem__(self, index):
                return self.names[index]
            def collate(self, items):
                return items

        def main(names):
            first = DataLoader(Records(names), num_workers=2, collate_fn=partial(collate, pad=0))
            records = Records(names)
            return first, DataLoader(records, num_workers=2, collate_fn=records.collate)
        """,
        """
        import threading
        from torch.utils.data import DataLoader, Dataset

        class Cached(Dataset):
            def __init__(self):
                self.lock = threading.Lock()
            def __getstate__(self):
                return {}
            def __setstate__(self, state):
                self.lock = threading.Lock()
            def __getitem__(self, index):
                with self.lock:
                    return index

        loader = DataLoader(Cached(), num_workers=2)
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset):
            return DataLoader(dataset, num_workers=2, multiprocessing_context="fork", collate_fn=lambda x: x)
        """,
        """
        import h5py
        from torch.utils.data import DataLoader, Dataset

        class Volumes(Dataset):
            def __init__(self, path):
                self.file = h5py.File(path)
            def __getitem__(self, index):
                return self.file["x"][index]

        loader = DataLoader(Volumes("a.h5"), num_workers=2)
        """,
        """
        from collections import Counter
        from torch.utils.data import DataLoader, Dataset

        def shout(text):
            return text.upper()

        class Words(Dataset):
            def __init__(self, texts, transform=None, clean=None):
                self.counts = Counter(word for text in texts for word in text.split())
                self.lines = [line.strip() for line in texts]
                self.transform = transform or (lambda x: x)
                self.clean = clean if clean is not None else lambda x: x
            def __getitem__(self, index):
                return self.transform(self.lines[index])

        def main(texts):
            return DataLoader(Words(texts, shout, clean=shout), num_workers=4)
        """,
        """
        # file: train.py
        import multiprocessing as mp
        from loaders import make

        def main(dataset):
            make(dataset)

        if __name__ == "__main__":
            mp.set_start_method("fork")
            main([1, 2])
        # file: loaders.py
        import multiprocessing
        from torch.utils.data import DataLoader

        def make(dataset):
            context = multiprocessing.get_context("fork")
            first = DataLoader(dataset, num_workers=2, collate_fn=lambda x: x, multiprocessing_context=context)
            return first, DataLoader(dataset, num_workers=2, collate_fn=lambda x: x)
        """,
    ),
)
