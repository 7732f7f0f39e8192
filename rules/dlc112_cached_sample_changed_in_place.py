"""The item path changes a sample that the dataset keeps in memory.

Indexing a list gives the object itself, and indexing an array gives a view: what is changed in place is
changed for all later epochs too. Augmentations add up, so that samples drift; each worker drifts on its
own. Source: NumPy documentation, *Copies and views*.

**Found:** in the item path, an element of an in-memory store of the dataset is changed, there or in a helper
that is handed it: assignment to a part of it, a torch method that ends in `_`, `random.shuffle`, list
methods, an `out=` argument.

**Left alone:** copies (`.copy()`, `.clone()`, `copy.deepcopy`, arithmetic); elements of files, of other
datasets and of stores of an unknown kind; assignments of a new entry of a dict that do not read the old
one; what is normalised, clipped or sorted in its place, as the second time changes nothing.

**Cure:** copy before changing (`x = self.data[i].copy()`). **Versions:** all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dlcheck.facts.model import At, Attr, Call, Const, Expr, Name, Sub, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.callers import last_name
from dlcheck.program.items import ItemFunction, attribute_of_self, item_functions
from dlcheck.program.program import Program
from dlcheck.program.reaching import exclusive, reaching
from dlcheck.program.scope import Binding, Scope, Store
from dlcheck.program.values import Group, Made, Table

_STORES = frozenset(
    {
        "numpy.load", "numpy.array", "numpy.asarray", "numpy.stack", "numpy.concatenate", "numpy.zeros", "torch.load",
        "torch.stack", "torch.cat", "torch.tensor", "torch.from_numpy", "torch.zeros", "pickle.load",
    }
)  # fmt: skip
_LIST_METHODS = frozenset({"append", "extend", "insert", "reverse", "remove"})
_SHUFFLES = frozenset({"random.shuffle", "numpy.random.shuffle"})
_OF_ARRAYS = frozenset(
    {"shape", "ndim", "transpose", "permute", "T", "reshape", "view", "flatten", "astype", "mean", "std"}
)
_HARMLESS = frozenset({"requires_grad_", "share_memory_", "pin_memory_"})


def check(program: Program) -> Iterator[Report]:
    functions = {f.scope: f for f in item_functions(program) if all(w.path.kind == "item" for w in f.ways)}
    for function in functions.values():
        for kept in (*_kept_samples(function), *_handed_over(function, functions)):
            at = next((at for at in _changes(function, kept.name) if kept.holds(function.scope, at)), None)
            if at is not None:
                yield Report(
                    function.scope,
                    at,
                    f"`{kept.name}` is the sample that `self.{kept.attr}` keeps, not a copy: this change stays, "
                    "and adds up over the epochs",
                    help=f"copy before changing: `{kept.name} = {kept.name}.copy()` (`.clone()` for a tensor)",
                )


@dataclass(frozen=True, eq=False)
class _Kept:
    """A name that stands for a sample which ``self.attr`` keeps, by some of its bindings."""

    name: str
    attr: str
    bindings: list[Binding]

    def holds(self, scope: Scope, at: At) -> bool:
        """Nothing else can be bound to the name at a place, but for the other branch of an ``if``."""
        found = [b for b in reaching(scope.bindings[self.name], scope, at) if b.kind != "augment"]
        kept = [b for b in found if b in self.bindings]
        return bool(kept) and all(b in kept or _apart(b, kept) for b in found)


def _kept_samples(function: ItemFunction) -> Iterator[_Kept]:
    """The names that stand for an element of a store of the dataset, or for a part of one."""
    for name, bindings in function.scope.bindings.items():
        attrs = {b: _element_of(function, b.value) for b in bindings if b.kind in ("assign", "unpack")}
        kept = [b for b, attr in attrs.items() if attr]
        if len({attrs[b] for b in kept}) == 1:
            yield _Kept(name, attrs[kept[0]], kept)


def _apart(binding: Binding, kept: list[Binding]) -> bool:
    """It stands in the other branch of an ``if``."""
    return all(b.block is not None and exclusive(binding.block, list(b.block.chain())) for b in kept)


def _handed_over(function: ItemFunction, functions: dict[Scope, ItemFunction]) -> Iterable[_Kept]:
    """The parameters that are given a kept sample: ``self.augment(self.images[i])``."""
    out: dict[str, _Kept] = {}
    for site, skipped in function.evaluator.callers.of(function.scope):
        caller = functions.get(site.scope)
        if caller is None:
            continue
        for argument, param in zip(site.call.args, function.scope.params[skipped:], strict=False):
            attr = _kept_by(caller, argument)
            if attr:
                given = [b for b in function.scope.bindings[param.name] if b.kind == "param"]
                out[param.name] = _Kept(param.name, attr, given)
    return out.values()


def _kept_by(function: ItemFunction, expr: Expr) -> str:
    """The attribute that keeps what an expression stands for."""
    if not isinstance(expr, Name):
        return _element_of(function, expr)
    named = (kept for kept in _kept_samples(function) if kept.name == expr.id)
    return next((kept.attr for kept in named if kept.holds(function.scope, expr.at)), "")


def _element_of(function: ItemFunction, value: Expr | None) -> str:
    if (
        not isinstance(value, Sub)
        or not isinstance(value.index, (Name, Sub))
        or not function.varies(value.index)
    ):
        return ""
    attr = attribute_of_self(value.base, function.scope)
    owner = function.scope.owner
    if not attr or owner is None:
        return ""
    for kept in function.evaluator.instance_attribute(owner, attr):
        if isinstance(kept, Table) or (isinstance(kept, Group) and kept.kind == "list"):
            return attr
        if isinstance(kept, Made) and kept.what in _STORES:
            mapped = any(key == "mmap_mode" for key, _ in kept.call.keywords)
            return "" if mapped else attr
    return ""


def _changes(function: ItemFunction, name: str) -> Iterator[At]:
    """Where the object that a name stands for is changed."""
    scope = function.scope
    for binding in scope.bindings[name]:
        # Of a number, ``+=`` makes a new one.
        if binding.kind == "augment" and _is_array(function, name):
            yield binding.at
    for store in scope.stores:
        if store.attr is None and _names(store.base, name):
            harmless = (
                _new_key(store.value, store.index, name) or _settles(store, function) or _evens_out(store)
            )
            if store.augmented or not harmless:
                yield store.at
    for site in scope.calls:
        func, call = site.call.func, site.call
        if isinstance(func, Attr) and _names(func.base, name):
            torch_method = (
                func.attr.endswith("_") and not func.attr.endswith("__") and func.attr not in _HARMLESS
            )
            if torch_method or func.attr in _LIST_METHODS:
                yield call.at
        if call.args and _names(call.args[0], name):
            if any(n in _SHUFFLES for n in callee_names(function.evaluator, call, scope)):
                yield call.at
        if any(key == "out" and _names(value, name) for key, value in call.keywords):
            yield call.at


def _is_array(function: ItemFunction, name: str) -> bool:
    """The name is used as an array: it has a shape, is sliced, or becomes a tensor."""
    scope = function.scope
    if any(_names(a.base, name) and a.attr in _OF_ARRAYS for a, _ in scope.attrs):
        return True
    if any(isinstance(sub.base, Name) and sub.base.id == name for sub, _ in scope.subs):
        return True
    return any(
        "torch.from_numpy" in callee_names(function.evaluator, site.call, scope)
        for site in scope.calls
        if site.call.args and _names(site.call.args[0], name)
    )


def _settles(store: Store, function: ItemFunction) -> bool:
    """``x[x < 0] = 0``: done once, it is done for good; only a mask that is drawn adds up."""
    if not isinstance(store.value, Const) or store.index is None:
        return False
    scope = function.scope
    parts = list(walk(store.index))
    for part in walk(store.index):
        bindings = scope.bindings.get(part.id, ()) if isinstance(part, Name) else ()
        parts += [inner for b in bindings if b.value is not None for inner in walk(b.value)]
    called = (n for p in parts if isinstance(p, Call) for n in callee_names(function.evaluator, p, scope))
    return not any("rand" in name for name in called)


def _evens_out(store: Store) -> bool:
    """``x[:, :3] = normalize(x[:, :3])``: the second time it may well change nothing."""
    name = last_name(store.value.func).lower() if isinstance(store.value, Call) else ""
    return any(word in name for word in ("normal", "clip", "clamp", "sort"))


def _names(expr: Expr, name: str) -> bool:
    while isinstance(expr, Sub):
        expr = expr.base
    return isinstance(expr, Name) and expr.id == name


def _new_key(value: Expr, index: Expr | None, name: str) -> bool:
    """``sample["image"] = read(...)``: an entry that is set to the same thing each time."""
    text = getattr(index, "value", None)
    if not isinstance(text, str):
        return False
    for part in walk(value):
        if isinstance(part, Sub) and _names(part.base, name) and getattr(part.index, "value", None) == text:
            return False
    return True


RULE = Rule(
    code="DLC112",
    name="cached-sample-changed-in-place",
    severity="error",
    check=check,
    page=__doc__ or "",
    causes=(),
    found=(
        """
        import numpy as np, torch
        from torch.utils.data import Dataset
        class D(Dataset):
            def __init__(self, path): self.data = np.load(path)
            def __len__(self): return len(self.data)
            def __getitem__(self, i):
                x = self.data[i]
                x += np.random.randn(*x.shape)  # <- DLC112
                return torch.from_numpy(x)
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Noisy(Dataset):
            def __init__(self, path):
                self.data = np.load(path)
            def __getitem__(self, i):
                x = self.data[i]
                x[np.random.rand(*x.shape) < 0.1] = 0  # <- DLC112
                return x
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Jitter(Dataset):
            def __init__(self, path):
                self.images = torch.stack(torch.load(path))
            def __getitem__(self, i):
                image = self.images[i]
                image.mul_(0.9 + 0.2 * torch.rand(1))  # <- DLC112
                return image
        """,
        """
        import random
        from torch.utils.data import Dataset

        class Sets(Dataset):
            def __init__(self, lines):
                self.sets = [line.split() for line in lines]
            def __getitem__(self, i):
                words = self.sets[i]
                random.shuffle(words)  # <- DLC112
                return words[:3]
        """,
        """
        import pickle
        from torch.utils.data import Dataset

        class Boxes(Dataset):
            def __init__(self, path, scale):
                with open(path, "rb") as f:
                    self.records = pickle.load(f)
                self.scale = scale
            def __getitem__(self, i):
                record = self.records[i]
                record["boxes"] = record["boxes"] * self.scale  # <- DLC112
                return record
        """,
        """
        import random
        import cv2
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, files):
                self.images = [cv2.imread(f) for f in files]
            def _cut_out(self, image):
                x, y = random.randint(0, 50), random.randint(0, 50)
                image[y : y + 16, x : x + 16] = 0  # <- DLC112
                return image
            def __getitem__(self, i):
                return self._cut_out(self.images[i])
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, files):
                self.files = files
                self.cache = {}
            def __getitem__(self, i):
                if i not in self.cache:
                    self.cache[i] = np.load(self.files[i])
                volume = self.cache[i]
                volume *= np.random.uniform(0.9, 1.1)  # <- DLC112
                return volume.astype(np.float32)
        """,
    ),
    clean=(
        """
        import random
        import cv2
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, files):
                self.images = [cv2.imread(f) for f in files]
            def _cut_out(self, image):
                x = random.randint(0, 50)
                image[:, x : x + 16] = 0
                return image
            def __getitem__(self, i):
                return self._cut_out(self.images[i].copy())
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Noisy(Dataset):
            def __init__(self, path):
                self.data = np.load(path)
            def __getitem__(self, i):
                x = self.data[i].copy()
                x[0] = 0
                return x
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Normed(Dataset):
            def __init__(self, path):
                self.data = np.load(path)
            def __getitem__(self, i):
                x = self.data[i]
                x = x / 255.0
                x[0] = 0
                return x
        """,
        """
        from torch.utils.data import Dataset

        class Wrapped(Dataset):
            def __init__(self, inner):
                self.inner = inner
            def __getitem__(self, i):
                sample = self.inner[i]
                sample["weight"] = 1.0
                return sample
        """,
        """
        import copy
        import pickle
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, path):
                with open(path, "rb") as f:
                    self.records = pickle.load(f)
            def __getitem__(self, i):
                record = copy.deepcopy(self.records[i])
                record["boxes"] = record["boxes"] * 2
                return record
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, path):
                self.volumes = h5py.File(path, "r")["x"]
            def __getitem__(self, i):
                x = self.volumes[i]
                x[0] = 0
                return x
        """,
    ),
)
