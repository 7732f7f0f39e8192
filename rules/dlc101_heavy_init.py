"""The dataset reads or decodes every sample before the first epoch.

`__init__` runs once, in the main process: start-up waits for a whole pass over the data, on one core. What
it keeps is held in memory, and workers that are not forked (macOS, Windows, Linux from Python 3.14) receive
a copy each. Source: PyTorch documentation, *Multi-process data loading*; measured: 200 MB of lists start in
0.8 s by fork, 17 s otherwise.

**Found:** in `__init__` and what it calls, a loop, comprehension or `map` over the samples that decodes
images or sound, or that reads the array file of each sample only to learn something about it; a whole array of
images, sound or volumes read from an HDF5 file or a Zarr group (`f["images"][:]`; what is not plainly large by
its name, with low confidence).

**Left alone:** reading an index or labels; sizes and headers only; results that are saved to disk; loading
behind a switch (`cache`, `preload`, `in_memory`) or in a class that says so by name; arrays that are kept, and
files that are put end to end so that items are parts of them, since that is a design (low confidence); loops
that are not plainly over the samples (low confidence).

**Cure:** read in `__getitem__`; store what the pass finds out (statistics, label values) in a file.
**Versions:** all.
"""

import re
from collections.abc import Iterator

from dlcheck.facts.model import Const, Expr, Seq, Slice, Sub, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.items import attribute_of_self, short
from dlcheck.program.lazy import is_lazy
from dlcheck.program.passes import SWITCH, Pass, is_guarded
from dlcheck.program.paths import Path
from dlcheck.program.program import Dataset, Program

_SAVERS = {
    "numpy.save", "numpy.savez", "numpy.savez_compressed", "torch.save", "pickle.dump", "joblib.dump",
    "numpy.memmap", "h5py.File.create_dataset",
}  # fmt: skip
_CONTAINERS = {"h5py.File", "zarr.open", "zarr.open_group", "netCDF4.Dataset"}
_LABELS = re.compile(
    r"label|target|class|score|length|offset|name|index|(^|_)(ids?|y|n|mean|std)$", re.IGNORECASE
)
# Names of what is large in every entry; labels and lengths are not.
_PAYLOAD = re.compile(
    r"im(g|age)|video|frame|audio|wav|volume|spectro|pixel|voxel|patch|depth|mask|scan", re.IGNORECASE
)


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if SWITCH.search(dataset.cls.name) or _saves(dataset.setup_path):
            continue
        samples = _sample_attributes(dataset)
        yield from _whole_containers(dataset, samples)
        for step in dataset.setup_path.steps:
            for site in step.scope.calls:
                found = Pass(dataset.setup_path, step, site, samples).find()
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
            entry = str(inner.index.value)
            if _LABELS.search(entry) and not _PAYLOAD.search(entry):
                continue
            opened = dataset.evaluator.values(inner.base, step.scope)
            name = next((n for v in opened for n in [getattr(v, "what", "")] if n in _CONTAINERS), "")
            if not name or is_lazy(store.block, step.scope, store.at):
                continue
            if is_guarded(path, step.scope, store.block):
                continue
            yield Report(
                step.scope,
                sub.at,
                f"`[:]` reads all of `{inner.index.value}` into memory before the first epoch, and workers that are not "
                "forked receive a copy each",
                help="keep the path, open the file at the first item of each worker, and index it there: it reads one entry",
                confidence="medium" if _PAYLOAD.search(entry) else "low",
            )


def _takes_all(index: Expr) -> bool:
    if isinstance(index, Slice):
        return all(part is None for part in index.parts)
    return (isinstance(index, Seq) and not index.items) or (isinstance(index, Const) and index.value == "...")


def _saves(path: Path) -> bool:
    return any(name in _SAVERS for call in path.calls for name in call.names)


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


RULE = Rule(
    code="DLC101",
    name="heavy-init",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("startup", "memory"),
    found=(
        """
        import librosa
        from torch.utils.data import Dataset

        class Voices(Dataset):
            def __init__(self, clips, shortest):
                self.clips = clips
                self.shortest = shortest
                self.clips = self.long_enough()
            def load(self, path):
                wave, _ = librosa.load(path, sr=16000)
                return wave
            def long_enough(self):
                found = []
                for clip in self.clips:
                    if self.load(clip["path"]).shape[0] < self.shortest:  # <- DLC101
                        continue
                    found.append(clip)
                return found
            def __getitem__(self, index):
                return self.load(self.clips[index]["path"])
        """,
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
