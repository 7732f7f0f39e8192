"""A sample is turned into a tensor by a needless copy, element by element, or parsed from text.

`torch.tensor(array)` copies what `torch.from_numpy(array)` shares; over a list of arrays it goes through
every element in Python (torch warns of it: *extremely slow*), and `np.loadtxt` parses text where a binary
file would be read. Source: documentation of `torch.tensor`, `torch.from_numpy`; torch issue 13918.

**Found:** in the item path, `torch.tensor` of a list of arrays, of `array.tolist()`, of the pixels of an
image one by one; `torch.tensor` or `torch.Tensor` of an array that was just computed; `np.loadtxt` and
`np.genfromtxt`.

**Left alone:** scalars, labels, lists of numbers; arrays whose type is changed at the same time, arrays in
a variable (both low confidence): the copy may be needed.

**Cure:** `torch.from_numpy(array)`; `torch.from_numpy(np.stack(arrays))`; store text as `.npy` once.
**Versions:** all.
"""

import re
from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Comp, Expr, Name, Seq, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemCall, item_calls, short
from dlcheck.program.program import Program

_TENSORS = frozenset({"torch.tensor", "torch.Tensor", "torch.FloatTensor", "torch.LongTensor"})
_ARRAYS = frozenset(
    f"numpy.{name}"
    for name in (
        "array", "asarray", "ascontiguousarray", "stack", "vstack", "hstack", "dstack", "concatenate", "load", "pad",
        "transpose", "moveaxis", "zeros", "ones", "full", "expand_dims", "reshape", "repeat", "tile", "flip", "frombuffer",
        "fft.fft", "fft.rfft", "gradient",
    )
) | {"cv2.imread", "cv2.resize", "cv2.cvtColor", "skimage.io.imread"}  # fmt: skip
_ARRAY_PACKAGES = ("scipy.ndimage.", "scipy.signal.", "librosa.feature.")
_DECODERS = ("cv2.", "skimage.", "librosa.", "soundfile.", "scipy.ndimage.", "scipy.signal.", "imageio.")
_LABELS = re.compile(r"label|target|class|score|(^|_)(ids?|y)$", re.IGNORECASE)
_PARSERS = frozenset({"numpy.loadtxt", "numpy.genfromtxt"})


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        name = next((n for n in item.names if n in _TENSORS or n in _PARSERS), None)
        if name is None or item.here.lazy or item.function.lazy or not item.call.args:
            continue
        if name in _PARSERS:
            yield from _parsed(item, name)
        else:
            yield from _copied(item, name)


def _parsed(item: ItemCall, name: str) -> Iterator[Report]:
    if item.varies(item.call.args[0]):
        yield Report(
            item.scope,
            item.call.at,
            f"`{short(name)}` parses text for every item, some hundred times slower than a binary file is read: "
            "convert the files once (`np.save`)",
            help="store the arrays as `.npy` once and read them by `np.load`",
        )


def _copied(item: ItemCall, name: str) -> Iterator[Report]:
    given = item.call.args[0]
    if any(isinstance(part, Name) and _LABELS.search(part.id) for part in walk(given)):
        return
    converted = any(key == "dtype" for key, _ in item.call.keywords) or name in (
        "torch.FloatTensor",
        "torch.LongTensor",
    )
    confidence: Confidence = "high"
    numbers = _made_of_numbers(item, given)
    if numbers:
        message = f"`{name}` builds a Python number for every element of the array by `{numbers}`: take the array itself"
        cure = "`torch.from_numpy(array)`"
    elif _list_of_arrays(item, given):
        message = f"`{name}` goes through a list of arrays element by element: stack them first"
        cure = "`torch.from_numpy(np.stack(arrays))`"
    elif _is_array(item, given):
        message = f"`{name}` copies an array that was just made: `torch.from_numpy` shares it"
        cure = "`torch.from_numpy(array)`"
        confidence = "low" if converted or name == "torch.Tensor" else "high"
    elif isinstance(given, Name) and _holds_array(item, given):
        message = f"`{name}` copies the array `{given.id}`: `torch.from_numpy` shares it"
        cure = "`torch.from_numpy(array)`"
        confidence = "low" if converted or name == "torch.Tensor" or not _is_picture(item, given) else "high"
    else:
        return
    yield Report(item.scope, item.call.at, message, help=cure, confidence=confidence)


def _made_of_numbers(item: ItemCall, expr: Expr) -> str:
    """``sound.tolist()``, ``list(image.getdata())``: what takes an image or a sound apart."""
    if not isinstance(expr, Call):
        return ""
    func = expr.func
    if isinstance(func, Attr) and func.attr == "tolist":
        array = func.base
        large = _is_array(item, array) or (
            isinstance(array, Name) and _holds_array(item, array) and _is_picture(item, array)
        )
        return "tolist" if large else ""
    if dotted(func) in ("list", "tuple") and len(expr.args) == 1:
        inner = expr.args[0]
        if isinstance(inner, Call) and isinstance(inner.func, Attr) and inner.func.attr == "getdata":
            return "getdata"
    return ""


def _is_array(item: ItemCall, expr: Expr) -> bool:
    if not isinstance(expr, Call):
        return False
    called = callee_names(item.function.evaluator, expr, item.scope)
    if any(n in _ARRAYS or n.startswith(_ARRAY_PACKAGES) for n in called):
        return not _of_scalars(expr)
    # ``np.array(image).transpose(2, 0, 1)``, ``array.astype(np.float32)``
    func = expr.func
    return (
        isinstance(func, Attr)
        and func.attr in ("transpose", "astype", "copy", "reshape")
        and _is_array(item, func.base)
    )


def _of_scalars(call: Call) -> bool:
    """``np.array([a, b])``: a few numbers."""
    return (
        bool(call.args)
        and isinstance(call.args[0], Seq)
        and not any(isinstance(i, Seq) for i in call.args[0].items)
    )


def _list_of_arrays(item: ItemCall, expr: Expr) -> bool:
    if isinstance(expr, Comp) and expr.kind == "list":
        return _is_array(item, expr.elements[0])
    if isinstance(expr, Name):
        bindings = item.scope.bindings.get(expr.id, ())
        return bool(bindings) and all(
            isinstance(b.value, Comp) and _list_of_arrays(item, b.value) for b in bindings
        )
    return isinstance(expr, Seq) and bool(expr.items) and all(_is_array(item, i) for i in expr.items)


def _holds_array(item: ItemCall, name: Name) -> bool:
    bindings = item.scope.bindings.get(name.id, ())
    sounds = [b for b in bindings if b.kind == "unpack" and b.index == 0 and _is_sound(item, b.value)]
    others = [b for b in bindings if b not in sounds]
    if any(b.kind != "assign" or b.value is None for b in others):
        return False
    return bool(sounds) or any(b.value is not None and _is_array(item, b.value) for b in others)


def _is_sound(item: ItemCall, expr: Expr | None) -> bool:
    """``sound, rate = soundfile.read(path)``."""
    called = callee_names(item.function.evaluator, expr, item.scope) if isinstance(expr, Call) else ()
    return any(name in ("soundfile.read", "librosa.load") for name in called)


def _is_picture(item: ItemCall, name: Name) -> bool:
    """All that the name stands for was decoded from an image or a sound: it is large, and nobody else has it."""
    values = [b.value for b in item.scope.bindings.get(name.id, ())]
    return all(
        isinstance(v, Call)
        and any(n.startswith(_DECODERS) for n in callee_names(item.function.evaluator, v, item.scope))
        for v in values
    )


RULE = Rule(
    code="DLC111",
    name="slow-sample-type",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("fetch-cpu", "collate"),
    found=(
        """
        import numpy as np, torch, cv2
        from torch.utils.data import Dataset
        class D(Dataset):
            def __init__(self, p): self.p = p
            def __getitem__(self, i):
                img = cv2.imread(self.p[i])
                img = cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
                return torch.tensor(img).permute(2, 0, 1)  # <- DLC111
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Stacks(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                return torch.tensor([np.load(f) for f in self.files[i]])  # <- DLC111
        """,
        """
        import numpy as np
        import torch
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                image = Image.open(self.paths[i])
                return torch.tensor(np.array(image).transpose(2, 0, 1))  # <- DLC111
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Boxes(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                return torch.from_numpy(np.loadtxt(self.paths[i]))  # <- DLC111
        """,
        """
        import torch
        from scipy.ndimage import gaussian_filter1d
        from torch.utils.data import Dataset

        class Smooth(Dataset):
            def __init__(self, signals):
                self.signals = signals
            def __getitem__(self, i):
                return torch.tensor(gaussian_filter1d(self.signals[i], sigma=2))  # <- DLC111
        """,
        """
        import librosa
        import torch
        from PIL import Image
        from torch.utils.data import Dataset

        class Pairs(Dataset):
            def __init__(self, sounds, masks):
                self.sounds, self.masks = sounds, masks
            def __getitem__(self, i):
                sound, rate = librosa.load(self.sounds[i], sr=16000)
                mask = Image.open(self.masks[i]).convert("L")
                pixels = torch.tensor(list(mask.getdata()))  # <- DLC111
                return torch.tensor(sound.tolist()), pixels  # <- DLC111
        """,
    ),
    clean=(
        """
        import torch
        from torch.utils.data import Dataset

        class Labels(Dataset):
            def __init__(self, x, y):
                self.x = x
                self.y = y
            def __getitem__(self, i):
                return self.x[i], torch.tensor(self.y[i], dtype=torch.long)
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Arrays(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                return torch.from_numpy(np.load(self.files[i]))
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Target(Dataset):
            def __init__(self, rows):
                self.rows = rows
            def __getitem__(self, i):
                row = self.rows[i]
                return torch.tensor(np.array([row.x, row.y])), torch.tensor(np.float32(row.z))
        """,
        """
        import torch
        from torch.utils.data import Dataset

        class Tokens(Dataset):
            def __init__(self, texts, tokenizer):
                self.texts = texts
                self.tokenizer = tokenizer
            def __getitem__(self, i):
                ids = self.tokenizer(self.texts[i])["input_ids"]
                return torch.tensor(ids), torch.tensor([0] * len(ids))
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import Dataset

        class Loaded(Dataset):
            def __init__(self, path):
                self.x = torch.tensor(np.loadtxt(path))
            def __getitem__(self, i):
                return self.x[i]
        """,
    ),
)
