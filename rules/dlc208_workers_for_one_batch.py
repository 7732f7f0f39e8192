"""A loader with workers is left after its first batch, again and again.

Every `for batch in loader: ...; break` starts all workers, lets them load `prefetch_factor` batches each, uses one batch and
throws the rest away. Source: documentation of `DataLoader(prefetch_factor=)`.

**Found:** a loop over a loader with workers that always ends in its first turn (`break`, `return`), inside another loop.

**Left alone:** a `break` under a condition (a limit on the number of steps); one such loop outside any loop; loaders without
workers.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.paths import loop_around
from dlcheck.program.program import Program
from dlcheck.program.uses import Use


def check(program: Program) -> Iterator[Report]:
    for use in program.consumption.uses:
        if use.kind != "for" or use.inner is None:
            continue
        if not _ends_in_first_turn(use) or all(loader.workers != "some" for loader in use.loaders):
            continue
        if any(program.consumption.epoch_loops(use, loader) for loader in use.loaders):
            yield Report(
                use.scope,
                use.at,
                "this loop always stops after one batch, and starts all workers of the loader for it each time",
                help="keep one iterator (`batches = iter(loader)`) and call `next(batches)`",
            )


def _ends_in_first_turn(use: Use) -> bool:
    """The loop ends with ``break`` or ``return``, and no ``continue`` passes these by."""
    left = (*use.scope.breaks, *use.scope.returns)
    passed = any(loop_around(block) is use.inner for _, block in use.scope.continues)
    return not passed and any(block is use.inner for _, block in left)


RULE = Rule(
    code="DLC208",
    name="workers-for-one-batch",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("startup",),
    found=(
        """
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4, shuffle=True)
            for step in range(1000):
                for x, y in loader:  # <- DLC208
                    model(x).backward()
                    break
        """,
        """
        from torch.utils.data import DataLoader

        def log_images(val_loader, model):
            for batch in val_loader:  # <- DLC208
                print(model(batch))
                break

        def main(train, val, model):
            val_loader = DataLoader(val, num_workers=2)
            for epoch in range(10):
                log_images(val_loader, model)
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, data):
                self.loader = DataLoader(data, num_workers=8)
            def sample(self):
                for batch in self.loader:  # <- DLC208
                    result = batch.mean()
                    break
                return result
            def run(self):
                while True:
                    self.sample()
        """,
        """
        from torch.utils.data import DataLoader

        def main(data, steps):
            kwargs = {"num_workers": 3}
            loader = DataLoader(data, **kwargs)
            for step in range(steps):
                for i, batch in enumerate(loader):  # <- DLC208
                    print(i, batch)
                    break
        """,
        """
        from torch.utils.data import DataLoader

        def first(loader):
            for batch in loader:  # <- DLC208
                return batch

        def main(data, model, steps):
            loader = DataLoader(data, shuffle=True, num_workers=4)
            for step in range(steps):
                model(first(loader)).backward()
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def full_batch(loader, size):
            for batch in loader:
                if len(batch) < size:
                    continue
                return batch

        def main(data, steps):
            loader = DataLoader(data, batch_size=8, num_workers=4)
            for step in range(steps):
                print(full_batch(loader, 8))
        """,
        """
        from torch.utils.data import DataLoader

        def peek(dataset):
            for batch in DataLoader(dataset, num_workers=4):
                print(batch.shape)
                break
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, limit):
            loader = DataLoader(dataset, num_workers=4)
            for epoch in range(10):
                for step, batch in enumerate(loader):
                    if step == limit:
                        break
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset):
            loader = DataLoader(dataset)
            for epoch in range(10):
                for batch in loader:
                    print(batch)
                    break
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset):
            loader = DataLoader(dataset, num_workers=4)
            for epoch in range(10):
                for batch in loader:
                    for part in batch:
                        print(part)
                        break
        """,
    ),
)
