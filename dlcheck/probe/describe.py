"""A loader in words: where it was created, over which dataset, with which settings."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import re
import sys
import weakref
from pathlib import Path
from types import FrameType
from typing import Any

from dlcheck.probe import journal

# A loader made by one of these was asked for by the frame that called it.
_FRAMEWORKS = frozenset(
    {
        "torch",
        "torchdata",
        "dlcheck",
        "accelerate",
        "lightning",
        "lightning_fabric",
        "pytorch_lightning",
        "transformers",
        "torch_geometric",
        "monai",
        "webdataset",
        "fastai",
        "ignite",
        "skorch",
        "datasets",
        "functools",
        "contextlib",
        "dataclasses",
    }
)
# These make the user's loader once more, over the same dataset, and iterate that one.
_MAKE_AGAIN = frozenset({"accelerate", "lightning", "lightning_fabric", "pytorch_lightning"})
_PLAIN_SETTINGS = (
    "num_workers",
    "batch_size",
    "prefetch_factor",
    "in_order",
    "persistent_workers",
    "pin_memory",
    "drop_last",
    "timeout",
)
_MOST_FRAMES = 100
_MOST_CALLERS = 6
_SOURCE_LIMIT_BYTES = 4_000_000


_Site = tuple[str, int, str]


class _Known:
    """A loader that has been seen: its number in this process, its creation (``site``, called from ``via``), and who
    has written its description.
    """

    def __init__(self, loader: Any, number: int, made_at: list[_Site]) -> None:
        self.reference = weakref.ref(loader)
        self.number = number
        self.site, *self.via = made_at
        self.described_by = 0


_known: dict[int, _Known] = {}
_numbers = iter(range(1, 1 << 32))


def created(loader: Any) -> None:
    """Remember where ``loader`` is created: the innermost frame that is not a framework's."""
    if _find(loader) is None:
        first = _made_first(loader)
        made_at = sites() if first is None else [first.site, *first.via]
        _known[id(loader)] = _Known(loader, next(_numbers), made_at)
        if len(_known) % 1024 == 0:
            for key in [key for key, known in _known.items() if known.reference() is None]:
                del _known[key]


def number(loader: Any) -> int:
    """The number of a loader in this process.

    One that was not seen at its creation is taken to be created here.
    """
    created(loader)
    known = _find(loader)
    return 0 if known is None else known.number


def made_at(loader: Any) -> list[_Site]:
    """The line at which a loader was created, and those that led there, the nearest first."""
    created(loader)
    known = _find(loader)
    return [] if known is None else [known.site, *known.via]


def settle(loader: Any, iterator: Any) -> None:
    """Write the description of ``loader``, once per process, now that it is iterated by ``iterator``."""
    known = _find(loader)
    if known is None or known.described_by == os.getpid():
        return
    known.described_by = os.getpid()
    name, innermost = _dataset(loader.dataset)
    journal.say(
        "loader",
        number=known.number,
        site=known.site,
        via=known.via,
        dataset=name,
        dataset_at=_class_line(innermost),
        items_at=_items_line(innermost),
        settings=_settings(loader, iterator),
    )


def _find(loader: Any) -> _Known | None:
    known = _known.get(id(loader))
    return known if known is not None and known.reference() is loader else None


def _made_first(loader: Any) -> _Known | None:
    """The user's loader that a framework makes ``loader`` from now, if it does."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package(frame) in ("dlcheck", "torch", "torchdata", "functools"):
        frame = frame.f_back
    if frame is None or _package(frame) not in _MAKE_AGAIN:
        return None
    for known in list(_known.values()):
        other = known.reference()
        if other is not None and other is not loader and other.dataset is loader.dataset:
            return known
    return None


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def sites() -> list[_Site]:
    """The line at which a loader is created, and those that led there, the nearest first."""
    frame: FrameType | None = sys._getframe(1)
    found: list[_Site] = []
    constructors: list[_Site] = []
    for _ in range(_MOST_FRAMES):
        if frame is None or len(found) > _MOST_CALLERS:
            break
        if _package(frame) not in _FRAMEWORKS:
            site = (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            # A subclass' own constructor is not where the loader is wanted.
            (found if found or site[2] != "__init__" else constructors).append(site)
        frame = frame.f_back
    return found or constructors or [("", 0, "")]


def _settings(loader: Any, iterator: Any) -> dict[str, Any]:
    own = vars(loader)
    settings: dict[str, Any] = {name: own.get(name) for name in _PLAIN_SETTINGS}
    settings["class"] = _class_name(type(loader))
    settings["iterable"] = bool(own.get("_dataset_kind"))
    settings["pinning"] = bool(vars(iterator).get("_pin_memory", False))
    settings["start_method"] = _start_method(loader)
    for name in ("sampler", "batch_sampler"):
        settings[name] = None if own.get(name) is None else _class_name(type(own[name]))
    for name in ("collate_fn", "worker_init_fn"):
        settings[name] = _function_name(own.get(name))
    settings["generator"] = own.get("generator") is not None
    settings["dataset_length"], settings["length"] = _lengths(own)
    return settings


def _start_method(loader: Any) -> str | None:
    if not loader.num_workers:
        return None
    context = loader.multiprocessing_context or multiprocessing
    method: str | None = context.get_start_method()
    return method


def _lengths(own: dict[str, Any]) -> tuple[int | None, int | None]:
    """Items and batches, only where torch's own samplers ask the dataset for its length in any case."""
    sampler, batch_sampler = own.get("sampler"), own.get("batch_sampler")
    module = type(sampler).__module__
    if own.get("_dataset_kind") or not module.startswith("torch.utils.data."):
        return None, None
    try:
        items = len(own["dataset"])
        drawn = len(sampler)  # type: ignore[arg-type]
        if batch_sampler is None:
            return items, drawn
        if type(batch_sampler).__module__ != "torch.utils.data.sampler":
            return items, None
        return items, len(batch_sampler)
    except Exception:
        return None, None


def _dataset(dataset: Any) -> tuple[str, type]:
    """The name of a dataset's class, wrappers of torch included, and the innermost class."""
    names = [_class_name(type(dataset))]
    while type(dataset).__module__.startswith("torch.utils.data."):
        inner = vars(dataset).get("dataset")
        if inner is None:
            several = vars(dataset).get("datasets")
            inner = several[0] if isinstance(several, (list, tuple)) and several else None
        if inner is None:
            break
        dataset = inner
        names.append(_class_name(type(dataset)))
    return "[".join(names) + "]" * (len(names) - 1), type(dataset)


def _items_line(cls: type) -> _Site | None:
    """The line of the method that makes the items, where it is Python."""
    bases = [base for base in cls.__mro__ if not base.__module__.startswith("torch.utils.data.")]
    for name in ("__getitems__", "__getitem__", "__iter__"):
        method = next((vars(base)[name] for base in bases if name in vars(base)), None)
        code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
        if code is not None:
            return code.co_filename, code.co_firstlineno, f"{cls.__qualname__}.{name}"
    return None


def _class_line(cls: type) -> _Site | None:
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    line = vars(cls).get("__firstlineno__") or _line_in_source(file, cls.__name__)
    return (file, line, cls.__qualname__) if isinstance(line, int) else None


def _line_in_source(file: str, name: str) -> int | None:
    path = Path(file)
    try:
        if path.stat().st_size > _SOURCE_LIMIT_BYTES:
            return None
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^[ \t]*class[ \t]+{re.escape(name)}\b", source, re.MULTILINE)
    return None if found is None else source.count("\n", 0, found.start()) + 1


def _class_name(cls: type) -> str:
    return (
        cls.__qualname__
        if cls.__module__ in ("builtins", "__main__")
        else f"{cls.__module__}.{cls.__qualname__}"
    )


def _function_name(function: Any) -> str | None:
    if function is None:
        return None
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if name is None:
        return _class_name(type(function))
    return name if module in (None, "__main__") else f"{module}.{name}"
