"""Every item opens one and the same file again.

Opening an HDF5 file, an archive or a database costs milliseconds (headers, indexes, locks) before the first
byte of the item is read, and `np.load`, `torch.load` or `pd.read_csv` read the whole file besides. The path
does not depend on the item, so the work is the same each time. Source: documentation of h5py, lmdb,
zipfile; torch issue 11929.

**Found:** in the item path (`__getitem__` and what it calls, collate functions), an opener or whole-file
reader whose path is the same for every item.

**Left alone:** a file opened lazily, once per worker (`if self.file is None`, `lru_cache`): that is the
cure; a path that varies with the item; a plain text file that is only sought in (low confidence); memory
maps.

**Cure:** open the file at first use and keep it on `self`, so that each worker has a handle of its own;
read small tables in `__init__`. **Versions:** all.
"""

from collections.abc import Callable, Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.items import ItemCall, argument, item_calls, short
from dlcheck.program.program import Program
from dlcheck.program.values import Made

_FROM_HANDLE = frozenset({"json.load", "pickle.load", "yaml.load", "yaml.safe_load"})
_PATH_NAMES = (
    "name",
    "file",
    "path",
    "filename",
    "filepath_or_buffer",
    "database",
    "f",
    "fp",
    "store",
    "fname",
    "uri",
)


_OPENERS = names.CONTAINERS.keys() | names.WHOLE_READERS.keys() | names.PLAIN_OPENERS
# Methods of ``pathlib.Path``.
_OF_PATH = frozenset({"read_text", "read_bytes"})
# Reading a file from its beginning, whatever the item.
_READS = frozenset({"readlines", "read", "readline"})


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        if "linecache.getline" in item.names:
            continue  # it keeps the file in memory
        if not item.repeats or _mapped(item) or _writes(item):
            continue
        path = argument(item.call, 0, *_PATH_NAMES)
        name = next((n for n in item.names if n in _OPENERS), None)
        if name is None and isinstance(item.call.func, Attr) and item.call.func.attr in _OF_PATH:
            name, path = item.call.func.attr, item.call.func.base
        if name is None or path is None or not item.fixed(path):
            continue
        at = item.call.at
        if name in names.PLAIN_OPENERS and not _read_through(item):
            continue
        if name in _FROM_HANDLE:
            opened = _opened_here(item, path)
            if opened is None:
                continue
            at = opened.call.at if opened.scope is item.scope else at
        yield Report(item.scope, at, _message(name), help=_help(name))


def _read_through(item: ItemCall) -> bool:
    """``with open(path) as f: lines = f.readlines()``, or a loop over it: of a text file without an index of its lines."""
    scope = item.scope
    names_of = {
        bound.id
        for block in scope.blocks
        if block.kind == "with"
        for value, bound in block.node.items
        if value is item.call and isinstance(bound, Name)
    }
    statement = item.here.site.statement
    if getattr(statement, "value", None) is item.call:
        names_of |= {t.id for t in getattr(statement, "targets", ()) if isinstance(t, Name)}

    def is_handle(expr: Expr | None) -> bool:
        return expr is item.call or (isinstance(expr, Name) and expr.id in names_of)

    if any(attr.attr == "seek" and is_handle(attr.base) for attr, _ in scope.attrs):
        return False
    read = any(
        isinstance(site.call.func, Attr) and site.call.func.attr in _READS and is_handle(site.call.func.base)
        for site in scope.calls
    )
    return read or any(is_handle(loop.iterable) or _counts(loop.iterable, is_handle) for loop in scope.loops)


def _counts(expr: Expr | None, is_handle: Callable[[Expr | None], bool]) -> bool:
    """``enumerate(f)``."""
    return isinstance(expr, Call) and any(is_handle(arg) for arg in expr.args)


def _message(name: str) -> str:
    if name in names.PLAIN_OPENERS:
        return (
            f"`{short(name)}` opens the same file again for every item, and reads it from its beginning: "
            "read it once and keep what is needed"
        )
    if name in names.CONTAINERS:
        return (
            f"`{short(name)}` opens the same {names.CONTAINERS[name]} again for every item: "
            "open it once per worker, at first use, and keep it on `self`"
        )
    kind = names.WHOLE_READERS.get(name, "file")
    return (
        f"`{short(name)}` reads the same {kind} whole again for every item: "
        "read it once and keep what is needed"
    )


def _help(name: str) -> str:
    if name in names.CONTAINERS:
        return "`if self._file is None: self._file = ...` in the method that reads: one handle per worker"
    return "read it in `__init__`, or at first use in the worker, and keep the result on `self`"


def _mapped(item: ItemCall) -> bool:
    return "numpy.load" in item.names and argument(item.call, 1, "mmap_mode") is not None


def _writes(item: ItemCall) -> bool:
    mode = argument(item.call, 1, "mode")
    return isinstance(mode, Const) and isinstance(mode.value, str) and bool(set(mode.value) & set("wax"))


def _opened_here(item: ItemCall, handle: Expr) -> Made | None:
    """What opens the handle for this item: one that is kept is read record by record."""
    if isinstance(handle, Attr):
        return None
    found = item.function.evaluator.values(handle, item.scope)
    return next((v for v in found if isinstance(v, Made) and v.what in names.PLAIN_OPENERS), None)


RULE = Rule(
    code="DLC102",
    name="container-reopened-per-item",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("fetch-io", "fetch-cpu"),
    found=(
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, path):
                self.path = path
            @property
            def file(self):
                return h5py.File(self.path, "r")  # <- DLC102
            def __getitem__(self, i):
                return self.file["images"][i]
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, path, keys):
                self.path = path
                self.keys = keys
            @property
            def file(self):
                return h5py.File(self.path, "r")  # <- DLC102
            def __getitem__(self, index):
                return self.file[self.keys[index]][:]
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Features(Dataset):
            def __init__(self, path, keys, in_memory=False):
                self.path, self.keys = path, keys
                self.in_memory = in_memory
                self.features = {}
            def __getitem__(self, index):
                key = self.keys[index]
                if self.in_memory and key in self.features:
                    value = self.features[key]
                else:
                    value = h5py.File(self.path, "r")[key]  # <- DLC102
                if self.in_memory and key not in self.features:
                    self.features[key] = value
                return value[:]
        """,
        """
        from torch.utils.data import Dataset
        class Lines(Dataset):
            def __init__(self, path):
                self.path = path
                with open(path) as f:
                    self.n = sum(1 for _ in f)
            def __len__(self): return self.n
            def __getitem__(self, i):
                with open(self.path) as f:  # <- DLC102
                    return f.readlines()[i]
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, path, length):
                self.path = path
                self.length = length
            def __len__(self):
                return self.length
            def __getitem__(self, index):
                with h5py.File(self.path, "r") as f:  # <- DLC102
                    return f["images"][index], f["labels"][index]
        """,
        """
        import os
        import pandas as pd
        from PIL import Image
        from torch.utils.data import Dataset

        class Faces(Dataset):
            def __init__(self, root):
                self.root = root
                self.files = sorted(os.listdir(root))
            def __getitem__(self, i):
                labels = pd.read_csv(os.path.join(self.root, "labels.csv"))  # <- DLC102
                name = self.files[i]
                return Image.open(os.path.join(self.root, name)).convert("RGB"), labels.loc[i, "age"]
        """,
        """
        # file: storage.py
        import zipfile

        def read_member(archive, member):
            with zipfile.ZipFile(archive) as z:  # <- DLC102
                return z.read(member)
        # file: data.py
        from torch.utils.data import Dataset
        from storage import read_member

        class Zipped(Dataset):
            def __init__(self, archive, members):
                self.archive = archive
                self.members = members
            def __getitem__(self, i):
                return read_member(self.archive, self.members[i])
        """,
        """
        import json
        from torch.utils.data import Dataset

        class Captions(Dataset):
            def __init__(self, path, keys):
                self.path = path
                self.keys = keys
            def __getitem__(self, i):
                with open(self.path) as f:  # <- DLC102
                    captions = json.load(f)
                return captions[self.keys[i]]
        """,
        """
        import lmdb
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, cfg):
                self.cfg = cfg
            def __getitem__(self, i):
                env = lmdb.open(self.cfg.lmdb_path, readonly=True, lock=False)  # <- DLC102
                with env.begin() as txn:
                    data = txn.get(str(i).encode())
                env.close()
                return data
        """,
    ),
    clean=(
        """
        import lmdb
        from torch.utils.data import Dataset

        class Records(Dataset):
            env = None
            def __init__(self, path):
                self.path = path
            def __getitem__(self, index):
                if (env := self.env) is None:
                    env = self.env = lmdb.open(self.path, readonly=True, lock=False)
                with env.begin() as txn:
                    return txn.get(str(index).encode())
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, path):
                self.path = path
                self.file = None
            def __getitem__(self, index):
                if self.file is None:
                    self.file = h5py.File(self.path, "r")
                return self.file["images"][index]
        """,
        """
        import os
        import numpy as np
        from torch.utils.data import Dataset

        class Arrays(Dataset):
            def __init__(self, root, names):
                self.root = root
                self.names = names
            def __getitem__(self, index):
                path = os.path.join(self.root, self.names[index])
                def load():
                    return np.load(path)
                return load()
        """,
        """
        import functools
        import zarr
        from torch.utils.data import Dataset

        @functools.lru_cache(maxsize=4)
        def store(path):
            return zarr.open(path, mode="r")

        class Chunks(Dataset):
            def __init__(self, path):
                self.path = path
            def __getitem__(self, index):
                return store(self.path)[index]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Clips(Dataset):
            def __init__(self, root, clips):
                self.clips = [Clip(root, c) for c in clips]
            def __getitem__(self, index):
                return self.clips[index].read()

        class Clip:
            def __init__(self, root, name):
                self.path = root + name
            def read(self):
                return np.load(self.path)
        """,
        """
        import h5py
        from torch.utils.data import IterableDataset

        class Stream(IterableDataset):
            def __init__(self, path):
                self.path = path
            def __iter__(self):
                with h5py.File(self.path, "r") as f:
                    for row in f["x"]:
                        yield row
        """,
        """
        import random
        import numpy as np
        from torch.utils.data import Dataset

        class Noisy(Dataset):
            def __init__(self, signals, noises):
                self.signals = signals
                self.noises = noises
            def __getitem__(self, index):
                noise = np.load(random.choice(self.noises))
                return self.signals[index] + noise
        """,
    ),
)
