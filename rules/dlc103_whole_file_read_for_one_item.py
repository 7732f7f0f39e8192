"""Every item reads a whole file and keeps one part of it.

The work for an item is that of the whole file: for an array of a thousand entries, a thousand times too
much. A memory map, an HDF5 slice or a reader with an offset reads only what is kept. Source: documentation
of `numpy.load(mmap_mode=)`, `torch.load(mmap=)` and h5py; torchgeo issue 1754.

**Found:** in the item path, an array, tensor or table file that is read whole, of which only one entry or
slice is used, by an index that varies with the item; a whole HDF5 data set read by `[:]` or `[()]` and then
indexed; a NIfTI volume of which one slice is used, along any axis.

**Left alone:** reading with `mmap_mode`; files read whole once and kept; a random crop of a sound file or
image, which must be decoded from the start (low confidence); a fixed entry of an archive
(`np.load(path)["x"]`).

**Cure:** `np.load(path, mmap_mode="r")[i]`, `f["x"][i]`, a column store, or one file per item.
**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Call, Const, Expr, Name, Op, Seq, Slice, Sub
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemFunction, argument, item_functions, made_by, short
from dlcheck.program.lazy import is_lazy
from dlcheck.program.paths import loop_around
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.values import Ref

_WHOLE = {
    "numpy.load": 'map it (`np.load(path, mmap_mode="r")`)',
    "torch.load": "store one file per item, or an array that can be mapped",
    "pandas.read_csv": "read the table once",
    "pandas.read_parquet": "read the table once",
    "pandas.read_pickle": "read the table once",
    "pandas.read_feather": "read the table once",
    "scipy.io.loadmat": "convert the file to an array that can be mapped",
    "nibabel.load.get_fdata": "take the slice from `dataobj` (`image.dataobj[..., i]`)",
}
# They read a slice along any axis; a memory map saves work along the first.
_ANY_AXIS = frozenset({"nibabel.load.get_fdata"})
_CONTAINERS = frozenset({"h5py.File", "zarr.open", "zarr.open_group", "netCDF4.Dataset"})
_SOUND = frozenset({"soundfile.read", "librosa.load", "librosa.core.load", "torchaudio.load"})
_ENTRIES = frozenset({"iloc", "loc", "iat", "at", "values"})


def check(program: Program) -> Iterator[Report]:
    for function in item_functions(program):
        if function.lazy:
            continue
        yield from _whole_files(function)
        yield from _whole_datasets(function)


def _whole_files(function: ItemFunction) -> Iterator[Report]:
    scope = function.scope
    for site in scope.calls:
        name = _reader(function, site.call, scope, depth=0)
        if not name or is_lazy(site.block, scope, site.at):
            continue
        source = site.call.args[0] if site.call.args else getattr(site.call.func, "base", None)
        if source is not None and function.fixed(source):
            continue  # one file, read again for every item: DLC102
        held = _name_of(site.statement, site.call)
        uses = [(s, b) for s, b in scope.subs if _base(s) is site.call or (held and _is(_base(s), held))]
        if not uses or not all(_picks(s.index, function, any_axis=name in _ANY_AXIS) for s, _ in uses):
            continue
        if any(loop_around(block) is not loop_around(site.block) for _, block in uses):
            continue  # one entry after the other
        if held and not _only_indexed(function, held, len(uses)):
            continue
        confidence: Confidence = "low" if name in _SOUND else "high"
        cure = _WHOLE.get(name, "read with an offset and a length")
        yield Report(
            scope,
            site.at,
            f"`{short(name)}` reads the whole file for every item, and one part of it is kept: {cure}",
            help=f"{cure}, so that an item costs what it needs",
            confidence=confidence,
        )


def _reader(function: ItemFunction, call: Call, scope: Scope, depth: int) -> str:
    """What a call reads a whole file with, itself or in a helper that does nothing else."""
    called = callee_names(function.evaluator, call, scope)
    name = next((n for n in called if n in _WHOLE or n in _SOUND), "")
    if name:
        return "" if _partial(call, name) else name
    for value in function.evaluator.values(call.func, scope) if depth == 0 else ():
        helper = value.scope if isinstance(value, Ref) else None
        if helper is None or helper.kind != "function" or helper.node.decorators or len(helper.returns) != 1:
            continue
        given = helper.returns[0][0]
        if isinstance(given, Call) and len(helper.node.body) == 1:
            return _reader(function, given, helper, depth + 1)
    return ""


def _whole_datasets(function: ItemFunction) -> Iterator[Report]:
    """``f["x"][:][i]`` of an HDF5 file, at once or by way of a name."""
    for sub, _ in function.scope.subs:
        inner = sub.base
        at_once = isinstance(inner, Sub) and _is_whole(inner) and _picks(sub.index, function)
        if at_once or (_is_whole(sub) and _of_container(sub, function) and _picked_from(sub, function)):
            yield Report(
                function.scope,
                sub.at,
                "`[:]` reads the whole data set into memory before one entry of it is taken: index it directly",
                help="leave `[:]` out: `f[name][index]` reads only this entry",
            )


def _is_whole(sub: Sub) -> bool:
    """``f["x"][:]``"""
    return _takes_all(sub.index) and isinstance(sub.base, Sub) and isinstance(sub.base.index, Const)


def _of_container(sub: Sub, function: ItemFunction) -> bool:
    source = sub.base.base if isinstance(sub.base, Sub) else sub
    made = made_by(function.evaluator.values(source, function.scope))
    return any(name in _CONTAINERS for name in made)


def _picked_from(sub: Sub, function: ItemFunction) -> bool:
    """A name holds it, and nothing is done with the name but to take what depends on the item."""
    scope = function.scope
    for name, bindings in scope.bindings.items():
        if any(b.kind == "assign" and b.value is sub for b in bindings):
            uses = [s for s, _ in scope.subs if _is(s.base, name)]
            picked = bool(uses) and all(_picks(s.index, function) for s in uses)
            return picked and _only_indexed(function, name, len(uses))
    return False


def _base(sub: Sub) -> Expr:
    """What is indexed, through ``.iloc`` and its like."""
    base = sub.base
    return base.base if getattr(base, "attr", None) in _ENTRIES else base  # type: ignore[union-attr]


def _picks(index: Expr, function: ItemFunction, *, any_axis: bool = False) -> bool:
    """An index that takes one entry or slice which depends on the item; a key (a string) is another file of an archive."""
    if any_axis and isinstance(index, Seq):
        return any(_picks(part, function) for part in index.items)
    first = index.items[0] if isinstance(index, Seq) and index.items else index
    if isinstance(first, Slice):
        start = first.parts[0]
        return start is not None and function.varies(start)
    if not isinstance(first, (Name, Sub, Call, Op)) or not function.varies(first):
        return False
    return not isinstance(first, Call) or getattr(first.func, "id", "") == "int"


def _takes_all(index: Expr) -> bool:
    if isinstance(index, Slice):
        return all(part is None for part in index.parts)
    return (isinstance(index, Seq) and not index.items) or (isinstance(index, Const) and index.value == "...")


def _partial(call: Call, name: str) -> bool:
    """The call itself reads only a part."""
    if name == "numpy.load":
        return argument(call, 1, "mmap_mode") is not None
    partial = {
        "mmap",
        "nrows",
        "skiprows",
        "usecols",
        "columns",
        "chunksize",
        "filters",
        "start",
        "stop",
        "frames",
    }
    partial |= {"offset", "duration", "num_frames", "frame_offset", "variable_names"}
    return any(key is None or key in partial for key, _ in call.keywords)


def _name_of(statement: object, call: Call) -> str:
    targets: tuple[Expr, ...] = getattr(statement, "targets", ())
    if getattr(statement, "value", None) is call and len(targets) == 1:
        target: Expr = targets[0]
        if isinstance(target, Seq) and target.items:  # audio, rate = soundfile.read(path)
            target = target.items[0]
        return target.id if isinstance(target, Name) else ""
    return ""


def _only_indexed(function: ItemFunction, name: str, uses: int) -> bool:
    """The name stands for nothing but the file's content, and all that is done with it is to index it."""
    if len(function.scope.bindings.get(name, ())) != 1:
        return False
    lengths = sum(1 for s in function.scope.calls if _length_of(s.call, name))
    shapes = sum(
        1 for a, _ in function.scope.attrs if a.attr in ("shape", "size", "ndim") and _is(a.base, name)
    )
    return sum(1 for n, _ in function.scope.names if n.id == name) == uses + lengths + shapes


def _length_of(call: Call, name: str) -> bool:
    return getattr(call.func, "id", "") == "len" and len(call.args) == 1 and _is(call.args[0], name)


def _is(expr: Expr, name: str) -> bool:
    return isinstance(expr, Name) and expr.id == name


RULE = Rule(
    code="DLC103",
    name="whole-file-read-for-one-item",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("fetch-io", "fetch-cpu"),
    found=(
        """
        import torch
        from torch.utils.data import Dataset
        class Feats(Dataset):
            def __init__(self, files, per): self.files, self.per = files, per
            def __getitem__(self, i):
                return torch.load(self.files[i // self.per])[i % self.per]  # <- DLC103
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Windows(Dataset):
            def __init__(self, files, per_file):
                self.files = files
                self.per_file = per_file
            def __getitem__(self, index):
                part, row = divmod(index, self.per_file)
                return np.load(self.files[part])[row]  # <- DLC103

        class Clips(Dataset):
            def __init__(self, clips):
                self.clips = clips
            def __getitem__(self, index):
                path, start, end = self.clips[index]
                features = np.load(path)  # <- DLC103
                return features[start:end]
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Shards(Dataset):
            def __init__(self, index):
                self.index = index
            def __getitem__(self, i):
                shard, row = self.index[i]
                tensors = torch.load(shard)  # <- DLC103
                return tensors[row]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Rows(Dataset):
            def __init__(self, files, size):
                self.files = files
                self.size = size
            def __getitem__(self, i):
                part, row = divmod(i, self.size)
                return pd.read_csv(self.files[part]).iloc[row].to_numpy()  # <- DLC103
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                path, row = self.files[i]
                with h5py.File(path, "r") as f:
                    return f["volume"][:][row]  # <- DLC103
        """,
        """
        import nibabel as nib
        from torch.utils.data import Dataset

        class Slices(Dataset):
            def __init__(self, places):
                self.places = places
            def __getitem__(self, i):
                path, z = self.places[i]
                volume = nib.load(path).get_fdata()  # <- DLC103
                return volume[:, :, z]
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Slices(Dataset):
            def __init__(self, places):
                self.places = places
            def __getitem__(self, i):
                path, z = self.places[i]
                with h5py.File(path, "r") as f:
                    volume = f["volume"][:]  # <- DLC103
                return volume[z]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        def read(path):
            return np.load(path)

        class Frames(Dataset):
            def __init__(self, clips, frames):
                self.clips, self.frames = clips, frames
            def __getitem__(self, i):
                clip, t = divmod(i, self.frames)
                frames = read(self.clips[clip])  # <- DLC103
                return frames[t]
        """,
    ),
    clean=(
        """
        from functools import lru_cache
        import numpy as np
        from torch.utils.data import Dataset

        @lru_cache(maxsize=4)
        def read(path):
            return np.load(path)

        class Frames(Dataset):
            def __init__(self, clips, frames):
                self.clips, self.frames = clips, frames
            def __getitem__(self, i):
                return read(self.clips[i // self.frames])[i % self.frames]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Clips(Dataset):
            def __init__(self, clips):
                self.clips = clips
            def __getitem__(self, index):
                path, start, end = self.clips[index]
                return np.array(np.load(path, mmap_mode="r")[start:end])
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Archives(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, index):
                data = np.load(self.files[index])
                return data["image"], data["label"]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Loaded(Dataset):
            def __init__(self, path):
                self.data = np.load(path)
            def __getitem__(self, index):
                return self.data[index]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Normed(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, index):
                path, start = self.files[index]
                signal = np.load(path)
                signal = signal - signal.mean()
                return signal[start : start + 100]
        """,
        """
        import h5py
        from torch.utils.data import Dataset

        class Volumes(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                path, row = self.files[i]
                with h5py.File(path, "r") as f:
                    return f["volume"][row], f["meta"][:][0]
        """,
    ),
)
