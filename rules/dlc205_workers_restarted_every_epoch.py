"""The workers of a training loader are stopped and started again in every epoch.

Without `persistent_workers=True` each `for batch in loader` starts new workers: a fork (or, from Python 3.14 on Linux and
always on macOS and Windows, an import of torch and a copy of the whole dataset per worker), an empty prefetch queue, and
everything that a worker cached is lost. Source: documentation of `DataLoader(persistent_workers=)`; torch issue 15849.

**Found:** a training loader whose worker count is known to be above 0, consumed in an epoch loop that is seen, with
`persistent_workers` left out or `False`.

**Left alone:** programs that change the dataset or a part of it between epochs (persistent workers would never see the
change), or that may: by a method of a class that is not seen, whose result nobody takes. Endless samplers; loaders that are
built anew anyway, or of which only the first batch is drawn, again and again (DLC207). Evaluation loaders (workers of theirs that
stay double the memory), epochs of a framework, and counts that are not known are reported with low confidence.

**Cure:** `persistent_workers=True`; where the count may be 0, `persistent_workers=num_workers > 0` (0 workers with `True` is an
error). **Versions:** torch 1.7 and later.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Call, Const, dotted
from dlcheck.lint.finding import Confidence
from dlcheck.lint.fix import Fix, SetArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.between_epochs import changed_between_epochs
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.samplers import is_endless
from dlcheck.program.start_method import start_method
from dlcheck.program.values import Absent, Known


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        persistent = loader.arg("persistent_workers")
        if not all(isinstance(v, Absent) or (isinstance(v, Known) and not v.value) for v in persistent):
            continue
        if loader.workers not in ("some", "unknown") or not program.uses_of[loader]:
            continue
        confidence = _confidence(program, loader)
        if confidence is None or is_endless(loader) or changed_between_epochs(program, loader):
            continue
        counts = loader.arg("num_workers")
        certain = all(isinstance(v, Known) and v.value and not v.by_default for v in counts)
        value = "True" if certain else "num_workers > 0"
        forks = start_method(program, loader) == "fork"
        cost = (
            "each time with an empty queue" if forks else "and import torch and receive the dataset each time"
        )
        yield Report(
            loader.scope,
            loader.at,
            f"the workers of this loader are started again in every epoch, {cost}: "
            f"pass `persistent_workers={value}`",
            help=f"pass `persistent_workers={value}`: the workers, and what they cache, live on between epochs",
            severity=None if forks else "warning",
            confidence=confidence,
            fix=_fix(loader),
        )


def _fix(loader: Loader) -> Fix | None:
    """Not safe: workers that live on keep their random state, so that the numbers drawn change."""
    counts = loader.given("num_workers")
    if not loader.settable("persistent_workers") or len(counts) != 1:
        return None
    count = counts[0][0]
    literal = isinstance(count, Const)
    if not literal and not (dotted(count) and counts[0][1] is loader.scope):
        return None
    if literal and not any(key == "num_workers" for key, _ in loader.call.keywords):
        return None
    value = "True" if literal else f"{dotted(count)} > 0"
    edit = SetArgument(loader.at, "persistent_workers", value)
    return Fix(f"pass `persistent_workers={value}`", (edit,), safe=False)


def _confidence(program: Program, loader: Loader) -> Confidence | None:
    repeated = program.is_repeated(loader) and not _only_peeks(program, loader)
    hooked = any(use.kind == "hook" for use in program.uses_of[loader])
    if not repeated:
        return "low" if hooked else None
    if loader.workers != "some" or loader.left_open("persistent_workers"):
        return "low"
    return "high" if program.role(loader) == "train" else "low"


def _only_peeks(program: Program, loader: Loader) -> bool:
    """All that is taken in loops is the first batch, by ``next(iter(loader))``: DLC207."""
    repeated = [use for use in program.uses_of[loader] if program.consumption.epoch_loops(use, loader)]
    return bool(repeated) and all(use.kind == "next" and isinstance(use.source, Call) for use in repeated)


RULE = Rule(
    code="DLC205",
    name="workers-restarted-every-epoch",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("startup",),
    found=(
        """
        from torch.utils.data import DataLoader

        class Ahead:
            def __init__(self, loader):
                self.loader = loader
                self.restart()
            def restart(self):
                self.batches = iter(self.loader)
            def next(self):
                return next(self.batches, None)

        def main(dataset, model):
            ahead = Ahead(DataLoader(dataset, num_workers=4))  # <- DLC205
            for epoch in range(100):
                ahead.restart()
                batch = ahead.next()
                while batch is not None:
                    model(batch).backward()
                    batch = ahead.next()
        """,
        """
        from torch.utils.data import DataLoader

        def main(model, data, optimizer):
            train_loader = DataLoader(data, batch_size=8, num_workers=4)  # <- DLC205
            for epoch in range(20):
                iterator = iter(train_loader)
                for step in range(len(train_loader)):
                    model(next(iterator)).backward()
                    optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Scenes(Dataset):
            def __getitem__(self, index):
                return index
            def colours(self, target):
                target[target == 255] = 19
                return self.table[target]

        def main(model, optimizer, show, limit):
            dataset, steps = Scenes(), 0
            loader = DataLoader(dataset, batch_size=32, shuffle=True, num_workers=4)  # <- DLC205
            while True:
                for x, y in loader:
                    model(x).backward()
                    optimizer.step()
                    show(dataset.colours(y))
                    steps += 1
                    if steps >= limit:
                        return
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model, optimizer):
            loader = DataLoader(dataset, batch_size=32, shuffle=True, num_workers=4)  # <- DLC205
            for epoch in range(100):
                for x, y in loader:
                    model(x).backward()
                    optimizer.step()
        """,
        """
        import argparse
        from torch.utils.data import DataLoader

        parser = argparse.ArgumentParser()
        parser.add_argument("--workers", default=8, type=int)
        parser.add_argument("--epochs", default=90, type=int)
        args = parser.parse_args()

        def train(loader, model):
            for x, y in loader:
                model(x).backward()

        def main(dataset, model):
            train_loader = DataLoader(dataset, num_workers=args.workers)  # <- DLC205
            for epoch in range(args.epochs):
                train(train_loader, model)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def main(dataset, model, optimizer):
            kwargs = {"num_workers": 1, "pin_memory": True} if torch.cuda.is_available() else {}
            train_loader = DataLoader(dataset, batch_size=8, **kwargs)  # <- DLC205
            for epoch in range(10):
                for x in train_loader:
                    model(x).backward()
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def validate(model, loader):
            for x in loader:
                model(x)

        def main(train_set, val_set, model):
            train_loader = DataLoader(train_set, num_workers=4, persistent_workers=True)
            val_loader = DataLoader(val_set, num_workers=4)
            validate(model, val_loader)
            for epoch in range(10):
                for step, x in enumerate(train_loader):
                    model(x).backward()
                    if step % 100 == 0:
                        validate(model, val_loader)
        """,
        """
        from torch.utils.data import DataLoader

        def validate(model, val_loader):
            for x in val_loader:
                model(x)

        def main(train, val, model):
            train_loader = DataLoader(train, num_workers=4, persistent_workers=True)
            val_loader = DataLoader(val, num_workers=4)
            for epoch in range(10):
                for step, x in enumerate(train_loader):
                    model(x).backward()
                    if step % 100 == 0:
                        validate(model, val_loader)
        """,
        """
        from torch.utils.data import DataLoader

        def main(data, model, optimizer, steps):
            loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=4)
            for step in range(steps):
                model(next(iter(loader))).backward()
                optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader

        class TellEpoch:
            def __init__(self, dataset):
                self.dataset = dataset
            def before_epoch(self, epoch):
                self.dataset.set_epoch(epoch)

        def train(data, model):
            hooks = [TellEpoch(data)]
            loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=4)
            for epoch in range(10):
                for hook in hooks:
                    hook.before_epoch(epoch)
                for batch in loader:
                    model(batch).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model):
            loader = DataLoader(dataset, shuffle=True, num_workers=4)
            for epoch in range(20):
                dataset.draw_negatives(epoch)
                for x in loader:
                    model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, dataset, model):
                self.model = model
                self.loader = DataLoader(dataset, shuffle=True, num_workers=4)
            def before_epoch(self, epoch):
                self.loader.dataset.mask_ratio = 0.1 * epoch
            def fit(self):
                for epoch in range(10):
                    self.before_epoch(epoch)
                    for x in self.loader:
                        self.model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader
        from volumes import RotatingCache

        def main(model, files):
            data = RotatingCache(files, size=100)
            loader = DataLoader(data, num_workers=4)
            for epoch in range(100):
                for x in loader:
                    model(x).backward()
                data.replace_some()
        """,
        """
        import random
        from torch.utils.data import DataLoader

        def main(read, model):
            pairs = read()
            loader = DataLoader(pairs, batch_size=64, num_workers=4)
            for epoch in range(100):
                random.shuffle(pairs)
                for x in loader:
                    model(x).backward()
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader

        def loaders(sets):
            return {name: DataLoader(data, num_workers=8) for name, data in sets.items()}
        # file: train.py
        from data import loaders

        def main(sets, model):
            by_name = loaders(sets)
            for epoch in range(100):
                for x in by_name["train"]:
                    model(x).backward()
                by_name["train"].dataset.reshuffle()
        """,
        """
        from torch.utils.data import DataLoader

        def one_epoch(model, iterator, optimizer):
            for step in range(1000):
                model(next(iterator)).backward()
                optimizer.step()

        def main(model, data, optimizer):
            train_loader = DataLoader(data, batch_size=8, num_workers=4)
            iterator = iter(train_loader)
            for epoch in range(20):
                one_epoch(model, iterator, optimizer)
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=4, persistent_workers=True)
            for epoch in range(100):
                for x, y in loader:
                    model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=4)
            for x, y in loader:
                model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Curriculum(Dataset):
            def __init__(self):
                self.level = 0
            def set_level(self, level):
                self.level = level
            def __getitem__(self, i):
                return i + self.level

        def main(model):
            dataset = Curriculum()
            loader = DataLoader(dataset, num_workers=4)
            for epoch in range(100):
                dataset.set_level(epoch)
                for x in loader:
                    model(x).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model):
            for fold in range(5):
                loader = DataLoader(dataset, num_workers=4)
                for x in loader:
                    model(x).backward()
        """,
    ),
)
