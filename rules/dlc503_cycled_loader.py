"""`itertools.cycle(loader)` keeps every batch in memory and replays the first epoch for ever.

`cycle` saves a copy of each item it yields. Over a loader that means that all batches of the first epoch stay in memory (with
workers, in shared memory), and that later epochs repeat them: never shuffled again, never augmented anew.
Source: documentation of `itertools.cycle`; torch issue 23900.

**Found:** `itertools.cycle` of a loader.

**Left alone:** a function of the project that is called `cycle` and restarts the loader (that is the cure); cycling a list of
loaders, or a range.

**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.program import Program
from dlcheck.program.values import Made


def check(program: Program) -> Iterator[Report]:
    built = {id(loader.call) for loader in program.loaders}
    for site in program.evaluator.callers.named("cycle"):
        if "itertools.cycle" not in program.callees(site) or not site.call.args:
            continue
        given = program.values(site.call.args[0], site.scope)
        if any(isinstance(v, Made) and id(v.call) in built for v in given):
            yield Report(
                site.scope,
                site.at,
                "`itertools.cycle` keeps every batch of the first epoch in memory and replays them: no new shuffle, no new "
                "augmentation, and memory that grows to the whole data set",
                help="write a generator instead: `while True: yield from loader`",
            )


RULE = Rule(
    code="DLC503",
    name="cycled-loader",
    severity="error",
    check=check,
    page=__doc__ or "",
    causes=("memory",),
    found=(
        """
        import itertools
        from torch.utils.data import DataLoader

        def train(dataset, model):
            batches = itertools.cycle(DataLoader(dataset, shuffle=True))  # <- DLC503
            for step in range(1000):
                model(next(batches))
        """,
        """
        from itertools import cycle
        from torch.utils.data import DataLoader

        def train(labelled, unlabelled, model):
            a = DataLoader(labelled, shuffle=True)
            b = DataLoader(unlabelled, shuffle=True)
            for x, u in zip(cycle(a), b):  # <- DLC503
                model(x, u)
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, shuffle=True)
        # file: train.py
        import itertools
        from data import make

        def train(dataset):
            loader = make(dataset)
            endless = itertools.cycle(loader)  # <- DLC503
            return endless
        """,
        """
        import itertools as it
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, dataset):
                self.loader = DataLoader(dataset)
            def batches(self):
                return it.cycle(self.loader)  # <- DLC503
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def cycle(loader):
            while True:
                yield from loader

        def train(dataset):
            return cycle(DataLoader(dataset))
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def train(a, b):
            for loader in itertools.cycle([DataLoader(a), DataLoader(b)]):
                pass
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def train(dataset):
            colours = itertools.cycle(["r", "g"])
            for x in DataLoader(dataset):
                print(next(colours))
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def train(dataset):
            for x in itertools.islice(DataLoader(dataset), 10):
                print(x)
        """,
    ),
)
