"""Random number generators that were made before the workers start: whether something seeds them again in each worker."""

from __future__ import annotations

from dlcheck.facts.model import dotted
from dlcheck.program.kept import Kept
from dlcheck.program.paths import Path
from dlcheck.program.program import Dataset, Program
from dlcheck.program.random_state import RESEEDS
from dlcheck.program.scope import Scope


def asks_for_worker(path: Path) -> bool:
    """The item path knows which worker it runs in: it may well seed by it."""
    return any(
        name.id in ("get_worker_info", "worker_info") for step in path.steps for name, _ in step.scope.names
    ) or any(
        attr.attr in ("get_worker_info", "initial_seed")
        for step in path.steps
        for attr, _ in step.scope.attrs
    )


def reseeded(program: Program, kept: Kept, dataset: Dataset) -> bool:
    """The items, a data pipe's ``reset``, or a function that asks for its worker seeds the generator again."""
    scopes = [step.scope for step in dataset.item_path.steps]
    # A data pipe is reset by torch before each epoch, in the worker.
    reset = dataset.evaluator.method(kept.cls, "reset")
    for scope in (*scopes, reset) if reset is not None else scopes:
        for site in scope.calls:
            name = dotted(site.call.func)
            if name.rpartition(".")[2] in RESEEDS and f".{kept.attr}." in name:
                return True
    return any(_reseeds_by_worker(scope, kept.attr) for scope in program.scopes())


def _reseeds_by_worker(scope: Scope, attr: str) -> bool:
    """A function that asks for its worker seeds, or makes anew, what something holds under this name."""
    if not any(a.attr == "get_worker_info" for a, _ in scope.attrs) and not any(
        name.id in ("get_worker_info", "worker_id") for name, _ in scope.names
    ):
        return False
    return any(store.attr == attr for store in scope.stores) or any(
        dotted(site.call.func).endswith(tuple(f".{attr}.{seeds}" for seeds in RESEEDS))
        for site in scope.calls
    )
