"""Code that runs in the workers of loaders: item paths, collate functions and ``worker_init_fn``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dlcheck.facts.model import At, Expr, dotted, walk
from dlcheck.program.loaders import Loader
from dlcheck.program.paths import Path, PathCall, function_path
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Block, Scope

# A test that speaks of these asks whether it runs in a worker, or how many there are.
_SPEAKS_OF_WORKERS = ("worker", "daemon", "current_process", "parent_process", "multiproc", "parallel")


@dataclass(frozen=True, eq=False)
class WorkerPath:
    """A path that runs in workers, for every item or batch (``item``, ``batch``) or when a worker starts (``init``).

    ``loaders`` are those with workers, or with a number that is not known; none: no loader of the dataset is seen.
    """

    path: Path
    kind: Literal["item", "batch", "init"]
    loaders: tuple[Loader, ...]

    @property
    def certain(self) -> bool:
        """Some loader is seen whose workers are not merely possible by a default of 0 that callers may change."""
        return any(loader.workers in ("some", "unknown") for loader in self.loaders)


@dataclass(eq=False)
class Collator(Dataset):
    """A class of the project whose instances collate batches: a dataset as far as its set-up and its loaders go, with what it
    does for a batch in the place of what is done for an item.
    """

    method: Scope | None = None

    @cached_property
    def item_path(self) -> Path:
        assert self.method is not None
        return function_path(self.evaluator, self.method, "batch")


def collators(program: Program) -> Iterator[Collator]:
    """The collators of loaders with workers, or with a number that is not known."""
    found: dict[Scope, Collator] = {}
    for loader in _with_workers(program.loaders):
        for method in program.functions_given(loader, "collate_fn"):
            if method.owner is not None:
                new = Collator(method.owner, False, program.evaluator, method=method)
                found.setdefault(method, new).loaders.append(loader)
    yield from found.values()


def worker_paths(program: Program) -> Iterator[WorkerPath]:
    """Everything that may run in a worker. What is only used by loaders without workers is not among it."""
    for dataset in program.datasets:
        if dataset.workers != "none":
            yield WorkerPath(dataset.item_path, "item", dataset.loaders_with_workers)
    kinds: tuple[tuple[str, Literal["batch", "init"]], ...] = (
        ("collate_fn", "batch"),
        ("worker_init_fn", "init"),
    )
    for name, kind in kinds:
        given: dict[Scope, list[Loader]] = {}
        for loader in _with_workers(program.loaders):
            for function in program.functions_given(loader, name):
                given.setdefault(function, []).append(loader)
        for function, loaders in given.items():
            yield WorkerPath(program.function_path(function), kind, tuple(loaders))


def worker_calls(program: Program) -> Iterator[tuple[PathCall, WorkerPath]]:
    """Every call that may run in a worker, each once, in order of file and place; without those that ask where they run."""
    found: dict[tuple[str, At], tuple[PathCall, WorkerPath]] = {}
    for way in worker_paths(program):
        for call in way.path.calls:
            key = (call.step.scope.module.path, call.site.at)
            known = found.get(key)
            if not asks_for_workers(call.site.block) and (
                known is None or (way.certain and not known[1].certain)
            ):
                found[key] = (call, way)
    for key in sorted(found):
        yield found[key]


def asks_for_workers(block: Block | None) -> bool:
    """A place stands behind a check of whether it runs in a worker: ``if get_worker_info() is None:``."""
    around = block.chain() if block is not None else ()
    return any(b.kind in ("if", "else") and _speaks_of_workers(b.node.test) for b in around)


def _speaks_of_workers(test: Expr) -> bool:
    names = (dotted(getattr(part, "func", part)).lower() for part in walk(test))
    return any(word in name for name in names for word in _SPEAKS_OF_WORKERS)


def _with_workers(loaders: tuple[Loader, ...]) -> tuple[Loader, ...]:
    return tuple(loader for loader in loaders if loader.may_have_workers)
