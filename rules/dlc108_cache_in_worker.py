"""A worker keeps every sample that it has loaded.

Each worker is a process of its own: it fills a store of its own, so the memory grows up to the data set
times the number of workers, and without `persistent_workers=True` all of it is lost at the end of each
epoch. Samples that are written into a list or dict made in `__init__` are kept in the same way. Source:
documentation of `DataLoader`; yolov5 commit 8cc449636 (a decoded image kept per item).

**Found:** the item path stores what it loaded in a container of `self` or of the module, under the item's key, with no
bound; a cache decorator without a bound on a method that loads.

**Left alone:** loaders without workers; caches of handles, and of transforms by the rate of the sound;
bounded caches (`maxsize`, a comparison of the length, `pop`); arrays and shared tensors made beforehand;
counters.

**Cure:** `functools.lru_cache(maxsize=...)` on a function that loads, or an array in shared memory
(`torch.Tensor.share_memory_`). **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Call, Const, Expr, Mapping, Name, Op, Seq, Sub, dotted, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemFunction, attribute_of_self, item_functions, opens
from dlcheck.program.program import Program
from dlcheck.program.scope import Binding, Block, Scope, Store
from dlcheck.program.values import Group, Made, Table, Value

_SHRINKS = frozenset({"pop", "popitem", "clear", "popleft", "move_to_end"})
# Of a manager: ``manager.list()``. All workers see one store.
_SHARED = frozenset({"list", "dict", "Array"})
_UNBOUNDED = frozenset({"cache", "functools.cache"})
_LOADERS = frozenset({"tokenizer", "tokenize", "tok", "encode", "load", "read", "decode", "imread", "open"})
# Where the rate stands in what readers of sound give.
_RATES = {"torchaudio.load": 1, "soundfile.read": 1, "librosa.load": 1, "scipy.io.wavfile.read": 0}
_OWN_STORES = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "collections.defaultdict",
        "collections.OrderedDict",
        "pickle.load",
        "json.load",
    }
)


def check(program: Program) -> Iterator[Report]:
    alone = {dataset.item_path for dataset in program.datasets if dataset.workers == "none"}
    for function in item_functions(program):
        if all(way.path in alone for way in function.ways):
            continue  # the main process loads, and keeps what it loaded
        yield from _stores(function)
        yield from _decorated(function)


def _stores(function: ItemFunction) -> Iterator[Report]:
    """One report for what is stored side by side: the parts of a sample are one cache."""
    scope = function.scope
    together: dict[Block | None, dict[At, str]] = {}
    for store in scope.stores:
        name = _container(store, scope)
        if not name or store.augmented or _bounded(scope, name) or _within_limit(store):
            continue
        if _own_store(function, name) and _loaded(function, store.value):
            together.setdefault(store.block, {}).setdefault(store.at, name)
    for places in together.values():
        (at, name), *others = places.items()
        yield Report(
            scope,
            at,
            f"each worker keeps every sample that it loads in `{name}`: memory grows to the data set times the number of "
            "workers, and is lost with the worker",
            help="bound the cache (`functools.lru_cache(maxsize=...)`), or fill one shared tensor before the workers start",
            also=tuple((scope, other) for other, _ in others),
        )


def _container(store: Store, scope: Scope) -> str:
    """``self.x`` for ``self.x[key] = value`` and ``self.x[key][...] = value``, ``x`` for that of the module."""
    if store.index is None:
        return ""
    base = store.base
    keys = [store.index]
    while isinstance(base, Sub):
        keys.append(base.index)
        base = base.base
    if all(isinstance(key, Const) for key in keys) or any(_goes_round(key, scope) for key in keys):
        return ""
    return _held(base, scope)


def _held(expr: Expr, scope: Scope) -> str:
    """``self.x``, or the ``x`` of the module: what lives as long as the worker."""
    attr = attribute_of_self(expr, scope)
    if attr:
        return f"self.{attr}"
    if isinstance(expr, Name) and (expr.id not in scope.bindings or expr.id in scope.globals):
        return expr.id if expr.id in scope.module.scope.bindings else ""
    return ""


def _goes_round(key: Expr, scope: Scope) -> bool:
    """``i % 8``: a ring of so many places. What wraps at the length of the data set (``i % len(self.files)``) is none."""
    bindings = scope.bindings.get(key.id, ()) if isinstance(key, Name) else ()
    for expr in (key, *(b.value for b in bindings if b.kind == "assign" and b.value is not None)):
        if isinstance(expr, Op) and expr.op == "%":
            if not isinstance(expr.operands[0], Const) and not isinstance(expr.operands[1], Call):
                return True
    return False


def _bounded(scope: Scope, name: str) -> bool:
    """Some method of the class (or function of the module) takes entries out, starts afresh, or looks at their number."""
    of_class = name.startswith("self.") and scope.owner is not None
    methods = scope.owner.all_functions if of_class and scope.owner is not None else scope.module.scopes
    if not of_class and len(scope.module.scope.bindings.get(name, ())) > 1:
        return True
    for method in methods:
        if method.name != "__init__" and any(
            f"self.{s.attr}" == name and isinstance(s.value, (Seq, Mapping)) and not s.value.items
            for s in method.stores
        ):
            return True
        for site in method.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in _SHRINKS and _held(func.base, method) == name:
                return True
        for test, _ in method.tests:
            for part in walk(test):
                if _length_of(part, name, method):
                    return True
    return False


def _within_limit(store: Store) -> bool:
    """Stored only while a size is below a limit: ``if self.used + size < self.limit:``."""
    return any(
        around.kind == "if"
        and any(isinstance(part, Op) and part.op in ("<", "<=", ">", ">=") for part in walk(around.node.test))
        for around in (store.block.chain() if store.block is not None else ())
    )


def _length_of(expr: Expr, name: str, scope: Scope) -> bool:
    asked = isinstance(expr, Call) and dotted(expr.func) == "len" and len(expr.args) == 1
    return asked and isinstance(expr, Call) and _held(expr.args[0], scope) == name


def _own_store(function: ItemFunction, name: str) -> bool:
    """It is known to be a plain list or dict of this process."""
    owner = function.scope.owner
    if not name.startswith("self."):
        return any(map(_is_plain, function.evaluator.module_name(function.scope.module, name)))
    if owner is None:
        return False
    attr = name.removeprefix("self.")
    for method in owner.all_functions:
        for store in method.stores:
            if store.attr != attr:
                continue
            if isinstance(store.value, Call) and isinstance(store.value.func, Attr):
                if store.value.func.attr in _SHARED:
                    return False
            elif isinstance(store.value, Op) and isinstance(store.value.operands[0], Seq):
                return True  # [None] * n
    return any(map(_is_plain, function.evaluator.instance_attribute(owner, attr)))


def _is_plain(value: Value) -> bool:
    return isinstance(value, (Group, Table)) or (isinstance(value, Made) and value.what in _OWN_STORES)


def _loaded(function: ItemFunction, value: Expr, depth: int = 0) -> bool:
    """The value is read, decoded or tokenised for this item; not a handle."""
    if depth > 4 or not function.varies(value):
        return False
    scope = function.scope
    for part in walk(value):
        if isinstance(part, Call):
            called = callee_names(function.evaluator, part, scope)
            if any(n in names.CONTAINERS or n in names.PLAIN_OPENERS for n in called):
                return False
            if any(n in names.DECODERS or opens(n) for n in called):
                return True
            last = part.func.attr if isinstance(part.func, Attr) else dotted(part.func)
            if any(word in last.lower().split("_") for word in _LOADERS):
                return True
        elif isinstance(part, Name):
            for binding in scope.bindings.get(part.id, ()):
                if (
                    binding.kind in ("assign", "unpack")
                    and binding.value is not None
                    and binding.value is not value
                    and not _is_rate(function, binding)
                ):
                    if _loaded(function, binding.value, depth + 1):
                        return True
    return False


def _is_rate(function: ItemFunction, binding: Binding) -> bool:
    """``rate`` of ``sound, rate = torchaudio.load(path)``: few files differ in it."""
    if binding.kind != "unpack" or not isinstance(binding.value, Call):
        return False
    called = callee_names(function.evaluator, binding.value, function.scope)
    return any(_RATES.get(name) == binding.index for name in called)


def _decorated(function: ItemFunction) -> Iterator[Report]:
    """``@lru_cache(maxsize=None)`` on a function that items are loaded by."""
    scope = function.scope
    if scope.kind != "function" or not any(p.name != scope.self_name for p in scope.params):
        return
    varying = any(way.step.varying - {scope.self_name} for way in function.ways)
    reads = any(
        n in names.DECODERS or n in names.WHOLE_READERS
        for site in scope.calls
        for n in callee_names(function.evaluator, site.call, scope)
    )
    if not varying or not reads:
        return
    for decorator in scope.node.decorators:
        if _is_unbounded(decorator):
            yield Report(
                scope,
                decorator.at,
                f"the cache of `{scope.name}` has no bound: each worker keeps every sample that it loads",
                help="give it a bound: `@lru_cache(maxsize=...)`",
            )


def _is_unbounded(decorator: Expr) -> bool:
    if not isinstance(decorator, Call):
        return dotted(decorator) in _UNBOUNDED
    if dotted(decorator.func).rpartition(".")[2] != "lru_cache":
        return False
    sizes = [v for k, v in decorator.keywords if k == "maxsize"] + list(decorator.args[:1])
    return bool(sizes) and isinstance(sizes[0], Const) and sizes[0].value is None


RULE = Rule(
    code="DLC108",
    name="cache-in-worker",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("memory",),
    found=(
        """
        import pickle
        from torch.utils.data import Dataset

        class Regions(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.features = [None] * len(paths)
                self.boxes = [None] * len(paths)
            def __getitem__(self, index):
                if self.features[index] is None:
                    with open(self.paths[index], "rb") as f:
                        item = pickle.load(f)
                    self.features[index] = item["features"]  # <- DLC108
                    self.boxes[index] = item["boxes"]
                return self.features[index], self.boxes[index]
        """,
        """
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.cache = {}
            def __getitem__(self, i):
                if i not in self.cache:
                    self.cache[i] = Image.open(self.paths[i]).convert("RGB")  # <- DLC108
                return self.cache[i]
        """,
        """
        import cv2
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.samples = [[p, None] for p in paths]
            def __getitem__(self, i):
                path, image = self.samples[i]
                if image is None:
                    image = self.samples[i][1] = cv2.imread(path)  # <- DLC108
                return image
        """,
        """
        import json
        import pickle
        from torch.utils.data import Dataset

        class Captions(Dataset):
            def __init__(self, path, tokenizer):
                with open(path, "rb") as f:
                    self.data = pickle.load(f)
                self.tokenizer = tokenizer
            def __getitem__(self, i):
                caption = self.data[i]
                if isinstance(caption, str):
                    caption = self.tokenizer(caption)["input_ids"]
                    self.data[i] = caption  # <- DLC108
                return caption
        """,
    ),
    clean=(
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Shards(Dataset):
            def __init__(self, paths, limit):
                self.paths, self.limit, self.used = paths, limit, 0
                self.shards = [None] * len(paths)
            def __len__(self):
                return len(self.paths)
            def __getitem__(self, index):
                if self.shards[index] is not None:
                    return self.shards[index]
                shard = np.load(self.paths[index])
                if self.used + shard.nbytes < self.limit:
                    self.shards[index] = shard
                    self.used += shard.nbytes
                return shard
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, index):
                self.index = index
                self.files = {}
            def __getitem__(self, i):
                path, row = self.index[i]
                if path not in self.files:
                    self.files[path] = h5py.File(path, "r")
                return self.files[path]["x"][row]
        """,
        """
        from collections import OrderedDict
        import numpy as np
        from torch.utils.data import Dataset

        class Bounded(Dataset):
            def __init__(self, files):
                self.files = files
                self.cache = OrderedDict()
            def __getitem__(self, i):
                if i not in self.cache:
                    self.cache[i] = np.load(self.files[i])
                    if len(self.cache) > 100:
                        self.cache.popitem(last=False)
                return self.cache[i]
        """,
        """
        from functools import lru_cache
        import numpy as np
        from torch.utils.data import Dataset

        class Arrays(Dataset):
            def __init__(self, files):
                self.files = files
            @lru_cache(maxsize=8)
            def load(self, part):
                return np.load(self.files[part])
            def __getitem__(self, i):
                return self.load(i // 100)[i % 100]
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Shared(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.store = torch.zeros(len(paths), 3, 64, 64).share_memory_()
            def __getitem__(self, i):
                self.store[i] = torch.load(self.paths[i])
                return self.store[i]
        """,
    ),
)
