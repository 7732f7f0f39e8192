"""A loader's dataset or function holds something that cannot be pickled, so that workers start only where they are forked.

Where workers are not forked, the dataset, `collate_fn` and `worker_init_fn` are pickled for each of them. Lambdas, functions
and classes that are defined inside a function, locks, generators and modules cannot be: `AttributeError: Can't pickle local
object`, or `TypeError: cannot pickle '_thread.lock' object`. That is so on Windows and macOS, and on Linux from Python 3.14,
which no longer forks by default. Source: PyTorch documentation, *Platform-specific behaviors* of `torch.utils.data`; Python
documentation of `multiprocessing`, *Contexts and start methods*.

**Found:** such a thing in what `collate_fn`, `worker_init_fn` or the dataset is given, or in what the set-up of a dataset or
transform keeps on `self`, for a loader with workers.

**Left alone:** loaders without workers, or with `multiprocessing_context="fork"`; classes that say how they are pickled
(`__getstate__`, `__reduce__`); functions of a module, methods, and `functools.partial` of these; open files (DLC302).

**Versions:** all of torch 2.x. An error where the project does not fork (`set_start_method`, Python 3.14).
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.pickling import Unpicklable, unpicklable, unpicklable_in
from dlcheck.program.program import Program
from dlcheck.program.start_method import forks_by_choice, start_method
from dlcheck.program.values import Made


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if not loader.may_have_workers or forks_by_choice(loader):
            continue
        for found in _held(program, loader):
            method = start_method(program, loader)
            where = "" if method != "fork" else " on Windows and macOS, and on Linux from Python 3.14"
            yield Report(
                found.scope,
                found.at,
                f"{found.what} cannot be pickled, and this loader's workers are sent it{where}: they do not start. "
                "Use a function or class of a module",
                help="move it to module level; `functools.partial` binds what it needs",
                severity="error" if method != "fork" else None,
                also=((loader.scope, loader.at),),
            )


def _held(program: Program, loader: Loader) -> Iterator[Unpicklable]:
    for name in ("collate_fn", "worker_init_fn"):
        for expr, scope in loader.given(name):
            yield from unpicklable(program.evaluator, expr, scope)
    for dataset in loader.datasets:
        if isinstance(dataset, Made):
            yield from unpicklable_in(program.evaluator, dataset, loader.scope, loader.at)


RULE = Rule(
    code="DLC304",
    name="unpicklable-dataset",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
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
    ),
    clean=(
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
    ),
)
