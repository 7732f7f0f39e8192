"""The number of workers is fixed in the code, at a value that few machines can serve.

More workers than cores only compete for them. `os.cpu_count()` counts the cores of the host, not those that a container's quota
or an affinity mask leaves, and under distributed training every rank on the host starts that many. Source: the
warning that `DataLoader` gives from `os.sched_getaffinity`; CPython issue 80235.

**Found:** a literal `num_workers` above 16; `os.cpu_count()` of a whole host in a loader that has a `DistributedSampler`.

**Left alone:** counts from the command line or a configuration; `os.cpu_count()` divided by the number of ranks; one process.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Expr, Op
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.items import made_by
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.values import Known, Made

_MOST_WORKERS = 16
_HOST_COUNTS = frozenset(
    {"os.cpu_count", "multiprocessing.cpu_count", "torch.multiprocessing.cpu_count", "psutil.cpu_count"}
)


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        for value in loader.arg("num_workers"):
            if isinstance(value, Known) and not value.by_default and _is_count(value.value):
                yield Report(
                    loader.scope,
                    loader.at,
                    f"`{loader.spelled('num_workers')}={value.value}` is fixed in the code: with fewer cores than that, the "
                    "workers compete for them",
                    help="read the count from the command line, and bound it by `len(os.sched_getaffinity(0))`",
                )
            elif (
                isinstance(value, Made)
                and _counts_cores(value, program)
                and _per_rank(loader)
                and not _divided(loader)
            ):
                yield Report(
                    loader.scope,
                    loader.at,
                    "each rank starts one worker for every core of the host: with several ranks on a host they compete",
                    help="divide the cores by the ranks of the host (`LOCAL_WORLD_SIZE`)",
                )


def _counts_cores(value: Made, program: Program) -> bool:
    """``os.cpu_count()``, ``len(os.sched_getaffinity(0))``: the same for every rank of the host."""
    if value.what == "builtins.len":
        given = value.call.args[0] if value.call.args else None
        return given is not None and "os.sched_getaffinity" in made_by(program.values(given, value.scope))
    return value.what in _HOST_COUNTS


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > _MOST_WORKERS


def _per_rank(loader: Loader) -> bool:
    return any(
        isinstance(v, Made) and isinstance(v.what, str) and v.what.endswith("DistributedSampler")
        for v in loader.arg("sampler")
    )


def _divided(loader: Loader) -> bool:
    """The count is scaled where it is given, or where the name that is given was set."""
    for expr, scope in loader.given("num_workers"):
        texts: list[Expr] = [expr]
        name = getattr(expr, "id", None)
        if name is not None:
            texts += [b.value for b in scope.bindings.get(name, ()) if b.value is not None]
        if any(isinstance(text, Op) for text in texts):
            return True
    return False


RULE = Rule(
    code="DLC204",
    name="worker-count-hard-coded",
    severity="info",
    check=check,
    page=__doc__ or "",
    confidence="medium",
    causes=("cpu-wait",),
    found=(
        """
        from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

        def main(model, train_set):
            args = Seq2SeqTrainingArguments("out", dataloader_num_workers=48)  # <- DLC204
            Seq2SeqTrainer(model=model, args=args, train_dataset=train_set).train()
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, batch_size=64, num_workers=32)  # <- DLC204
        """,
        """
        from torch.utils.data import DataLoader

        WORKERS = 24
        loader = DataLoader([1, 2], num_workers=WORKERS)  # <- DLC204
        """,
        """
        import os
        from torch.utils.data import DataLoader, DistributedSampler

        def make(dataset):
            return DataLoader(dataset, sampler=DistributedSampler(dataset), num_workers=os.cpu_count())  # <- DLC204
        """,
        """
        import multiprocessing
        from torch.utils.data import DataLoader
        from torch.utils.data.distributed import DistributedSampler

        def make(dataset):
            kwargs = {"num_workers": multiprocessing.cpu_count()}
            sampler = DistributedSampler(dataset)
            return DataLoader(dataset, sampler=sampler, **kwargs)  # <- DLC204
        """,
        """
        import os
        from torch.utils.data import DataLoader
        from torch.utils.data.distributed import DistributedSampler

        def make(dataset):
            count = len(os.sched_getaffinity(0))
            return DataLoader(dataset, sampler=DistributedSampler(dataset), num_workers=count)  # <- DLC204
        """,
    ),
    clean=(
        """
        from torch.utils.data import DataLoader

        def make(dataset, workers=32):
            return DataLoader(dataset, num_workers=workers)
        """,
        """
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, num_workers=16)
        """,
        """
        import os
        from torch.utils.data import DataLoader

        def make(dataset):
            return DataLoader(dataset, num_workers=os.cpu_count())
        """,
        """
        import os
        from torch.utils.data import DataLoader, DistributedSampler

        def make(dataset, ranks):
            workers = os.cpu_count() // ranks
            return DataLoader(dataset, sampler=DistributedSampler(dataset), num_workers=workers)
        """,
    ),
)
