"""A script starts loader workers at module level, without `if __name__ == "__main__":`.

Where workers are not forked, each of them imports the main script anew before it does anything else. A script that iterates its
loader at module level then starts workers within the worker, and Python stops it: `RuntimeError: An attempt has been made to
start a new process before the current process has finished its bootstrapping phase`. That is so on Windows and macOS, and on
Linux from Python 3.14, which no longer forks by default. Source: PyTorch documentation, *Platform-specific behaviors* of
`torch.utils.data`; Python documentation of `multiprocessing`, *Safe importing of main module*; torch issue 12831.

**Found:** a module-level loop, or a module-level call of a function, that iterates over a loader with workers.

**Left alone:** code below a main guard; loaders without workers, also by default; notebooks; programs that say
`multiprocessing_context="fork"` or `set_start_method("fork")`.

**Versions:** all of torch 2.x. An error where the project does not fork (`set_start_method`, Python 3.14).
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Call, Const, Do, Raise, Stmt, dotted
from dlcheck.lint.main_guard import under_main_guard
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.main_guard import asks_for_other, guarded
from dlcheck.program.program import Program
from dlcheck.program.project import Module
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.start_method import forks_by_choice, start_method
from dlcheck.program.values import Ref


def check(program: Program) -> Iterator[Report]:
    consumed: dict[Scope, list[Loader]] = {}
    for use in program.consumption.uses:
        for loader in use.loaders:
            if loader.may_have_workers and not forks_by_choice(program, loader):
                consumed.setdefault(use.scope, []).append(loader)
    if not consumed:
        return
    for module in program.modules:
        if not module.is_notebook:
            yield from _in_module(program, module, consumed)


def _in_module(program: Program, module: Module, consumed: dict[Scope, list[Loader]]) -> Iterator[Report]:
    """The first place of a script that starts workers at module level; once that is cured, all are."""
    places: list[tuple[At, Block | None, Loader]] = []
    for use in program.consumption.uses:
        if use.scope is module.scope and use.scope in consumed:
            loaders = [loader for loader in use.loaders if loader in consumed[use.scope]]
            places += [(use.at, use.block, loader) for loader in loaders[:1]]
    for site in module.scope.calls:
        if not guarded(site.block):
            loader = _consumes(program, site, consumed)
            places += [(site.at, site.block, loader)] if loader is not None else []
    places = [place for place in places if not guarded(place[1]) and not _asks_for_none(module, place[2])]
    places = [place for place in places if not _left_before(module, place[0])]
    if not places:
        return
    at, block, loader = min(places, key=lambda place: place[0])
    method = start_method(program, loader)
    where = "here" if method != "fork" else "on Windows and macOS, and on Linux from Python 3.14"
    yield Report(
        module.scope,
        _outermost_loop(block) or at,
        f"this script starts workers at module level: {where} each worker runs the whole script again, and it ends with "
        '`RuntimeError`. Put this code below `if __name__ == "__main__":`, or in a function that is called there',
        severity="error" if method != "fork" else None,
        confidence="low" if loader.none_unless_asked_for else None,
        help='move the module-level code into `def main():`, and call it below `if __name__ == "__main__":`',
        also=((loader.scope, loader.at),),
        fix=under_main_guard(program, module, at),
    )


def _left_before(module: Module, at: At) -> bool:
    """``if __name__ != "__main__": raise SystemExit``, above the place."""
    return any(
        node.at < at and block is None and asks_for_other(node.test) and _leaves(node.body)
        for node, block in module.scope.branches
    )


def _leaves(body: tuple[Stmt, ...]) -> bool:
    last = body[-1]
    if isinstance(last, Do) and isinstance(last.value, Call):
        return dotted(last.value.func).rpartition(".")[2] in ("exit", "_exit")
    return isinstance(last, Raise)


def _asks_for_none(module: Module, loader: Loader) -> bool:
    """The script has the loader made elsewhere, and wherever it gives a number of workers that is 0."""
    if loader.scope.module is module:
        return False
    given = [
        value
        for scope in module.scopes
        for site in scope.calls
        for name, value in site.call.keywords
        if name == "num_workers"
    ]
    return bool(given) and all(isinstance(value, Const) and value.value == 0 for value in given)


def _consumes(program: Program, site: CallSite, consumed: dict[Scope, list[Loader]]) -> Loader | None:
    for value in program.values(site.call.func, site.scope):
        if isinstance(value, Ref) and value.scope.kind == "function":
            for step in program.function_path(value.scope).steps:
                if step.scope in consumed:
                    return consumed[step.scope][0]
    return None


def _outermost_loop(block: Block | None) -> At | None:
    loops = [b for b in block.chain() if b.kind in ("for", "while")] if block is not None else []
    return (*loops[-1].node.at[:2], *_end_of_head(loops[-1])) if loops else None


def _end_of_head(loop: Block) -> tuple[int, int]:
    """The end of a loop's first line, so that what is shown is not the whole body."""
    head = loop.node.iterable if loop.kind == "for" else loop.node.test
    return head.at[2], head.at[3]


RULE = Rule(
    code="DLC305",
    name="missing-main-guard",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        # file: train.py
        from torch.utils.data import DataLoader
        from data import Images

        loader = DataLoader(Images(), batch_size=32, num_workers=4)
        for epoch in range(10):  # <- DLC305
            for batch in loader:
                print(batch)
        # file: data.py
        from torch.utils.data import Dataset

        class Images(Dataset):
            def __getitem__(self, index):
                return index
        """,
        """
        import argparse
        from torch.utils.data import DataLoader

        parser = argparse.ArgumentParser()
        parser.add_argument("--n_cpu", type=int, default=8)
        opt = parser.parse_args()
        dataloader = DataLoader([1, 2, 3], num_workers=opt.n_cpu)

        def train(epoch):
            for batch in dataloader:
                print(epoch, batch)

        for epoch in range(1, 31):  # <- DLC305
            train(epoch)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        torch.multiprocessing.set_start_method("spawn")

        def main():
            for batch in DataLoader([1, 2, 3], num_workers=2):
                print(batch)

        main()  # <- DLC305
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        loader = DataLoader(range(100), num_workers=4)
        with torch.no_grad():
            total = sum(batch.sum() for batch in loader)  # <- DLC305
        """,
    ),
    clean=(
        """
        import sys
        from torch.utils.data import DataLoader

        def main(dataset):
            for batch in DataLoader(dataset, num_workers=2):
                print(batch)

        if __name__ != "__main__":
            sys.exit("this is a script")
        main([1, 2])
        """,
        """
        # file: example.py
        from series import Series

        loader = Series().to_loader(train=True, num_workers=0)
        for batch in loader:
            print(batch)
        # file: other.py
        from series import Series

        def main():
            for batch in Series().to_loader(train=True, num_workers=4):
                print(batch)
        # file: series.py
        from torch.utils.data import DataLoader, Dataset

        class Series(Dataset):
            def __getitem__(self, index):
                return index
            def to_loader(self, train, **kwargs):
                settings = dict(shuffle=train, batch_size=8)
                settings.update(kwargs)
                return DataLoader(self, **settings)
        """,
        """
        from torch.utils.data import DataLoader

        def main():
            loader = DataLoader([1, 2, 3], num_workers=4)
            for batch in loader:
                print(batch)

        if __name__ == "__main__":
            main()
        """,
        """
        from torch.utils.data import DataLoader

        loader = DataLoader([1, 2, 3])
        for batch in loader:
            print(batch)
        """,
        """
        from torch.utils.data import DataLoader

        if __name__ == "__main__":
            print("a check of the above, switched off below")

        if __name__ == "__main2__":
            for batch in DataLoader([1, 2, 3], num_workers=1):
                print(batch)
        """,
        """
        # file: example.py
        from model import Classifier

        model = Classifier(args={"output_dir": "out"})
        model.train_model([1, 2, 3])
        # file: model.py
        from dataclasses import dataclass
        from torch.utils.data import DataLoader

        @dataclass
        class ModelArgs:
            output_dir: str = "outputs"
            num_workers: int = 0

            def update_from_dict(self, new_values):
                for key, value in new_values.items():
                    setattr(self, key, value)

        class Classifier:
            def __init__(self, args=None):
                self.args = self.load_args()
                if isinstance(args, dict):
                    self.args.update_from_dict(args)
                elif isinstance(args, ModelArgs):
                    self.args = args
            def load_args(self):
                args = ModelArgs()
                return args
            def train_model(self, data):
                for batch in DataLoader(data, num_workers=self.args.num_workers):
                    print(batch)
        """,
        """
        from torch.utils.data import DataLoader

        loader = DataLoader([1, 2, 3], num_workers=4)

        def train():
            for batch in loader:
                print(batch)
        """,
        """
        from torch.utils.data import DataLoader

        loader = DataLoader([1, 2, 3], num_workers=4, multiprocessing_context="fork")
        for batch in loader:
            print(batch)
        """,
        """
        from torch.utils.data import DataLoader

        loader = DataLoader([1, 2, 3], num_workers=2)
        if __name__ == "__main__":
            for epoch in range(3):
                for batch in loader:
                    print(batch)
        """,
    ),
)
