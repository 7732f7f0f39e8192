"""Every item opens a file that nothing closes.

The file stays open until the garbage collector finds it. Where an exception, a cycle of references or a
cached object holds on to it, a worker runs out of file descriptors (*Too many open files*) after some
thousand items. Source: Python documentation (`ResourceWarning`); Pillow issue 559; torchvision issue 539.

**Found:** in the item path, `open`, an HDF5 file, an archive or a database that is opened without `with`,
not closed, not returned, and not kept.

**Left alone:** `PIL.Image.open(path)` followed by the use of its pixels, which closes the file; readers
that close by themselves (`np.load` of `.npy`, `soundfile.read`); files opened again for every item (DLC102)
or kept on `self` at first use; handles that are passed on to something which may keep them.

**Cure:** `with open(path) as f:`. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Cond, Mapping, Name, Seq, With, Yield, parts_of, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemCall, argument, item_calls, short
from dlcheck.program.program import Program

_CLOSERS = frozenset({"close", "__exit__", "detach", "release"})
# What reads a handle to its end and does not keep it.
_CONSUMERS = frozenset(
    {
        "json.load", "pickle.load", "yaml.load", "yaml.safe_load", "csv.reader", "builtins.list", "numpy.load",
        "torch.load", "xml.etree.ElementTree.parse",
    }
)  # fmt: skip
_WITH_CYCLES = frozenset(names.CONTAINERS) - {
    "pyarrow.parquet.ParquetFile", "duckdb.connect", "zarr.open", "zarr.open_group", "zarr.open_array",
}  # fmt: skip


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        name = next((n for n in item.names if n in names.PLAIN_OPENERS or n in _WITH_CYCLES), None)
        if name is None or item.here.lazy or item.function.lazy:
            continue
        path = argument(item.call, 0, "name", "file", "path")
        if name == "pathlib.Path.open":
            path = getattr(item.call.func, "base", None)
        if path is None:
            continue
        if item.fixed(path) or not _left_open(item):
            continue
        yield Report(
            item.scope,
            item.call.at,
            f"nothing closes the file that `{short(name)}` opens for every item: it stays open until it is garbage-collected, "
            "and a worker can run out of file descriptors. Open it by `with`",
            help=f"`with {short(name)}(...) as f:`",
        )


def _left_open(item: ItemCall) -> bool:
    statement, call, scope = item.here.site.statement, item.call, item.scope
    if isinstance(statement, With) and any(call in walk(value) for value, _ in statement.items):
        return False
    targets = getattr(statement, "targets", None)
    if targets is not None and getattr(statement, "value", None) is call:
        if len(targets) != 1 or not isinstance(targets[0], Name):
            return False  # kept
        return not _closed_or_passed_on(item, targets[0].id)
    # ``open(path).read()``, ``json.load(open(path))``: used in place.
    for site in scope.calls:
        func = site.call.func
        if isinstance(func, Attr) and func.base is call:
            return func.attr not in _CLOSERS
        if any(argument is call for argument in site.call.args):
            return any(n in _CONSUMERS for n in callee_names(item.function.evaluator, site.call, scope))
    return any(sub.base is call for sub, _ in scope.subs) or any(
        loop.iterable is call for loop in scope.loops
    )


def _closed_or_passed_on(item: ItemCall, name: str) -> bool:
    scope = item.scope
    for attr, _ in scope.attrs:
        if isinstance(attr.base, Name) and attr.base.id == name and attr.attr in _CLOSERS:
            return True
    for block in scope.blocks:
        if block.kind == "with" and any(isinstance(v, Name) and v.id == name for v, _ in block.node.items):
            return True
    for value, _ in scope.returns:
        if _holds(value, name):
            return True
    for made, _ in scope.yields:
        if isinstance(made, Yield) and made.value is not None and _holds(made.value, name):
            return True
    if any(_holds(store.value, name) for store in scope.stores):
        return True
    if any(name in inner.bindings or _uses(inner, name) for inner in scope.descend() if inner is not scope):
        return True
    for site in scope.calls:
        given = (*site.call.args, *(v for _, v in site.call.keywords))
        called = callee_names(item.function.evaluator, site.call, scope)
        if any(_is(g, name) for g in given) and not any(n in _CONSUMERS for n in called):
            return True
    return False


def _holds(value: object, name: str) -> bool:
    """The handle itself is in the value, not only something read from it."""
    if _is(value, name):
        return True
    return isinstance(value, (Seq, Mapping, Cond)) and any(_holds(part, name) for part in parts_of(value))


def _uses(scope: object, name: str) -> bool:
    return any(n.id == name for n, _ in getattr(scope, "names", ()))


def _is(value: object, name: str) -> bool:
    return isinstance(value, Name) and value.id == name


RULE = Rule(
    code="DLC106",
    name="unclosed-file-per-item",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("fetch-io", "memory"),
    found=(
        """
        import h5py
        from torch.utils.data import Dataset

        class Scenes(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                f = h5py.File(self.paths[i], "r")  # <- DLC106
                return f["depth"][:]
        """,
        """
        import json
        from torch.utils.data import Dataset

        class Notes(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                return json.load(open(self.paths[i]))  # <- DLC106
        """,
        """
        import pickle
        from torch.utils.data import Dataset

        def read(path):
            handle = open(path, "rb")  # <- DLC106
            return pickle.load(handle)

        class Graphs(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                return read(self.paths[i])
        """,
        """
        import tarfile
        from torch.utils.data import Dataset

        class Shards(Dataset):
            def __init__(self, shards):
                self.shards = shards
            def __getitem__(self, i):
                tar = tarfile.open(self.shards[i])  # <- DLC106
                return tar.extractfile("image.jpg").read()
        """,
        """
        from pathlib import Path
        from torch.utils.data import Dataset

        def read_points(path):
            handle = Path(path).open()  # <- DLC106
            handle.readline()
            return [line.split() for line in handle]

        class Clouds(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                return read_points(self.files[i])
        """,
    ),
    clean=(
        """
        from pathlib import Path
        from torch.utils.data import Dataset

        class Clouds(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                with Path(self.files[i]).open() as handle:
                    return handle.readlines()
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Scenes(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                with h5py.File(self.paths[i], "r") as f:
                    return f["depth"][:]
        """,
        """
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                return Image.open(self.paths[i]).convert("RGB")
        """,
        """
        from torch.utils.data import Dataset

        class Reader(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                f = open(self.paths[i], "rb")
                try:
                    return f.read()
                finally:
                    f.close()
        """,
        """
        import contextlib
        from torch.utils.data import Dataset

        class Reader(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def open(self, i):
                return open(self.paths[i], "rb")
            def __getitem__(self, i):
                with contextlib.closing(self.open(i)) as f:
                    return f.read()
        """,
        """
        import lmdb
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, path):
                self.path = path
                self.env = None
            def __getitem__(self, i):
                if self.env is None:
                    self.env = lmdb.open(self.path)
                with self.env.begin() as txn:
                    return txn.get(str(i).encode())
        """,
    ),
)
