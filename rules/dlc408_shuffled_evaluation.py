"""A validation, test or prediction loader shuffles, or drops its last batch.

With `drop_last=True` up to a batch of samples (of an iterable data set: a batch per worker) is never evaluated. Shuffling makes
predictions come in an order that no longer fits the samples' names, makes metrics that are averaged over batches change from
run to run, and gains nothing. Source: ultralytics issue 25734; openadmet-models issue 572.

**Found:** `shuffle=True` or `drop_last=True` on a loader that is plainly one for evaluation: by its name or that of its data
set, or because it is the validation, test or prediction loader of a framework.

**Left alone:** loaders that are also trained on, or of which only some batches are taken (to look at samples); `drop_last`
with batches of one sample, or next to a sampler, which may be distributed. Tests, and `drop_last` in functions that deal with
ranks, have low confidence.

**Cure:** leave both out. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.fix import Fix, SetArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.handed_on import is_handed_to
from dlcheck.program.loaders import Loader
from dlcheck.program.looks import left_early
from dlcheck.program.names import is_test
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.uses import lightning_hook
from dlcheck.program.values import Absent, Known, only

_EVAL_WORDS = frozenset(
    "val valid validation test testing eval evaluation dev predict prediction inference valloader testloader "
    "testset valset validset validloader evalset devset".split()
)
_WHAT = {
    "shuffle": "shuffles: predictions come in an order that does not fit the samples, and averages over batches change from run "
    "to run. Leave `shuffle` out",
    "drop_last": "drops its last batch, so some samples are never evaluated: leave `drop_last` out",
}


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if not _for_evaluation(program, loader):
            continue
        for name, message in _WHAT.items():
            if not only(loader.arg(name), True):
                continue
            if name == "drop_last" and (not _left_out(loader, "sampler") or _one_by_one(loader)):
                continue
            yield Report(
                loader.scope,
                loader.at,
                f"this evaluation loader {message}",
                help=f"leave `{name}=True` out of evaluation loaders",
                confidence=_confidence(loader, name),
                fix=_fix(loader, name),
            )


def _left_out(loader: Loader, name: str) -> bool:
    return all(isinstance(v, Absent) for v in loader.arg(name))


def _one_by_one(loader: Loader) -> bool:
    """Batches of one sample: there is no last one that is smaller."""
    return all(
        isinstance(v, Absent) or (isinstance(v, Known) and v.value == 1) for v in loader.arg("batch_size")
    )


def _only_looked_at(program: Program, hook: Scope) -> bool:
    """The hook of a test or prediction that nothing runs, but whose first batch somebody takes: ``next(iter(
    data.test_dataloader()))``."""
    called = [site.call for scope in program.scopes() for site in scope.calls]
    runs = "test" if hook.name.startswith("test") else "predict"
    if any(isinstance(call.func, Attr) and call.func.attr == runs for call in called):
        return False
    return any(
        dotted(call.func) == "next"
        and any(isinstance(e, Attr) and e.attr == hook.name for a in call.args[:1] for e in walk(a))
        for call in called
    )


def _for_evaluation(program: Program, loader: Loader) -> bool:
    """Plainly so: named, or a hook of a framework; and whole epochs are taken from it as far as uses are seen."""
    hook = lightning_hook(program.evaluator, loader.scope)
    if hook is None and not loader.words & _EVAL_WORDS:
        return False
    if loader.scope.name in ("test_dataloader", "predict_dataloader") and _only_looked_at(
        program, loader.scope
    ):
        return False
    if is_handed_to(program, loader, ("cycle",)):
        return False  # batches without an end are no pass over the data
    uses = program.uses_of[loader]
    if program.role(loader) != "eval" or any(
        program.use_role(use) == "train" for use in uses if use.kind in ("for", "next", "comp")
    ):
        return False
    return not uses or any(
        use.kind in ("for", "comp", "hook", "list") and not left_early(use) for use in uses
    )


def _confidence(loader: Loader, name: str) -> Confidence:
    if is_test(loader.path):
        return "low"
    # All ranks must do the same number of steps where each has its own part.
    if name == "drop_last" and any(
        n.id in ("rank", "world_size", "local_rank") for n, _ in loader.scope.names
    ):
        return "low"
    return "high"


def _fix(loader: Loader, name: str) -> Fix | None:
    if not any(key == name for key, _ in loader.call.keywords):
        return None
    return Fix(f"pass `{name}=False`", (SetArgument(loader.at, name, "False"),), safe=False)


RULE = Rule(
    code="DLC408",
    name="shuffled-evaluation",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import torch
        from torch.utils.data import DataLoader

        def main(train_set, test_set, model):
            kwargs = {"num_workers": 4, "pin_memory": True}
            train_loader = DataLoader(train_set, batch_size=32, shuffle=True, **kwargs)
            test_loader = DataLoader(test_set, batch_size=32, shuffle=True, **kwargs)  # <- DLC408
            for x in train_loader:
                model(x).backward()
            with torch.no_grad():
                for x in test_loader:
                    model(x)
        """,
        """
        import lightning as L
        from torch.utils.data import DataLoader

        class Data(L.LightningDataModule):
            def train_dataloader(self):
                return DataLoader(self.a, batch_size=32, shuffle=True, drop_last=True)
            def val_dataloader(self):
                return DataLoader(self.b, batch_size=32, drop_last=True)  # <- DLC408
            def predict_dataloader(self):
                return DataLoader(self.c, batch_size=32, shuffle=True)  # <- DLC408
        """,
        """
        from torch.utils.data import DataLoader

        def get_loaders(data, batch_size):
            params = dict(batch_size=batch_size, shuffle=True)
            train = DataLoader(data["train"], **params)
            val = DataLoader(data["val"], **params)  # <- DLC408
            return train, val
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader

        class Loaders:
            def __init__(self, valid_set, train_set):
                self.valid_loader = DataLoader(valid_set, 16, True)  # <- DLC408
                self.train_loader = DataLoader(train_set, 16, True)
        # file: train.py
        from data import Loaders

        def validate(model, loaders):
            model.eval()
            for x in loaders.valid_loader:
                model(x)

        def main(model, a, b):
            validate(model, Loaders(a, b))
        """,
    ),
    clean=(
        """
        import random
        from torch.utils.data import DataLoader

        def make_sampler(loaders):
            iterators = {name: iter(loader) for name, loader in loaders.items()}
            def sample(steps):
                for _ in range(steps):
                    name = random.choice(list(loaders))
                    try:
                        yield next(iterators[name])
                    except StopIteration:
                        iterators[name] = iter(loaders[name])
                        yield next(iterators[name])
            return sample

        def main(parts_valid, score):
            loaders_valid = {
                name: DataLoader(part, batch_size=4, shuffle=True) for name, part in parts_valid.items()
            }
            sample = make_sampler(loaders_valid)
            for epoch in range(50):
                score(list(sample(30)))
        """,
        """
        # file: config.py
        from yacs.config import CfgNode

        cfg = CfgNode()
        cfg.VAL = CfgNode()
        cfg.VAL.batch_size = 1
        # file: evaluate.py
        from torch.utils.data import DataLoader
        from config import cfg

        def main(val_set, model):
            val_loader = DataLoader(val_set, batch_size=cfg.VAL.batch_size, num_workers=5, drop_last=True)
            for x in val_loader:
                model(x)
        """,
        """
        # file: data.py
        import pytorch_lightning as pl
        from torch.utils.data import DataLoader

        class Data(pl.LightningDataModule):
            def val_dataloader(self):
                return DataLoader(self.images, batch_size=64)
            def test_dataloader(self):
                return DataLoader(self.images, batch_size=144, shuffle=True)
        # file: model.py
        import pytorch_lightning as pl

        class Model(pl.LightningModule):
            def on_validation_end(self):
                images, _ = next(iter(self.trainer.datamodule.test_dataloader()))
                self.save(self(images))
        """,
        """
        from itertools import cycle
        from torch.utils.data import DataLoader

        def search(train_set, valid_set, trainer):
            train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
            valid_loader = DataLoader(valid_set, batch_size=32, shuffle=True)
            trainer.train(cycle(train_loader), cycle(valid_loader))
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, val_set):
                self.val_loader = DataLoader(val_set, 12, shuffle=True, num_workers=4, drop_last=True)
                self.val_iter = iter(self.val_loader)
            def val(self):
                try:
                    inputs = self.val_iter.next()
                except StopIteration:
                    self.val_iter = iter(self.val_loader)
                    inputs = self.val_iter.next()
                for key, value in inputs.items():
                    inputs[key] = value.to("cuda")
        """,
        """
        from torch.utils.data import DataLoader

        def main(train_set, test_set, model, split):
            train_loader = DataLoader(train_set, shuffle=True, drop_last=True)
            test_loader = DataLoader(test_set, shuffle=False, drop_last=False)
            loader = DataLoader(test_set, shuffle=split == "train")
            return train_loader, test_loader, loader
        """,
        """
        from torch.utils.data import DataLoader

        def show(test_set, model, plot):
            test_loader = DataLoader(test_set, batch_size=8, shuffle=True)
            images, labels = next(iter(test_loader))
            plot(images, labels)

        def some(val_set, model, plot):
            val_loader = DataLoader(val_set, batch_size=8, shuffle=True)
            for i, x in enumerate(val_loader):
                plot(model(x))
                if i == 3:
                    break
        """,
        """
        from torch.utils.data import DataLoader, DistributedSampler

        def main(val_set):
            sampler = DistributedSampler(val_set, shuffle=False)
            val_loader = DataLoader(val_set, sampler=sampler, drop_last=True)
            return val_loader
        """,
        """
        from torch.utils.data import DataLoader

        def adapt(test_set, model, optimizer):
            test_loader = DataLoader(test_set, batch_size=8, shuffle=True)
            for x in test_loader:
                model(x).backward()
                optimizer.step()

        def make(dataset, shuffle):
            return DataLoader(dataset, shuffle=shuffle)

        train_loader = make(1, True)
        val_loader = make(2, False)
        """,
    ),
)
