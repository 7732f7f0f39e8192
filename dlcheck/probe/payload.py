"""The size of a batch, without copying it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlcheck.probe.recording import UNKNOWN

_MOST_LEAVES = 256


def payload_bytes(batch: Any) -> int:
    """Bytes of the tensors, arrays, strings and bytes in a batch; UNKNOWN when it is too large to walk or
    holds none.

    Only plain containers are walked: a type of the user's own might do work when it is iterated.
    """
    total, found, left = 0, False, [batch]
    for _ in range(_MOST_LEAVES):
        if not left:
            return total if found else UNKNOWN
        item = left.pop()
        kind = type(item)
        if kind in (list, tuple) or (isinstance(item, tuple) and hasattr(kind, "_fields")):
            left.extend(item)
        elif isinstance(item, Mapping) and kind.__module__ in ("builtins", "collections"):
            left.extend(item.values())
        elif kind in (bytes, bytearray, str):
            total, found = total + len(item), True
        elif kind.__module__.partition(".")[0] in ("torch", "numpy"):
            size = getattr(item, "nbytes", None)
            if isinstance(size, int):
                total, found = total + size, True
    return UNKNOWN
