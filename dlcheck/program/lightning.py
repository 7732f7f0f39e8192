"""Lightning: whether its Trainer puts the batches of a hook's loader on a GPU."""

from __future__ import annotations

from dlcheck.facts.model import At, Const, Expr, dotted, walk
from dlcheck.program.loaders import Loader
from dlcheck.program.program import Program
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import Known

_GPU = frozenset({"gpu", "cuda", "ddp", "ddp2", "dp"})
# These are called on machines without a GPU as well.
_HARMLESS = frozenset({"is_available", "manual_seed", "manual_seed_all", "empty_cache", "device_count"})


def trained_on_gpu(program: Program, loader: Loader) -> tuple[Scope, At] | None:
    """Where a project says that Lightning trains on a GPU: by what its Trainer is given, or by what is said of ``gpus``
    and ``torch.cuda`` in the file of the Trainer or of the loader. ``None`` where the loader is no hook's, or nothing is
    said.
    """
    if loader.kind == "trainer":
        return loader.scope, loader.at  # a Hugging Face Trainer takes the GPU that there is
    if not any(use.kind == "hook" for use in program.uses_of[loader]):
        return None
    own = loader.scope.module
    for module in sorted(program.modules, key=lambda module: _distance(module.path, own.path)):
        scopes = module.scopes
        trainers = [site for scope in scopes for site in scope.calls if _makes_trainer(site)]
        if module is not own and not trainers:
            continue
        for site in trainers:
            if _asks_for_gpu(program, site):
                return site.scope, site.at
        for scope in scopes:
            for site in scope.calls:
                name = dotted(site.call.func)
                if name.startswith("torch.cuda.") and name.rpartition(".")[2] not in _HARMLESS:
                    return scope, site.at
            for attr, _ in scope.attrs:
                if attr.attr == "gpus":
                    return scope, attr.at
        if trainers and module is own:
            return None  # the trainers of other files are for other loaders
    return None


def _distance(path: str, other: str) -> int:
    """How many folders lie between two files; their own is the nearest."""
    here, there = path.split("/"), other.split("/")
    shared = next((n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), len(here))
    return len(here) + len(there) - 2 * shared


def _makes_trainer(site: CallSite) -> bool:
    name = dotted(site.call.func)
    return name.endswith(("Trainer", "Trainer.from_argparse_args"))


def _asks_for_gpu(program: Program, site: CallSite) -> bool:
    given = {key: value for key, value in site.call.keywords if key is not None}
    if "gpus" in given:
        return not _is_none(program, given["gpus"], site.scope)
    return any(
        isinstance(part, Const) and part.value in _GPU
        for key in ("accelerator", "strategy")
        if key in given
        for part in walk(given[key])
    )


def _is_none(program: Program, expr: Expr, scope: Scope) -> bool:
    return all(isinstance(v, Known) and not v.value for v in program.values(expr, scope))
