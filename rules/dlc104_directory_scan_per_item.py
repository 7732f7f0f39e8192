"""Every item lists a folder that is the same for all items.

A listing costs time in proportion to the number of files in the folder, and on a network file system each
call goes over the network. With a file per sample the work for an epoch grows with the square of the data
set. Source: documentation of `os.listdir` and `glob`.

**Found:** `glob`, `os.listdir`, `os.walk`, `os.scandir` or the `Path` methods in the item path or in
`__len__`, where the folder does not depend on the item, even where the pattern does (`folder.glob(name +
".*")` reads the whole folder).

**Left alone:** the folder of one sample (a video's frames); listings made once (`if self.files is None`,
`lru_cache`).

**Cure:** list the folder in `__init__`, and look names up in a dict. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Op
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemCall, argument, item_calls, short
from dlcheck.program.lazy import is_lazy
from dlcheck.program.program import Program
from dlcheck.program.scope import CallSite

_OF_FOLDER = frozenset({"os.listdir", "os.walk", "os.scandir", "os.fwalk"})
_OF_PATTERN = frozenset({"glob.glob", "glob.iglob"})
_OF_PATH = frozenset({"iterdir", "rglob", "glob"})


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        if not item.repeats:
            continue
        folder = _folder(item)
        if folder is not None and all(item.fixed(part) for part in folder):
            yield Report(
                item.scope,
                item.call.at,
                f"`{_spelled(item.call, item.names)}` lists the same folder again for every item: "
                "list it once in `__init__` and look the files up",
                help="make a list or a dict of the files in `__init__`",
            )
    yield from _in_lengths(program)


def _in_lengths(program: Program) -> Iterator[Report]:
    """Listings in ``__len__``: the loader and its samplers ask for the length again and again."""
    for dataset in program.datasets:
        method = dataset.evaluator.method(dataset.cls, "__len__")
        for site in method.calls if method is not None else ():
            called = callee_names(dataset.evaluator, site.call, site.scope)
            if _scans(site, called) and not is_lazy(site.block, site.scope, site.at):
                yield Report(
                    site.scope,
                    site.at,
                    f"`{_spelled(site.call, called)}` lists a folder whenever the length is asked for: "
                    "list it once in `__init__`",
                    help="make the list of files in `__init__`; `__len__` returns its length",
                )


def _scans(site: CallSite, called: tuple[str, ...]) -> bool:
    if any(name in _OF_FOLDER or name in _OF_PATTERN for name in called):
        return True
    return isinstance(site.call.func, Attr) and site.call.func.attr in _OF_PATH and not _of_module(called)


def _folder(item: ItemCall) -> tuple[Expr, ...] | None:
    """The parts of the folder that a call lists; ``None`` where it lists none, or where that cannot be told."""
    if any(name in _OF_FOLDER for name in item.names):
        path = argument(item.call, 0, "path", "top")
        return (path,) if path is not None else ()
    if any(name in _OF_PATTERN for name in item.names):
        root = argument(item.call, 9, "root_dir")
        pattern = argument(item.call, 0, "pathname")
        return (root,) if root is not None else _head(pattern)
    func = item.call.func
    if isinstance(func, Attr) and func.attr in _OF_PATH and not _of_module(item.names):
        return (func.base,)
    return None


def _of_module(called: tuple[str, ...]) -> bool:
    return any(not name.startswith("pathlib.") for name in called)


def _head(pattern: Expr | None) -> tuple[Expr, ...] | None:
    """The folder of a pattern, where it is put together from a folder and a name."""
    match pattern:
        case Call(Attr(_, "join", _), args, _, _) if len(args) > 1:
            return args[:-1]
        case Call(_, (inner,), (), _):  # str(folder / name)
            return _head(inner)
        case Op("/", (folder, _), _):
            return (folder,)
        case Op("+", _, _):
            parts = list(_added(pattern))
            ends = [n for n, part in enumerate(parts) if isinstance(part, Const) and "/" in str(part.value)]
            return tuple(parts[: ends[-1]]) if ends and ends[-1] > 0 else None
        case Op() | Call() | None:
            return None
    return (pattern,)


def _added(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Op) and expr.op == "+":
        for operand in expr.operands:
            yield from _added(operand)
    else:
        yield expr


def _spelled(call: Call, called: tuple[str, ...]) -> str:
    if called:
        return short(called[0])
    return f"Path.{call.func.attr}" if isinstance(call.func, Attr) else "glob"


RULE = Rule(
    code="DLC104",
    name="directory-scan-per-item",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("fetch-io", "fetch-cpu"),
    found=(
        """
        # file: files.py
        import os

        def listed(folder):
            return sorted(os.listdir(folder))  # <- DLC104
        # file: clips.py
        import os
        from files import listed
        from torch.utils.data import Dataset

        class Clips(Dataset):
            def __init__(self, root, names):
                self.root, self.names = root, names
            def __getitem__(self, index):
                return [open(path, "rb").read() for path in listed(os.path.join(self.root, self.names[index]))]

        class OneClip(Dataset):
            def __init__(self, folder):
                self.folder = folder
            def __getitem__(self, index):
                with open(listed(self.folder)[index], "rb") as frame:
                    return frame.read()
        """,
        """
        import os, glob
        from torch.utils.data import Dataset
        from PIL import Image
        class G(Dataset):
            def __init__(self, d): self.d = d
            def __len__(self): return len(os.listdir(self.d))  # <- DLC104
            def __getitem__(self, i):
                p = sorted(glob.glob(self.d + "/*.jpg"))[i]  # <- DLC104
                return Image.open(p).convert("RGB")
        """,
        """
        from pathlib import Path
        from PIL import Image
        from torch.utils.data import Dataset

        class Masks(Dataset):
            def __init__(self, folder, ids):
                self.folder = Path(folder)
                self.ids = ids
            def __getitem__(self, i):
                name = self.ids[i]
                files = list(self.folder.glob(name + ".*"))  # <- DLC104
                return Image.open(files[0]).convert("L")
        """,
        """
        import os
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, root):
                self.root = root
            def __len__(self):
                return len(os.listdir(self.root))  # <- DLC104
            def __getitem__(self, i):
                name = sorted(os.listdir(self.root))[i]  # <- DLC104
                return Image.open(os.path.join(self.root, name)).convert("RGB")
        """,
        """
        import glob
        import os
        import random
        from torch.utils.data import Dataset

        class Noisy(Dataset):
            def __init__(self, signals, cfg):
                self.signals = signals
                self.cfg = cfg
            def _noise(self):
                return random.choice(glob.glob(os.path.join(self.cfg.noise_dir, "*.wav")))  # <- DLC104
            def __getitem__(self, i):
                return self.signals[i], self._noise()
        """,
        """
        import os
        from glob import glob
        from torch.utils.data import Dataset

        class Pairs(Dataset):
            def __init__(self, root, ids):
                self.root = root
                self.ids = ids
            def __getitem__(self, i):
                name = self.ids[i]
                return glob(os.path.join(self.root, "masks", f"{name}_*.png"))  # <- DLC104
        """,
    ),
    clean=(
        """
        import os
        from torch.utils.data import Dataset

        class Videos(Dataset):
            def __init__(self, root, ids):
                self.root = root
                self.ids = ids
            def __getitem__(self, i):
                folder = os.path.join(self.root, self.ids[i])
                return [os.path.join(folder, n) for n in sorted(os.listdir(folder))]
        """,
        """
        import os
        from torch.utils.data import Dataset

        class Lazy(Dataset):
            def __init__(self, root):
                self.root = root
                self.files = None
            def __getitem__(self, i):
                if self.files is None:
                    self.files = sorted(os.listdir(self.root))
                return self.files[i]
        """,
        """
        from pathlib import Path
        from torch.utils.data import Dataset

        class Videos(Dataset):
            def __init__(self, root):
                self.folders = sorted(Path(root).iterdir())
            def __len__(self):
                return len(self.folders)
            def __getitem__(self, i):
                return sorted(self.folders[i].glob("*.jpg"))
        """,
        """
        from glob import glob
        from torch.utils.data import Dataset

        class Frames(Dataset):
            def __init__(self, root, ids):
                self.root = root
                self.ids = ids
            def __getitem__(self, i):
                return sorted(glob(f"{self.root}/{self.ids[i]}/*.jpg"))
        """,
        """
        from glob import glob
        from torch.utils.data import IterableDataset

        class Shards(IterableDataset):
            def __init__(self, root):
                self.root = root
            def __iter__(self):
                for path in glob(self.root + "/*.txt"):
                    with open(path) as f:
                        yield from f
        """,
    ),
)
