"""A training loader over a map-style data set neither shuffles nor has a sampler.

`DataLoader` goes over the items in their order unless it is told otherwise. Data sets are mostly stored sorted (by class, by
date, by recording), so batches are all alike, and every epoch has the same ones: training converges worse, and batch
statistics drift. Source: documentation of `DataLoader(shuffle=)`; anomalib issue 42; super-gradients issue 416.

**Found:** a loader that feeds an optimizer step, or is a framework's training loader, or is plainly named as one, with none of
`shuffle`, `sampler` and `batch_sampler` given; or with a sampler that is there in distributed training only.

**Left alone:** an explicit `shuffle=False`; iterable data sets; data that is shuffled before, generated, or drawn at random by
the items; a batch that is the whole data set; loaders that are only used under `no_grad`. Data sets that cannot be followed
are reported with low confidence, and so are tests.

**Cure:** `shuffle=True`; or `shuffle=False`, which says that the order is meant. **Versions:** all.
"""

import re
from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.fix import Fix, SetArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.handed_on import SAMPLES_ANEW, is_handed_to
from dlcheck.program.loaders import Loader
from dlcheck.program.names import is_test
from dlcheck.program.outside import own_methods
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import Absent, Known, Made, SelfOf, Value

_SHUFFLERS = frozenset({"shuffle", "permutation", "randperm", "train_test_split", "permuted", "shuffle_"})
_DRAWN = (
    "torch.rand", "torch.zeros", "torch.ones", "torch.empty", "torch.full", "torch.arange", "numpy.random.",
    "sklearn.datasets.make_",
)  # fmt: skip
_DRAWING = frozenset({"choice", "choices", "sample", "randint", "randrange", "integers", "multinomial"})
_MADE_UP = re.compile(
    r"Random|Fake|Dummy|Synthetic|Mock|Toy|Boring|Sequential|TimeSeries|Window|Iterable|Stream"
)


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if any(not _left_out(loader, name) for name in ("shuffle", "batch_sampler")):
            continue
        alone = _only_distributed(loader)
        if not alone and not _left_out(loader, "sampler"):
            continue
        if loader.is_iterable or (loader.kind == "graph" and not loader.name.endswith(".DataLoader")):
            continue
        confidence = _is_training(program, loader)
        if alone and any(program.use_role(use) == "eval" for use in program.uses_of[loader]):
            continue  # one function makes all loaders
        if confidence is None or _order_is_no_matter(program, loader):
            continue
        if (
            is_test(loader.path)
            or not loader.datasets
            or not all(_is_map_style(program, value) for value in loader.datasets)
        ):
            confidence = "low"
        where = "this training loader does not shuffle"
        value = "True"
        if alone:
            where += " in a single process, where it has no sampler"
            value = f"{dotted(loader.given('sampler')[0][0]) or 'sampler'} is None"
        fix = None
        if loader.settable("shuffle") and not value.startswith("sampler is"):
            fix = Fix(f"pass `shuffle={value}`", (SetArgument(loader.at, "shuffle", value),), safe=False)
        yield Report(
            loader.scope,
            loader.at,
            f"{where}: every epoch has the same batches, in the same order. Pass `shuffle={value}`",
            help=f"pass `shuffle={value}`, or `shuffle=False` where the order is meant",
            confidence=confidence,
            fix=fix,
        )


def _left_out(loader: Loader, name: str) -> bool:
    return all(isinstance(v, Absent) for v in loader.arg(name))


def _only_distributed(loader: Loader) -> bool:
    """The sampler is ``DistributedSampler(data) if distributed else None``."""
    values = loader.arg("sampler")
    given = [v for v in values if not (isinstance(v, Known) and v.value is None and not v.by_default)]
    return 0 < len(given) < len(values) and all(
        isinstance(v, Made) and isinstance(v.what, str) and v.what.endswith("DistributedSampler")
        for v in given
    )


def _is_training(program: Program, loader: Loader) -> Confidence | None:
    """Whether it is plainly the loader of the training: high where an optimizer steps in its loop."""
    if program.role(loader) != "train":
        return None
    uses = program.uses_of[loader]
    roles = {program.use_role(use) for use in uses if use.kind in ("for", "next", "comp")}
    if "train" in roles or any(use.kind == "hook" for use in uses):
        return "high"
    named = bool(loader.words & {"train", "training", "trainloader", "trainset"})
    if not named or "eval" in roles:
        return None
    return "low" if roles else "medium"


def _is_map_style(program: Program, value: Value) -> bool:
    """A data set that is known, and known not to be iterable."""
    match value:
        case Made(what) if isinstance(what, str) and what.startswith("datasets.load_"):
            return _is_table(value)
        case Made(what, _, _, _, _) if isinstance(what, str):
            return what.startswith(
                ("torchvision.datasets.", "torch.utils.data.", "torch_geometric.", "timm.data.")
            )
        case Made(what, _, _, _, _) | SelfOf(what) if isinstance(what, Scope) and what.kind == "class":
            return program.evaluator.method(what, "__getitem__") is not None
    return False


def _is_table(value: Made) -> bool:
    """A Hugging Face dataset that is neither streamed nor shuffled: ``load_dataset(...).map(...)``."""
    done = set(str(value.what).split("."))
    while isinstance(value.receiver, Made):
        value = value.receiver
    streamed = any(key in ("streaming", None) for key, _ in value.call.keywords)
    return not streamed and not done & {
        *_SHUFFLERS,
        "to_iterable_dataset",
        "sort",
        "select",
        "load_dataset_builder",
    }


def _order_is_no_matter(program: Program, loader: Loader) -> bool:
    size = [expr for expr, _ in loader.given("batch_size")]
    if any("len" in _called(expr) or (isinstance(expr, Const) and expr.value is None) for expr in size):
        return True  # the whole data set is one batch, or the data set makes the batches
    if is_handed_to(program, loader, SAMPLES_ANEW):
        return True
    if _shuffles(loader.scope) or any(_MADE_UP.search(name) for name in _dataset_names(loader)):
        return True
    for value in loader.datasets:
        if isinstance(value, Made) and _shuffles(value.scope):
            return True
        if isinstance(value, Made) and isinstance(value.what, str) and value.what.endswith("TensorDataset"):
            if all(_is_made_up(program, argument, value.scope) for argument in value.call.args):
                return True
    return any(_draws_or_shuffles(program, cls) for cls in loader.dataset_classes)


def _called(expr: Expr) -> str:
    return dotted(getattr(expr, "func", expr))


def _dataset_names(loader: Loader) -> list[str]:
    return [cls.name for cls in loader.dataset_classes] + [n.rpartition(".")[2] for n in loader.dataset_names]


def _is_made_up(program: Program, expr: Expr, scope: Scope, seen: frozenset[str] = frozenset()) -> bool:
    """The numbers are drawn or made by a formula: their order means nothing."""
    for part in walk(expr):
        if isinstance(part, Call):
            if any(n.startswith(_DRAWN) for n in callee_names(program.evaluator, part, scope)):
                return True
        elif isinstance(part, Name) and part.id not in seen:
            inner = seen | {part.id}
            for binding in scope.bindings.get(part.id, ()):
                if binding.kind in ("assign", "unpack") and binding.value is not None:
                    if _is_made_up(program, binding.value, scope, inner):
                        return True
    return False


def _shuffles(scope: Scope) -> bool:
    """The function (not a whole file) puts something in random order."""
    return scope.kind == "function" and any(
        _last(site.call.func) in _SHUFFLERS
        or (
            _last(site.call.func) == "sample"
            and any(key in ("frac", "n", "random_state") for key, _ in site.call.keywords)
        )
        for site in scope.calls
    )


def _draws_or_shuffles(program: Program, cls: Scope) -> bool:
    """The data set's items do not follow the index, or its set-up shuffles what they follow; or there is only one."""
    dataset = program.dataset_of(cls)
    if dataset is None:
        return False
    length = program.evaluator.method(cls, "__len__")
    if length is not None and any(isinstance(e, Const) and e.value == 1 for e, _ in length.returns):
        return True
    set_up = [step.scope for step in dataset.setup_path.steps]
    if any(map(_shuffles, (*set_up, *own_methods(dataset)))):
        return True
    method = program.evaluator.method(cls, "__getitem__")
    if method is None or len(method.params) < 2:
        return True
    index = method.params[1].name
    if not any(name.id == index for inner in method.descend() for name, _ in inner.names):
        return True
    return any(_draws_index(step.scope) for step in dataset.item_path.steps)


def _draws_index(scope: Scope) -> bool:
    """What is looked up is drawn: ``self.paths[random.randrange(n)]``, or ``index = random.randrange(n)`` in a function
    that is given an index. Another item in place of one that cannot be read is none.
    """
    if any(
        sub.base is not None and _last(getattr(sub.index, "func", sub.index)) in _DRAWING
        for sub, _ in scope.subs
    ):
        return True
    return any(
        binding.kind == "assign"
        and isinstance(binding.value, Call)
        and _last(binding.value.func) in _DRAWING
        and not any(b.kind == "except" for b in (binding.block.chain() if binding.block is not None else ()))
        for param in scope.params[1:]
        for binding in scope.bindings.get(param.name, ())
    )


def _last(func: Expr) -> str:
    return func.attr if isinstance(func, Attr) else func.id if isinstance(func, Name) else ""


RULE = Rule(
    code="DLC404",
    name="unshuffled-training-data",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import random
        from torch.utils.data import DataLoader, Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __len__(self):
                return len(self.paths)
            def __getitem__(self, index):
                try:
                    return read(self.paths[index])
                except OSError:
                    index = random.randint(0, len(self.paths) - 1)
                    return read(self.paths[index])

        def main(model, paths, optimizer):
            train_loader = DataLoader(Photos(paths), batch_size=8)  # <- DLC404
            for epoch in range(10):
                for x in train_loader:
                    model(x).backward()
                    optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        def train(args, model, optimizer):
            dataset = ImageFolder(args.root)
            loader = DataLoader(dataset, batch_size=32)  # <- DLC404
            for epoch in range(10):
                for x, y in loader:
                    model(x).backward()
                    optimizer.step()
        """,
        """
        import lightning as L
        from torch.utils.data import DataLoader, random_split
        from torchvision.datasets import MNIST

        class Data(L.LightningDataModule):
            def __init__(self):
                super().__init__()
                self.train_set, self.val_set = random_split(MNIST("."), [55000, 5000])
            def train_dataloader(self):
                return DataLoader(self.train_set, batch_size=32, num_workers=4)  # <- DLC404
            def val_dataloader(self):
                return DataLoader(self.val_set, batch_size=32, num_workers=4)
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader, Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __len__(self):
                return len(self.paths)
            def __getitem__(self, index):
                return load(self.paths[index])

        def loaders(train_paths, val_paths):
            train_loader = DataLoader(Photos(train_paths), batch_size=64, drop_last=True)  # <- DLC404
            val_loader = DataLoader(Photos(val_paths), batch_size=64)
            return train_loader, val_loader
        # file: train.py
        from data import loaders

        def main(model, paths):
            train_loader, val_loader = loaders(paths, paths)
            for batch in train_loader:
                model(batch).backward()
        """,
        """
        from torch.utils.data import DataLoader, TensorDataset

        def fit(model, x_train, y_train, optimizer):
            settings = {"batch_size": 16}
            train_loader = DataLoader(TensorDataset(x_train, y_train), **settings)  # <- DLC404
            for x, y in train_loader:
                optimizer.zero_grad()
                model(x, y).backward()
        """,
    ),
    clean=(
        """
        import random
        from torch.utils.data import DataLoader, Dataset

        class Speech(Dataset):
            def __init__(self, files, mode):
                self.files, self.mode = files, mode
            def __len__(self):
                return len(self.files)
            def __getitem__(self, index):
                return self.load(None if self.mode == "train" else index)
            def load(self, index=None):
                if index is None:
                    index = random.randint(0, len(self.files) - 1)
                return read(self.files[index])

        def main(model, files, optimizer):
            train_loader = DataLoader(Speech(files, "train"), batch_size=8)
            for epoch in range(10):
                for x in train_loader:
                    model(x).backward()
                    optimizer.step()
        """,
        """
        from opacus import PrivacyEngine
        from torch.utils.data import DataLoader
        from torchvision.datasets import CIFAR10

        def main(model, optimizer):
            train_loader = DataLoader(CIFAR10("data"), batch_size=64)
            model, optimizer, train_loader = PrivacyEngine().make_private(
                module=model, optimizer=optimizer, data_loader=train_loader
            )
            for epoch in range(10):
                for x, y in train_loader:
                    model(x).backward()
                    optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        def train(args, model, sampler):
            dataset = ImageFolder(args.root)
            loaders = [
                DataLoader(dataset, batch_size=32, shuffle=False),
                DataLoader(dataset, batch_size=32, shuffle=args.shuffle),
                DataLoader(dataset, batch_size=32, sampler=sampler),
                DataLoader(dataset, batch_sampler=sampler),
            ]
            for loader in loaders:
                for x, y in loader:
                    model(x).backward()
        """,
        """
        import torch
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        @torch.no_grad()
        def features(args, model):
            train_loader = DataLoader(ImageFolder(args.train), batch_size=32)
            return [model(x) for x, y in train_loader], [y for x, y in train_loader]

        def evaluate(args, model):
            test_loader = DataLoader(ImageFolder(args.test), batch_size=32)
            model.eval()
            for x, y in test_loader:
                print(model(x))
        """,
    ),
)
