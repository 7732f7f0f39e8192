"""A file or database that is opened at set-up is read by every worker through one shared handle.

Forked workers share the one position of an open file: while one worker seeks, another reads, and samples come out wrong
or broken with no error. HDF5, SQLite and LMDB handles are not valid in a forked child at all. Where workers are spawned
(macOS, Windows, and Linux from Python 3.14, whose default is forkserver) the dataset cannot be pickled. Source: torch
issues 11929 and 11887 (wrong data through h5py); numpy issue 18124 (zip); documentation of lmdb and sqlite3.

**Found:** the set-up of a dataset (or of a reader that its items use) keeps an open file, archive, database or video on
`self`, and the item path reads through it, with workers or with a count that is not known.

So does a helper that opens it where it is missing, if the set-up already asks for it.

**Left alone:** handles that the item path opens anew (lazily, or per process), or a `worker_init_fn` does; handles that
are closed again at set-up; streams in memory, or handed in (`file: BinaryIO`); memory maps; `os.pread`; loaders that all
have 0 workers.

**Cure:** keep the path, and open at the first item of each worker: `if self._file is None: self._file = h5py.File(self.path)`.
**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Const, Expr, Name, Sub, dotted, walk
from dlcheck.lint.open_later import open_later
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.items import argument, short
from dlcheck.program.kept import (
    Kept,
    is_self,
    kept_from_setup,
    maker,
    setup_steps,
    used_in_worker_init,
)
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Scope
from dlcheck.program.start_method import start_method
from dlcheck.program.values import Made, constants

# A store of many small files has no position to share.
_NO_POSITION = ("zarr.", "xarray.")
_SHARED = {
    name: what for name, what in names.CONTAINERS.items() if not name.startswith(_NO_POSITION)
} | dict.fromkeys(names.VIDEO_READERS, "video")


_PARTS_OF_HANDLES = frozenset({"cursor", "begin", "get", "require_group"})


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if dataset.workers == "none":
            continue
        found = list(_handles(program, dataset))
        classes: dict[Scope | None, list[Kept]] = {}
        for kept, _, _, _ in found:
            classes.setdefault(kept.scope.owner, []).append(kept)
        methods = {start_method(program, loader) for loader in dataset.loaders}
        forks = not methods or "fork" in methods
        for kept, opener, made, reads in found:
            if kept.pickles_itself and not forks:
                continue
            # One fix mends all handles of a class: it goes with the first.
            handles = classes[kept.scope.owner]
            at = made.call.at if made.scope is kept.scope and made.call.at[0] < kept.at[0] else kept.at
            yield Report(
                kept.scope,
                at,
                f"`self.{kept.attr}` is opened (`{short(opener)}`) before the workers start, and all of them read through it: "
                f"{_harm(opener) if forks else 'it cannot be pickled, so that they do not start'}",
                help=f"let go of it at the end of the set-up (`self.{kept.attr} = None`): the items open it again in each worker"
                if kept.remade
                else f"keep the path, and open at the first item of each worker: `if self.{kept.attr} is None: "
                f"self.{kept.attr} = {short(opener)}(...)` where it is read",
                confidence="low"
                if kept.pickles_itself or (kept.remade and not _surely_opened(kept))
                else None,
                also=(reads[0],),
                fix=open_later(program, handles) if kept is handles[0] and not kept.remade else None,
            )


def _handles(program: Program, dataset: Dataset) -> Iterator[tuple[Kept, str, Made, list[tuple[Scope, At]]]]:
    """The handles that the set-up of a dataset keeps and its items read through, with their openers, by name and as calls, and
    the reads.
    """
    for kept in kept_from_setup(dataset):
        opener, made = _opener(kept) or ("", None)
        if made is None or _closed(kept) or used_in_worker_init(program, kept):
            continue
        if kept.remade and not (kept.made_by_items_too and not _let_go(kept)):
            continue
        if _only_without_workers(kept):
            continue
        reads = [place for place in kept.reads if not _reads_by_position(place[0])]
        if reads:
            yield kept, opener, made, reads


def _only_without_workers(kept: Kept) -> bool:
    """The author opens it there behind a switch that speaks of workers: ``if not multiprocessing:``."""
    around = kept.block.chain() if kept.block is not None else ()
    return any(
        word in name.lower()
        for block in around
        if block.kind in ("if", "else")
        for part in walk(block.node.test)
        for name in (dotted(part).rpartition(".")[2],)
        for word in ("worker", "process", "fork", "spawn")
    )


def _opener(kept: Kept) -> tuple[str, Made] | None:
    """What opened the thing that is kept, by its full name, if it is a handle whose state processes would share."""
    expr = kept.value
    while isinstance(expr, Sub) and isinstance(expr.index, Const) and isinstance(expr.index.value, str):
        expr = expr.base  # a part by its name, as in f["images"], reads through the file
    values = kept.values if expr is kept.value else kept.dataset.evaluator.values(expr, kept.scope)
    for name, made in maker(values):
        name, made = _behind(name, made)
        shared = (
            name in _SHARED or name in names.PLAIN_OPENERS or (name == "numpy.load" and _is_archive(kept))
        )
        if shared and not _in_memory(kept, made) and not _writes(kept, made) and not _in_with(kept, made):
            return name, made
    return None


def _is_archive(kept: Kept) -> bool:
    """What ``np.load`` gave is an ``.npz``, which reads its arrays when they are asked for: its ``files`` are."""
    scopes = [step.scope for step in setup_steps(kept.dataset, kept.cls)] + [scope for scope, _ in kept.reads]
    return any(
        attr.attr == "files"
        and isinstance(attr.base, Attr)
        and attr.base.attr == kept.attr
        and is_self(attr.base.base, scope)
        for scope in scopes
        for attr, _ in scope.attrs
    )


def _behind(name: str, made: Made) -> tuple[str, Made]:
    """The handle that a cursor, a transaction or a group reads through."""
    while (
        name.rpartition(".")[2] in _PARTS_OF_HANDLES
        and isinstance(made.receiver, Made)
        and isinstance(made.receiver.what, str)
    ):
        name, made = made.receiver.what, made.receiver
    return name, made


def _in_memory(kept: Kept, made: Made) -> bool:
    source = argument(made.call, 0, "file", "fileobj", "name", "uri")
    if source is None:
        return False
    if isinstance(source, Name) and any(
        b.kind == "param" and b.node.annotation is not None and "IO" in dotted(b.node.annotation)
        for b in made.scope.bindings.get(source.id, ())
    ):
        return True  # it is given an open stream (``file: BinaryIO``), which may well be in memory
    found = kept.dataset.evaluator.values(source, made.scope)
    return any(name in ("io.BytesIO", "io.StringIO") for name, _ in maker(found)) or any(
        text == ":memory:" for text in constants(found)
    )


def _writes(kept: Kept, made: Made) -> bool:
    mode = argument(made.call, 1, "mode")
    if mode is None:
        return False
    found = constants(kept.dataset.evaluator.values(mode, made.scope))
    return bool(found) and all(isinstance(text, str) and text[:1] in ("w", "a", "x") for text in found)


def _in_with(kept: Kept, made: Made) -> bool:
    """It is closed at the end of a ``with`` that the assignment stands in."""
    around = kept.block.chain() if kept.block is not None else ()
    return any(b.kind == "with" and any(e is made.call for e, _ in b.node.items) for b in around)


def _closed(kept: Kept) -> bool:
    """The set-up closes it again, or lets it go."""
    for step in setup_steps(kept.dataset, kept.cls):
        scope = step.scope
        for site in scope.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr == "close" and isinstance(func.base, Attr):
                if func.base.attr == kept.attr and is_self(func.base.base, scope):
                    return True
        opened = [
            s.at for s in scope.calls if isinstance(s.call.func, Attr) and s.call.func.attr == kept.scope.name
        ]
        start = kept.at if scope is kept.scope else min(opened, default=None)
        for store in scope.stores:
            if (
                store.attr == kept.attr
                and start is not None
                and start < store.at
                and is_self(store.base, scope)
            ):
                if isinstance(store.value, Const) and store.value.value is None:
                    return True
    return False


def _let_go(kept: Kept) -> bool:
    """The set-up says that it is missing (again) after something else of the instance has run."""
    for step in setup_steps(kept.dataset, kept.cls):
        scope = step.scope
        used = [s.at for s in scope.calls if is_self(_root(s.call.func), scope)]
        used += [attr.at for attr, _ in scope.attrs if attr.attr == kept.attr and is_self(attr.base, scope)]
        for store in scope.stores:
            if store.attr == kept.attr and store.at != kept.at and any(at < store.at for at in used):
                return True
    return False


def _surely_opened(kept: Kept) -> bool:
    """The set-up asks for it, by the helper or property that opens it, whatever it was told."""
    steps = setup_steps(kept.dataset, kept.cls)
    places = [(step.scope, a, block) for step in steps for a, block in step.scope.attrs]
    return any(
        is_self(attr.base, scope)
        and attr.attr == kept.scope.name
        and not any(b.kind in ("if", "else", "except") for b in (block.chain() if block is not None else ()))
        for scope, attr, block in places
    )


def _root(expr: Expr) -> Expr:
    while isinstance(expr, Attr):
        expr = expr.base
    return expr


def _reads_by_position(scope: Scope) -> bool:
    """``os.pread`` has no position to share."""
    return any(isinstance(s.call.func, Attr) and s.call.func.attr == "pread" for s in scope.calls)


def _harm(opener: str) -> str:
    what = _SHARED.get(opener, "file")
    if what in (
        "SQLite database",
        "LMDB environment",
        "DuckDB database",
        "HDF5 file",
        "netCDF file",
        "PyTables file",
    ):
        article = "an" if what[0] in "AEHL" else "a"
        return f"{article} {what} that was opened before a fork is not valid after it"
    return "forked workers share one read position and get each other's bytes"


RULE = Rule(
    code="DLC302",
    name="handle-opened-before-fork",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import sqlite3
        from torch.utils.data import Dataset, DataLoader
        class DB(Dataset):
            def __init__(self, p):
                self.conn = sqlite3.connect(p)  # <- DLC302
                self.cur = self.conn.cursor()
                self.n = self.cur.execute("select count(*) from t").fetchone()[0]
            def __len__(self): return self.n
            def __getitem__(self, i):
                return self.cur.execute("select x from t where id=?", (i,)).fetchone()[0]
        def main(): return DataLoader(DB("a"), num_workers=4)
        """,
        """
        import h5py
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __init__(self, path):
                self.file = h5py.File(path, "r")  # <- DLC302
            def __len__(self):
                return len(self.file["images"])
            def __getitem__(self, index):
                return self.file["images"][index]

        def main(path):
            return DataLoader(Images(path), batch_size=32, num_workers=4)
        """,
        """
        import struct
        import numpy as np
        from torch.utils.data import Dataset

        class Indexed(Dataset):
            def __init__(self, path):
                with open(path + ".idx", "rb") as f:
                    self.offsets = struct.unpack("<100Q", f.read())
                self.read_data(path)
            def read_data(self, path):
                self.data_file = open(path + ".bin", "rb", buffering=0)  # <- DLC302
            def __del__(self):
                self.data_file.close()
            def __getitem__(self, i):
                a = np.empty(10)
                self.data_file.seek(self.offsets[i])
                self.data_file.readinto(a)
                return a
        """,
        """
        import lmdb
        from torch.utils.data import Dataset

        class Records(Dataset):
            def __init__(self, root, transform=None):
                self.env = lmdb.open(root, max_readers=1, readonly=True, lock=False)  # <- DLC302
                with self.env.begin(write=False) as txn:
                    self.length = txn.stat()["entries"]
                self.transform = transform
            def __getitem__(self, index):
                with self.env.begin(write=False) as txn:
                    return txn.get(str(index).encode())
            def __len__(self):
                return self.length
        """,
    ),
    clean=(
        """
        # file: video.py
        from typing import BinaryIO
        import av

        class Video:
            def __init__(self, file: BinaryIO):
                self.container = av.open(file)
            def clip(self, start):
                return next(self.container.decode(video=0))
        # file: data.py
        from cloud_store import fetch
        from torch.utils.data import Dataset
        from video import Video

        class Clips(Dataset):
            def __init__(self, paths):
                self.videos = [Video(fetch(path)) for path in paths]
            def __getitem__(self, i):
                return self.videos[i].clip(0)
        """,
        """
        import h5py
        from torch.utils.data import DataLoader, Dataset

        class Lazy(Dataset):
            def __init__(self, path):
                self.path = path
                self.file = None
                with h5py.File(path, "r") as f:
                    self.length = len(f["images"])
            def __getitem__(self, index):
                if self.file is None:
                    self.file = h5py.File(self.path, "r")
                return self.file["images"][index]

        loader = DataLoader(Lazy("a.h5"), num_workers=4)
        """,
        """
        import h5py
        from torch.utils.data import DataLoader, Dataset

        class NoWorkers(Dataset):
            def __init__(self, path):
                self.file = h5py.File(path, "r")
            def __getitem__(self, index):
                return self.file["images"][index]

        loader = DataLoader(NoWorkers("a.h5"), num_workers=0)
        """,
        """
        import h5py
        import numpy as np
        from torch.utils.data import Dataset

        class Read(Dataset):
            def __init__(self, path, memmap):
                self.file = h5py.File(path, "r")
                self.images = self.file["images"][:]
                self.file.close()
                self.labels = np.load(memmap, mmap_mode="r")
            def __getitem__(self, index):
                return self.images[index], self.labels[index]
        """,
    ),
)
