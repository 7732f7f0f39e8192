"""Loaders whose workers must divide the samples of an iterable dataset among themselves."""

from __future__ import annotations

from dlcheck.program.loaders import Loader
from dlcheck.program.program import Dataset, Program
from dlcheck.program.random_state import SEEDERS
from dlcheck.program.values import Absent, External, Known


def dividing_loader(program: Program, dataset: Dataset) -> Loader | None:
    """A loader of this very class that may have more than one worker, and whose workers are not told what to load."""
    fitting = [
        loader
        for loader in dataset.loaders
        if dataset.cls in loader.dataset_classes
        and _several_workers(loader)
        and not _told_by_init(program, loader)
    ]
    return next((loader for loader in fitting if loader.workers == "some"), fitting[0] if fitting else None)


def _several_workers(loader: Loader) -> bool:
    counts = loader.arg("num_workers")
    few = all(isinstance(v, Absent) or (isinstance(v, Known) and v.value in (0, 1, None)) for v in counts)
    return loader.workers in ("some", "unknown") and not few


def _told_by_init(program: Program, loader: Loader) -> bool:
    """The loader's ``worker_init_fn`` may divide the samples: it touches the dataset, or is not known."""
    for value in loader.arg("worker_init_fn"):
        if isinstance(value, External) and (value.name in SEEDERS or "seed" in value.name):
            continue
        if not isinstance(value, (Absent, Known)) and not program.functions_given(loader, "worker_init_fn"):
            return True
    for function in program.functions_given(loader, "worker_init_fn"):
        for step in program.function_path(function).steps:
            if any(attr.attr in ("dataset", "get_worker_info") for attr, _ in step.scope.attrs) or any(
                name.id in ("get_worker_info", "worker_info") for name, _ in step.scope.names
            ):
                return True
            if step.scope.owner is not None and step.scope.stores:
                return True
    return False
