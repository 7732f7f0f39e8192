"""What runs in worker processes: the item paths of datasets, collate functions and ``worker_init_fn``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlcheck.facts.model import At, dotted
from dlcheck.program.loaders import Loader
from dlcheck.program.paths import Path, PathCall, walk
from dlcheck.program.program import Program


@dataclass(frozen=True, eq=False)
class WorkerPath:
    """Code that workers run, with the loaders whose workers do. No loaders: none is seen for the dataset."""

    path: Path
    loaders: tuple[Loader, ...]

    @property
    def sure(self) -> bool:
        """A loader is seen that may have workers."""
        return bool(self.loaders)


def worker_paths(program: Program) -> Iterator[WorkerPath]:
    """Every path that runs in workers, unless all loaders that are seen have none."""
    for dataset in program.datasets:
        loaders = tuple(loader for loader in dataset.loaders if loader.may_have_workers)
        if loaders or not dataset.loaders:
            yield WorkerPath(dataset.item_path, loaders)
    for loader in program.loaders:
        if loader.may_have_workers:
            for name in ("collate_fn", "worker_init_fn"):
                for function in program.functions_given(loader, name):
                    yield WorkerPath(program.function_path(function), (loader,))


def worker_calls(program: Program) -> Iterator[tuple[PathCall, WorkerPath]]:
    """Every call that runs in workers, each once; those that ask which process they run in are left out."""
    found: dict[tuple[str, At], tuple[PathCall, WorkerPath]] = {}
    for way in worker_paths(program):
        for call in way.path.calls():
            key = (call.step.scope.module.path, call.site.at)
            known = found.get(key)
            if not _asks_for_worker(call) and (known is None or (way.sure and not known[1].sure)):
                found[key] = (call, way)
    for key in sorted(found):
        yield found[key]


def _asks_for_worker(call: PathCall) -> bool:
    """It stands behind a check of the process that it runs in."""
    around = call.site.block.chain() if call.site.block is not None else ()
    return any(
        "worker" in dotted(part).lower() or "process" in dotted(part).lower()
        for block in around
        if block.kind in ("if", "else")
        for part in walk(block.node.test)
    )
