"""The size of a batch, without copying it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dlcheck.probe.recording import UNKNOWN

_MOST_LEAVES = 256


def payload_bytes(batch: Any) -> int:
    """Bytes of the tensors, arrays, strings and bytes in a batch; UNKNOWN when it is too large to walk or
    holds none.

    Plain containers are walked, and the attributes of other objects, as pickle does: to iterate a type of the user's
    own might do work.
    """
    with _without_overrides():
        return _walk(batch)


def _walk(batch: Any) -> int:
    total, found, left = 0, False, [batch]
    seen: set[int] = set()
    for _ in range(_MOST_LEAVES):
        if not left:
            return total if found else UNKNOWN
        item = left.pop()
        kind = type(item)
        if kind in (bytes, bytearray, str):
            total, found = total + len(item), True
        elif id(item) in seen:
            continue
        elif kind in (list, tuple) or (isinstance(item, tuple) and hasattr(kind, "_fields")):
            left.extend(item)
        elif isinstance(item, Mapping) and kind.__module__ in ("builtins", "collections"):
            left.extend(item.values())
        elif any(base.__module__ in ("torch", "numpy") for base in kind.__mro__):
            size = getattr(item, "nbytes", None)
            if isinstance(size, int):
                total, found = total + size, True
        elif kind.__module__ != "builtins" and not isinstance(item, type):
            left.extend(_attributes(item))
        seen.add(id(item))
    return UNKNOWN


def _attributes(item: Any) -> list[Any]:
    try:
        return list(object.__getattribute__(item, "__dict__").values())
    except AttributeError:
        return []


def _without_overrides() -> AbstractContextManager[Any]:
    """Keeps the code of tensor subclasses (``__torch_function__``) out of the reading of sizes."""
    disable = getattr(getattr(sys.modules.get("torch"), "_C", None), "DisableTorchFunctionSubclass", None)
    return nullcontext() if disable is None else disable()
