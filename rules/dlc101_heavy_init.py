"""The dataset reads or decodes every sample before the first epoch.

`__init__` runs once, in the main process: start-up waits for a whole pass over the data, on one core. What
it keeps is held in memory, and workers that are not forked (macOS, Windows, Linux from Python 3.14) receive
a copy each. Source: PyTorch documentation, *Multi-process data loading*; measured: 200 MB of lists start in
0.8 s by fork, 17 s otherwise.

**Found:** in `__init__` and what it calls, a loop, comprehension or `map` over the samples that decodes
images or sound, or that reads the array file of each sample only to learn something about it; a whole array of
images, sound or volumes read from an HDF5 file or a Zarr group (`f["images"][:]`).

**Left alone:** reading an index or labels; sizes and headers only; results that are saved to disk; loading
behind a switch (`cache`, `preload`, `in_memory`) or in a class that says so by name; arrays that are kept, and
files that are put end to end so that items are parts of them, since that is a design (low confidence); loops
that are not plainly over the samples (low confidence).

**Cure:** read in `__getitem__`; store what the pass finds out (statistics, label values) in a file.
**Versions:** all.
"""

import re
from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name, Return, Seq, Slice, Sub, dotted, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.items import attribute_of_self, short
from dlcheck.program.lazy import is_lazy
from dlcheck.program.paths import Path, loop_around, loop_of
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.steps import Step
from dlcheck.program.values import Group, PartialRef, Ref

# Opening these reads no more than a header.
_READERS = names.DECODERS | {"nibabel.load.get_fdata", "nibabel.load.get_data"}
_LAZY_OPENERS = {"rasterio.open", "nibabel.load", "decord.VideoReader", "av.open"}
_ARRAYS = {"numpy.load", "torch.load", "scipy.io.loadmat", "numpy.loadtxt", "safetensors.torch.load_file"}
_SAVERS = {
    "numpy.save", "numpy.savez", "numpy.savez_compressed", "torch.save", "pickle.dump", "joblib.dump",
    "numpy.memmap", "h5py.File.create_dataset",
}  # fmt: skip
_JOINS = {
    "torch.cat",
    "torch.concat",
    "torch.concatenate",
    "numpy.concatenate",
    "numpy.vstack",
    "numpy.hstack",
}
_LISTINGS = {"os.listdir", "glob.glob", "glob.iglob", "os.walk", "os.scandir"}
_SWITCH = re.compile(
    r"cache|memory|in_?mem|pre_?load|pre_?fetch|ram\b|load_all|lazy|eager|debug|verify|check|filter|exists|keep",
    re.IGNORECASE,
)
_CONTAINERS = {"h5py.File", "zarr.open", "zarr.open_group", "netCDF4.Dataset"}
# Names of what is large in every entry; labels and lengths are not.
_PAYLOAD = re.compile(
    r"im(g|age)|video|frame|audio|wav|volume|spectro|pixel|voxel|patch|depth|mask|scan", re.IGNORECASE
)
_CHECK = re.compile(r"debug|verify|check|filter|exists", re.IGNORECASE)
_HEADER = {"size", "width", "height", "mode", "format", "info", "verify", "n_frames", "shape", "getexif"}
_MAPS = {"map", "imap", "imap_unordered", "starmap", "thread_map", "process_map"}
_WRAPPERS = {"tqdm", "trange", "enumerate", "sorted", "list", "zip", "range", "len", "track", "iter", "set"}


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if _SWITCH.search(dataset.cls.name) or _saves(dataset.setup_path):
            continue
        samples = _sample_attributes(dataset)
        yield from _whole_containers(dataset, samples)
        for step in dataset.setup_path.steps:
            for site in step.scope.calls:
                found = _Pass(dataset.setup_path, step, site, samples).find()
                if found is None:
                    continue
                reader, sure = found
                yield Report(
                    step.scope,
                    site.at,
                    f"the dataset reads every sample before the first epoch (`{short(reader)}`): start-up waits for "
                    "a pass over all files, in the main process",
                    help="read samples in `__getitem__`, and store what this pass finds out in a file",
                    confidence="high" if sure else "low",
                )


def _whole_containers(dataset: Dataset, samples: set[str]) -> Iterator[Report]:
    """``self.images = f["images"][:]`` of an HDF5 file or a Zarr group."""
    path = dataset.setup_path
    for step in path.steps:
        for store in step.scope.stores:
            sub = store.value
            if store.attr not in samples or not isinstance(sub, Sub) or not _takes_all(sub.index):
                continue
            inner = sub.base
            if not (isinstance(inner, Sub) and isinstance(inner.index, Const)):
                continue
            if not _PAYLOAD.search(str(inner.index.value)):
                continue
            opened = dataset.evaluator.values(inner.base, step.scope)
            name = next((n for v in opened for n in [getattr(v, "what", "")] if n in _CONTAINERS), "")
            if not name or is_lazy(store.block, step.scope, store.at):
                continue
            if _guarded(path, step.scope, store.block):
                continue
            yield Report(
                step.scope,
                sub.at,
                f"`[:]` reads all of `{inner.index.value}` into memory before the first epoch, and workers that are not "
                "forked receive a copy each",
                help="keep the path, open the file at the first item of each worker, and index it there: it reads one entry",
                confidence="medium",
            )


def _takes_all(index: Expr) -> bool:
    if isinstance(index, Slice):
        return all(part is None for part in index.parts)
    return (isinstance(index, Seq) and not index.items) or (isinstance(index, Const) and index.value == "...")


def _saves(path: Path) -> bool:
    return any(name in _SAVERS for call in path.calls() for name in call.names)


def _sample_attributes(dataset: Dataset) -> set[str]:
    """The attributes with one entry per sample: looked up by item, or what `__len__` counts."""
    out: set[str] = set()
    path = dataset.item_path
    for step in path.steps:
        for sub, _ in step.scope.subs:
            if path.varies(sub.index, step):
                out.add(attribute_of_self(sub.base, step.scope))
    length = dataset.evaluator.method(dataset.cls, "__len__")
    if length is not None:
        for expr, _ in length.returns:
            out |= {attribute_of_self(part, length) for part in walk(expr)}
    return out - {""}


class _Pass:
    """A call of the set-up path, looked at as one that may read all samples."""

    def __init__(self, path: Path, step: Step, site: CallSite, samples: set[str]) -> None:
        self.path = path
        self.step = step
        self.site = site
        self.samples = samples
        self.evaluator = path.evaluator

    def find(self) -> tuple[str, bool] | None:
        """(the reader, whether it is sure), if the call reads the file of each sample."""
        call, scope, block = self.site.call, self.step.scope, self.site.block
        mapped = self._mapped()
        around = loop_around(block)
        if mapped is not None:
            over: Expr | None = mapped[1]
            reader = mapped[0]
        elif around is not None:
            loop = loop_of(scope, around)
            over = loop.iterable if loop is not None else None
            given = [*call.args, *(v for _, v in call.keywords)]
            given += [call.func.base] if isinstance(call.func, Attr) else []
            if not any(self.path.varies(a, self.step) for a in given):
                return None
            reader = self._reader()
        else:
            return None
        if not reader or over is None or _small(over, scope, self.path):
            return None
        if (
            is_lazy(block, scope, self.site.at)
            or _guarded(self.path, scope, block)
            or _header_only(self.site)
        ):
            return None
        if self._put_end_to_end():
            return reader, False
        kept = self._kept()
        listed = self._over_samples(over)
        return reader, (listed or kept) if reader in _READERS else (listed and not kept)

    def _put_end_to_end(self) -> bool:
        """``self.rays = torch.cat(self.rays)``: an item is a part of a file, drawn from all files, so all must be there."""
        return any(
            store.attr in self.samples
            and isinstance(store.value, Call)
            and any(n in _JOINS for n in callee_names(self.evaluator, store.value, self.step.scope))
            and loop_around(store.block) is None
            for store in self.step.scope.stores
        )

    def _reader(self) -> str:
        return _first(self._readers(self.site, self.step.scope, 0))

    def _readers(self, site: CallSite, scope: Scope, depth: int) -> Iterator[str]:
        """What a call reads files with, itself or through functions of the project."""
        yield from (n for n in callee_names(self.evaluator, site.call, scope) if _reads(n))
        for value in self.evaluator.values(site.call.func, scope):
            if isinstance(value, Ref) and value.scope.kind == "function" and value.scope is not scope:
                yield from self._readers_in(value.scope, depth)

    def _readers_in(self, scope: Scope, depth: int) -> Iterator[str]:
        if scope.is_generator or depth > 2:
            return
        for site in scope.calls:
            if not is_lazy(site.block, scope, site.at) and not _header_only(site):
                yield from self._readers(site, scope, depth + 1)

    def _mapped(self) -> tuple[str, Expr] | None:
        """``pool.map(read, samples)``: (what ``read`` reads with, the samples)."""
        call = self.site.call
        name = (
            call.func.attr
            if isinstance(call.func, Attr)
            else call.func.id
            if isinstance(call.func, Name)
            else ""
        )
        if name not in _MAPS or len(call.args) < 2:
            return None
        for value in self.evaluator.values(call.args[0], self.step.scope):
            if isinstance(value, PartialRef):
                value = value.func
            if isinstance(value, Ref) and value.scope.kind in ("function", "lambda"):
                reader = _first(self._readers_in(value.scope, 0))
                if reader:
                    return reader, call.args[1]
        return None

    def _over_samples(self, over: Expr) -> bool:
        """The loop runs over what items are looked up in, or over a listing of files."""
        scope = self.step.scope
        for part in walk(over):
            if attribute_of_self(part, scope) in self.samples:
                return True
            if isinstance(part, Call) and _lists(callee_names(self.evaluator, part, scope)):
                return True
            if isinstance(part, Name):
                for binding in scope.bindings.get(part.id, ()):
                    if binding.kind == "assign" and binding.value is not None:
                        inner = (p for p in walk(binding.value) if isinstance(p, Call))
                        if any(_lists(callee_names(self.evaluator, p, scope)) for p in inner):
                            return True
                if any(_is_name(s.value, part.id) and s.attr in self.samples for s in scope.stores):
                    return True
        return False

    def _kept(self) -> bool:
        """What is read is kept as the samples: stored in, or appended to, what items are looked up in."""
        scope = self.step.scope
        statement = self.site.statement
        targets = getattr(statement, "targets", ())
        if any(attribute_of_self(t, scope) in self.samples for t in targets):
            return True
        if isinstance(statement, Return):
            callers = [s for s, _ in self.evaluator.callers.of(scope)]
            for site in callers if scope.kind == "function" else ():
                given_to = getattr(site.statement, "targets", ())
                if any(attribute_of_self(t, site.scope) in self.samples for t in given_to):
                    return True
        held = {t.id for t in targets if isinstance(t, Name)}
        for other in scope.calls:
            func = other.call.func
            if isinstance(func, Attr) and func.attr in ("append", "extend"):
                if attribute_of_self(func.base, scope) not in self.samples:
                    continue
                parts = [p for a in other.call.args for p in walk(a)]
                if any(p is self.site.call or (isinstance(p, Name) and p.id in held) for p in parts):
                    return True
        return False


def _guarded(path: Path, scope: Scope, block: Block | None, depth: int = 0) -> bool:
    """It runs only where a switch asks for it."""
    for around in block.chain() if block is not None else ():
        if around.kind in ("if", "else", "orelse") and _SWITCH.search(_words(around.node)):
            return True
    if depth > 4 or _CHECK.search(scope.name):
        return depth <= 4
    callers = [s for s, _ in path.evaluator.callers.of(scope) if path.step_of(s.scope) is not None]
    return bool(callers) and all(_guarded(path, s.scope, s.block, depth + 1) for s in callers)


def _first(readers: Iterator[str]) -> str:
    """The decoder among the readers, else the first of them."""
    found = list(readers)
    return next((n for n in found if n in _READERS), found[0] if found else "")


def _words(node: object) -> str:
    test = getattr(node, "test", None)
    if test is None:
        return ""
    words = []
    for part in walk(test):
        match part:
            case Name(text, _) | Attr(_, text, _):
                words.append(text)
            case Const(str(text), _):
                words.append(text)
    return " ".join(words)


def _reads(name: str) -> bool:
    return (name in _READERS and name not in _LAZY_OPENERS) or name in _ARRAYS


def _lists(called: tuple[str, ...]) -> bool:
    return any(
        n in _LISTINGS or (n.startswith("pathlib.") and n.endswith(("glob", "iterdir"))) for n in called
    )


def _is_name(expr: Expr, name: str) -> bool:
    return isinstance(expr, Name) and expr.id == name


def _small(over: Expr, scope: Scope, path: Path) -> bool:
    """A loop over a few things that are written out, or over a constant range."""
    if isinstance(over, Call) and isinstance(over.func, Name) and over.func.id in _WRAPPERS and over.args:
        return all(_small(a, scope, path) for a in over.args)
    if isinstance(over, Const):
        return True
    return any(isinstance(v, Group) and v.exact and v.items for v in path.evaluator.values(over, scope))


def _header_only(site: CallSite) -> bool:
    """Of what is opened, only the size or another entry of the header is used; or no more may be read."""
    scope = site.scope
    if dotted(site.call.func).endswith("dcmread"):
        if any(key in (None, "stop_before_pixels", "specific_tags") for key, _ in site.call.keywords):
            return True
    if any(a.base is site.call and a.attr in _HEADER for a, _ in scope.attrs):
        return True
    targets = [t.id for t in getattr(site.statement, "targets", ()) if isinstance(t, Name)]
    targets += [
        b.id for v, b in getattr(site.statement, "items", ()) if v is site.call and isinstance(b, Name)
    ]
    if not targets:
        return False
    used = [a.attr for a, _ in scope.attrs if isinstance(a.base, Name) and a.base.id == targets[0]]
    plain = sum(1 for n, _ in scope.names if n.id == targets[0])
    return bool(used) and plain == len(used) and all(attr in _HEADER | {"close"} for attr in used)


RULE = Rule(
    code="DLC101",
    name="heavy-init",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("startup", "memory"),
    found=(
        """
        import nibabel as nib, os
        from tqdm import tqdm
        from torch.utils.data import Dataset
        class Brain(Dataset):
            def __init__(self, root):
                self.vols = []
                for f in tqdm(sorted(os.listdir(root))):
                    self.vols.append(nib.load(os.path.join(root, f)).get_fdata())  # <- DLC101
            def __len__(self): return len(self.vols)
            def __getitem__(self, i): return self.vols[i]
        """,
        """
        # file: ds.py
        from torch.utils.data import Dataset
        from reader import read_all
        class DS(Dataset):
            def __init__(self, files):
                self.items = read_all(files)
            def __len__(self): return len(self.items)
            def __getitem__(self, i): return self.items[i]
        # file: reader.py
        from PIL import Image
        import numpy as np
        from concurrent.futures import ThreadPoolExecutor
        def _one(p):
            return np.asarray(Image.open(p).convert("RGB"))
        def read_all(files):
            with ThreadPoolExecutor(8) as ex:
                return list(ex.map(_one, files))  # <- DLC101
        """,
        """
        import h5py
        from torch.utils.data import Dataset
        class Big(Dataset):
            def __init__(self, path):
                with h5py.File(path, "r") as f:
                    self.x = f["images"][:]  # <- DLC101
                    self.y = f["labels"][()]
            def __len__(self): return len(self.x)
            def __getitem__(self, i): return self.x[i], self.y[i]
        """,
        """
        from pathlib import Path
        import torchaudio
        from torch.utils import data
        class Speech(data.Dataset):
            def __init__(self, folder):
                super().__init__()
                self.files = sorted(Path(folder).glob("*.wav"))
                self.waves = self._preload()
            def _preload(self):
                return {f.stem: torchaudio.load(str(f))[0] for f in self.files}  # <- DLC101
            def __len__(self): return len(self.files)
            def __getitem__(self, idx): return self.waves[self.files[idx].stem]
        """,
        """
        import os
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, root, transform):
                self.transform = transform
                self.images = []
                for name in sorted(os.listdir(root)):
                    image = Image.open(os.path.join(root, name)).convert("RGB")  # <- DLC101
                    self.images.append(image)
            def __len__(self):
                return len(self.images)
            def __getitem__(self, i):
                return self.transform(self.images[i])
        """,
        """
        from glob import glob
        import cv2
        from torch.utils.data import Dataset

        class Frames(Dataset):
            def __init__(self, pattern):
                self.frames = [cv2.imread(p) for p in glob(pattern)]  # <- DLC101
            def __getitem__(self, i):
                return self.frames[i]
        """,
        """
        import numpy as np
        from tqdm import tqdm
        from torch.utils.data import Dataset

        class Pitch(Dataset):
            def __init__(self, files):
                self.files = files
                self.mean = self._mean()
            def _read(self, path):
                return np.load(path)
            def _mean(self):
                total = 0.0
                for path in tqdm(self.files):
                    total += self._read(path).mean()  # <- DLC101
                return total / len(self.files)
            def __len__(self):
                return len(self.files)
            def __getitem__(self, i):
                return self._read(self.files[i]) - self.mean
        """,
        """
        from functools import partial
        from multiprocessing import Pool
        from os import listdir
        import numpy as np
        from PIL import Image
        from torch.utils.data import Dataset

        def values(name, folder):
            return np.unique(np.asarray(Image.open(folder / name)))

        class Masks(Dataset):
            def __init__(self, folder):
                self.folder = folder
                self.ids = listdir(folder)
                with Pool() as pool:
                    self.values = list(pool.imap(partial(values, folder=folder), self.ids))  # <- DLC101
            def __getitem__(self, i):
                return Image.open(self.folder / self.ids[i])
        """,
    ),
    clean=(
        """
        import json, os
        import torch
        from PIL import Image
        from torch.utils.data import Dataset
        from torchvision.transforms.functional import to_tensor

        class Rays(Dataset):
            def __init__(self, root):
                with open(os.path.join(root, "frames.json")) as f:
                    self.meta = json.load(f)
                self.colours = []
                for frame in self.meta["frames"]:
                    image = Image.open(os.path.join(root, frame["path"]))
                    self.colours += [to_tensor(image).view(3, -1).T]
                self.colours = torch.cat(self.colours, 0)
            def __len__(self):
                return len(self.colours)
            def __getitem__(self, i):
                return self.colours[i]
        """,
        """
        import h5py
        import torchaudio
        from torch.utils.data import Dataset

        class Sounds(Dataset):
            def __init__(self, path, files, load_in_mem=False, pre_load=False):
                self.files, self.load_in_mem, self.pre_load = files, load_in_mem, pre_load
                if self.load_in_mem:
                    with h5py.File(path, "r") as f:
                        self.images = f["images"][:]
                if self.pre_load:
                    self.waves = self._load_all()

            def _load_all(self):
                return [torchaudio.load(file)[0] for file in self.files]

            def __len__(self):
                return len(self.files)

            def __getitem__(self, i):
                wave = self.waves[i] if self.pre_load else torchaudio.load(self.files[i])[0]
                return wave, self.images[i]
        """,
        """
        import os
        import pandas as pd
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, root):
                self.paths = [os.path.join(root, n) for n in os.listdir(root)]
                self.table = pd.read_csv(os.path.join(root, "labels.csv"))
            def __getitem__(self, i):
                return Image.open(self.paths[i]).convert("RGB")
        """,
        """
        import cv2
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths, cache=False):
                self.paths = paths
                self.images = None
                if cache:
                    self.images = [cv2.imread(p) for p in self.paths]
            def __getitem__(self, i):
                return self.images[i] if self.images else cv2.imread(self.paths[i])
        """,
        """
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.shapes = [Image.open(p).size for p in self.paths]
            def __getitem__(self, i):
                return Image.open(self.paths[i]).convert("RGB")
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Series(Dataset):
            def __init__(self, root):
                self.parts = {}
                for split in ("x", "y"):
                    self.parts[split] = np.load(f"{root}/{split}.npy")
            def __len__(self):
                return len(self.parts["x"])
            def __getitem__(self, i):
                return self.parts["x"][i], self.parts["y"][i]
        """,
        """
        import os
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Cached(Dataset):
            def __init__(self, files, target):
                self.files = files
                if not os.path.exists(target):
                    torch.save([np.load(f).mean() for f in self.files], target)
                self.means = torch.load(target)
            def __getitem__(self, i):
                return np.load(self.files[i]) - self.means[i]
        """,
    ),
)
