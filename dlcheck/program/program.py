"""The program: the facts of a project linked, with the answers that rules ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dlcheck.facts.model import At, Attr, Call, Expr, Import, dotted
from dlcheck.program import names
from dlcheck.program.building import find_loaders
from dlcheck.program.callees import callee_names
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.loader_names import may_hold_loader
from dlcheck.program.loaders import Loader, Workers
from dlcheck.program.pairing import workers_over
from dlcheck.program.paths import Path, PathCall, function_path, item_path, setup_path
from dlcheck.program.project import Module, Project
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.transfers import Transfer, transfers
from dlcheck.program.uses import Consumption, Use, lightning_hook
from dlcheck.program.values import Made, PartialRef, Ref, SelfOf, Values

if TYPE_CHECKING:
    from dlcheck.program.kept import Kept

Role = Literal["train", "eval", "unknown"]

_TRAIN_WORDS = frozenset({"train", "training", "trainloader", "trainset", "trn", "tr"})
_EVAL_WORDS = frozenset(
    "val valid validation test testing eval evaluate evaluation dev infer inference predict "
    "prediction predictor valloader testloader testset valset holdout benchmark".split()
)


@dataclass(eq=False)
class Dataset:
    """A dataset class of the project."""

    cls: Scope
    iterable: bool
    evaluator: Evaluator
    loaders: list[Loader] = field(default_factory=list)
    kept: tuple[Kept, ...] | None = None  # for ``kept_from_setup``

    @cached_property
    def item_path(self) -> Path:
        return item_path(self.evaluator, self.cls)

    @cached_property
    def setup_path(self) -> Path:
        return setup_path(self.evaluator, self.cls)

    @property
    def workers(self) -> Literal["some", "none", "unknown"]:
        """Whether its loaders have workers: none only where every loader that is seen has none."""
        kinds = set(self._workers.values())
        if "some" in kinds:
            return "some"
        return "none" if kinds == {"none"} else "unknown"

    @property
    def loaders_with_workers(self) -> tuple[Loader, ...]:
        """Its loaders that have workers, or a number that is not known to be 0."""
        return tuple(loader for loader, workers in self._workers.items() if workers != "none")

    @cached_property
    def _workers(self) -> dict[Loader, Workers]:
        out: dict[Loader, Workers] = {}
        for loader in self.loaders:
            derived = [c for c in loader.dataset_classes if Ref(self.cls) in self.evaluator.lineage(c)]
            out[loader] = workers_over(loader, derived)
        return out

    @property
    def calls(self) -> tuple[PathCall, ...]:
        """The calls of the item path."""
        return self.item_path.calls


class Program:
    """The linked facts of a project. Rules ask it questions; it never runs the code.

    ``python`` is the lowest version that the project is for, ``start_method`` how its settings say that workers start.
    """

    def __init__(
        self, project: Project, python: tuple[int, int] = (3, 10), start_method: str | None = None
    ) -> None:
        self.project = project
        self.python = python
        self.start_method = start_method
        self.evaluator = Evaluator(project)
        self.loaders: tuple[Loader, ...] = ()
        self.consumption = Consumption(self.evaluator, ())
        self._transfers: dict[Use, list[Transfer]] = {}
        self._link()

    def _link(self) -> None:
        """Read the files that loaders reach, until no more are reached; then find loaders, uses and datasets."""
        for _ in range(4):
            new = self._read_on()
            if self.evaluator.callers.settled(new):
                break
            self.evaluator = Evaluator(self.project)
        self.consumption.find(self.scopes())
        self.uses_of: dict[Loader, list[Use]] = {loader: [] for loader in self.loaders}
        for use in self.consumption.uses:
            for loader in use.loaders:
                self.uses_of[loader].append(use)

    def _read_on(self) -> list[Module]:
        """Read the files of the functions that are handed loaders, of what these hand them on to, and so on."""
        known = set(self.project.loaded)
        found: dict[Module, list[Loader]] = {}
        while new := [module for module in self.project.loaded if module not in found]:
            for module in new:
                found[module] = find_loaders(self.evaluator, module.scopes)
            read = [module for module in self.project.loaded if module in found]
            self.loaders = tuple(loader for module in read for loader in found[module])
            self.consumption = Consumption(self.evaluator, self.loaders)
            # Files read before may hold what the new loaders give.
            for module in read if any(found[module] for module in new) else new:
                for scope in module.scopes:
                    self._follow_loaders(scope)
        return [module for module in self.project.loaded if module not in known]

    def _follow_loaders(self, scope: Scope) -> None:
        for site in scope.calls:
            for argument in (*site.call.args, *[value for _, value in site.call.keywords]):
                if may_hold_loader(argument) and self.consumption.holds_loader(argument, scope):
                    self.evaluator.values(site.call.func, scope)
                    break

    def scopes(self) -> list[Scope]:
        """Every scope of the files read so far, in order of path and place."""
        return [scope for module in self.project.loaded for scope in module.scopes]

    @property
    def modules(self) -> list[Module]:
        return self.project.loaded

    def is_imported(self, module: Module) -> bool:
        """Whether another file of the project imports the module."""
        return bool(self._importers.get(module.path, set()) - {module.path})

    @cached_property
    def _importers(self) -> dict[str, set[str]]:
        out: dict[str, set[str]] = {}
        for module in self.modules:
            for scope in module.scope.descend():
                for binding in (b for bindings in scope.bindings.values() for b in bindings):
                    if binding.kind == "import" and isinstance(binding.node, Import):
                        for find in (self.project.target, self.project.submodule):
                            out.setdefault(find(binding.node, module.path) or "", set()).add(module.path)
        return out

    @cached_property
    def datasets(self) -> tuple[Dataset, ...]:
        """The dataset classes of the project: by their bases, or because a loader is given one."""
        given: dict[Scope, list[Loader]] = {}
        for loader in self.loaders:
            for cls in loader.dataset_classes:
                given.setdefault(cls, []).append(loader)
        derived: dict[Scope, list[Loader]] = {}
        for cls, theirs in given.items():
            for base in {v.scope for v in self.evaluator.lineage(cls) if isinstance(v, Ref)} - {cls}:
                derived.setdefault(base, []).extend(theirs)
        out: list[Dataset] = []
        for scope in self.scopes():
            if scope.kind != "class":
                continue
            iterable = self.evaluator.is_a(scope, names.ITERABLE_DATASETS)
            if not iterable and not self.evaluator.is_a(scope, names.DATASETS) and scope not in given:
                continue
            loaders = [*given.get(scope, ()), *derived.get(scope, ())]
            out.append(Dataset(scope, iterable, self.evaluator, loaders))
        return tuple(out)

    @cached_property
    def _dataset_of(self) -> dict[Scope, Dataset]:
        return {dataset.cls: dataset for dataset in self.datasets}

    def dataset_of(self, cls: Scope) -> Dataset | None:
        return self._dataset_of.get(cls)

    def callees(self, site: CallSite) -> tuple[str, ...]:
        """The full names of other packages' callables that a call may reach."""
        return callee_names(self.evaluator, site.call, site.scope)

    def values(self, expr: Expr, scope: Scope) -> Values:
        return self.evaluator.values(expr, scope)

    def functions_given(self, loader: Loader, name: str) -> list[Scope]:
        """The project's functions that may be given as an argument of a loader (``collate_fn``, ``worker_init_fn``)."""
        out: list[Scope] = []
        for value in loader.arg(name):
            if isinstance(value, PartialRef):
                value = value.func
            if isinstance(value, Ref) and value.scope.kind in ("function", "lambda"):
                out.append(value.scope)
            elif isinstance(value, (Made, SelfOf)):
                cls = value.what if isinstance(value, Made) else value.scope
                if isinstance(cls, Scope) and cls.kind == "class":
                    method = self.evaluator.method(cls, "__call__")
                    if method is not None:
                        out.append(method)
        return list(dict.fromkeys(out))

    def function_path(self, function: Scope, kind: str = "batch") -> Path:
        return function_path(self.evaluator, function, kind)

    # -- roles and frequency ----------------------------------------------------------------------------------------

    def transfers(self, use: Use) -> list[Transfer]:
        """The device transfers of the batches of a use; worked out once."""
        if use not in self._transfers:
            self._transfers[use] = transfers(self.evaluator, use)
        return self._transfers[use]

    def role(self, loader: Loader) -> Role:
        """Whether a loader feeds training or evaluation: by what its loops do, else by the names around it."""
        if loader.kind == "trainer":
            return "train"
        hook = lightning_hook(self.evaluator, loader.scope)
        if hook is not None:
            return "train" if hook == "train" else "eval"
        roles = {self.use_role(use) for use in self.uses_of[loader] if use.kind in ("for", "next")}
        named = _named_role(loader.words) or _named_role(loader.distant_words)
        if "train" in roles and named != "eval":
            return "train"
        if roles == {"eval"}:
            return "eval"
        return named or _named_role(loader.function_words) or "unknown"

    def use_role(self, use: Use) -> Role:
        """What a loop does with the batches: a backward pass or an optimizer's step makes it training."""
        if use.kind == "hook":
            return "unknown"
        if self._trains(use.scope, use.inner, 0, set()):
            return "train"
        if self.under_no_grad(use.scope, use.block, use.inner):
            return "eval"
        return "unknown"

    def _trains(self, scope: Scope, inner: Block | None, depth: int, seen: set[int]) -> bool:
        if id(scope) in seen:
            return False
        seen.add(id(scope))
        called = [
            site.call.func
            for site in scope.calls
            if inner is None or (site.block is not None and inner in site.block.chain())
        ]
        if any(map(_is_training_step, called)):
            return True
        for func in called if depth < 3 else ():
            for value in self.evaluator.values(func, scope):
                if isinstance(value, Ref) and value.scope.kind == "function":
                    if self._trains(value.scope, None, depth + 1, seen):
                        return True
        return False

    def under_no_grad(self, scope: Scope, block: Block | None, inner: Block | None = None) -> bool:
        """The place runs without gradients: under ``torch.no_grad()``, in a decorated function, after ``eval()``."""
        if self._without_gradients(scope, block, 0):
            return True
        for site in scope.calls:
            if inner is not None and site.block is not None and inner in site.block.chain():
                parents = site.block.chain()
                if any(b.kind == "with" and any(_no_grad(e) for e, _ in b.node.items) for b in parents):
                    return True
            func = site.call.func
            if isinstance(func, Attr) and func.attr == "eval" and not site.call.args and site.block is None:
                return True
        return False

    def _without_gradients(self, scope: Scope, block: Block | None, depth: int) -> bool:
        """A ``with`` around the place says so, a decorator of its function, or those of all that call the function."""
        for around in block.chain() if block is not None else ():
            if around.kind == "with" and any(_no_grad(e) for e, _ in around.node.items):
                return True
        if any(_no_grad(d) for d in getattr(scope.node, "decorators", ())):
            return True
        callers = self.evaluator.callers.of(scope) if scope.kind == "function" and depth < 3 else []
        return bool(callers) and all(
            self._without_gradients(site.scope, site.block, depth + 1) for site, _ in callers
        )

    def is_repeated(self, loader: Loader) -> bool:
        """The program consumes one and the same loader more than once, in a loop that is seen."""
        return any(
            self.consumption.epoch_loops(use, loader, sure=True)
            for use in self.uses_of[loader]
            if use.kind in ("for", "comp", "next", "list")
        )

    def reads_files(self, loader: Loader) -> PathCall | str | None:
        """The evidence that items are read or decoded from files: a call of the item path, or a known dataset's name."""
        for cls in loader.dataset_classes:
            dataset = self.dataset_of(cls)
            if dataset is None:
                continue
            for call in dataset.calls:
                if not call.lazy and any(reads_file(name) for name in call.names):
                    return call
            for name in _foreign_bases(self.evaluator, cls):
                if name in names.READS_FILES:
                    return name
        for name in loader.dataset_names:
            if name in names.READS_FILES:
                return name
        return None

    def in_memory(self, loader: Loader) -> bool:
        """Every dataset of the loader is known to sit in memory."""
        known = [
            n in names.IN_MEMORY or n.startswith("torch_geometric.datasets.") for n in loader.dataset_names
        ]
        return bool(known) and all(known) and not loader.dataset_classes


def _named_role(words: frozenset[str]) -> Role | None:
    named_train, named_eval = bool(words & _TRAIN_WORDS), bool(words & _EVAL_WORDS)
    if named_train == named_eval:
        return None
    return "train" if named_train else "eval"


def reads_file(name: str) -> bool:
    """A callable that reads or decodes a file."""
    return (
        name in names.DECODERS
        or name in names.WHOLE_READERS
        or name in names.CONTAINERS
        or name
        in (
            "builtins.open",
            "io.open",
            "pathlib.Path.read_bytes",
            "pathlib.Path.read_text",
            "pathlib.Path.open",
        )
    )


def _foreign_bases(evaluator: Evaluator, cls: Scope) -> Iterable[str]:
    for value in evaluator.lineage(cls):
        name = getattr(value, "name", None)
        if isinstance(name, str):
            yield name


def _is_training_step(func: Expr) -> bool:
    """``loss.backward()``, ``optimizer.step()``: by name."""
    if not isinstance(func, Attr):
        return False
    if func.attr == "step":
        return "opt" in dotted(func.base).lower()
    return func.attr in ("backward", "manual_backward", "train_step", "training_step", "zero_grad")


def _no_grad(expr: Expr) -> bool:
    name = dotted(expr.func) if isinstance(expr, Call) else dotted(expr)
    return name.rpartition(".")[2] in ("no_grad", "inference_mode")


def place_lines(scope: Scope, at: At) -> tuple[int, int]:
    """The lines of the function that a place lies in; at module level those of the place."""
    while scope.kind == "lambda" and scope.parent is not None:
        scope = scope.parent
    if scope.kind == "function":
        return (scope.at[0], scope.at[2])
    return (at[0], at[2])
