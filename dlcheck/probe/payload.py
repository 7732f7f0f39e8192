"""What is in a batch, without copying it: its size, and a fingerprint of its content."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dlcheck.probe.recording import UNKNOWN

_MOST_LEAVES = 256
_PLAIN = (int, float, bool, complex, type(None))
# Of the content, some elements tell batches apart: of a text the first, of a tensor as many from all over it.
_CHARACTERS = 1024
_ELEMENTS = 64
_NUMBER_KINDS = "biufcmM"


def payload_bytes(batch: Any) -> int:
    """Bytes of the tensors, arrays, strings and bytes in a batch; UNKNOWN when it is too large to walk or
    holds none.

    Plain containers are walked, and the attributes of other objects, as pickle does: to iterate a type of the user's
    own might do work.
    """
    with _without_overrides():
        leaves, complete = _leaves(batch)
        sizes = [len(leaf) if type(leaf) in (bytes, bytearray, str) else _nbytes(leaf) for leaf in leaves]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and complete else UNKNOWN


def fingerprint(batch: Any) -> int:
    """A number that two batches of the same content share, and others most likely do not; UNKNOWN where nothing in it
    can be read. 32 bits.
    """
    found, number = False, 0
    with _without_overrides():
        for leaf in _leaves(batch)[0]:
            content = _content(leaf)
            if content is not None:
                found, number = True, zlib.crc32(content, zlib.crc32(b"%d," % len(content), number))
    return number if found else UNKNOWN


def _leaves(batch: Any) -> tuple[list[Any], bool]:
    """The values in a batch that are no containers, and whether these are all: a large batch is not walked to its end."""
    leaves: list[Any] = []
    left = [batch]
    seen: set[int] = set()
    for _ in range(_MOST_LEAVES):
        if not left:
            return leaves, True
        item = left.pop()
        kind = type(item)
        if kind in (bytes, bytearray, str) or kind in _PLAIN:
            leaves.append(item)
        elif id(item) in seen:
            continue
        elif kind in (list, tuple) or (isinstance(item, tuple) and hasattr(kind, "_fields")):
            left.extend(item)
        elif isinstance(item, Mapping) and kind.__module__ in ("builtins", "collections"):
            left.extend(item.values())
        elif any(base.__module__ in ("torch", "numpy") for base in kind.__mro__):
            leaves.append(item)
        elif kind.__module__ != "builtins" and not isinstance(item, type):
            left.extend(_attributes(item))
        seen.add(id(item))
    return leaves, False


def _nbytes(leaf: Any) -> int | None:
    size = None if type(leaf) in _PLAIN else getattr(leaf, "nbytes", None)
    return size if isinstance(size, int) else None


def _content(leaf: Any) -> bytes | None:
    """Bytes that stand for the content of a leaf; None for one that cannot be read without running code of others."""
    kind = type(leaf)
    if kind in _PLAIN:
        return repr(leaf).encode()
    if kind is str:
        return bytes(leaf[:_CHARACTERS].encode("utf-8", "surrogatepass"))
    if kind in (bytes, bytearray):
        return bytes(leaf[:_CHARACTERS])
    torch: Any = sys.modules.get("torch")
    if torch is not None and kind is torch.Tensor:
        return _of_tensor(leaf, torch)
    if kind.__module__ == "numpy" and leaf.dtype.kind in _NUMBER_KINDS and leaf.flags.c_contiguous:
        flat = leaf.reshape(-1)
        return bytes(flat[:: max(1, flat.size // _ELEMENTS)].tobytes())
    return None


def _of_tensor(tensor: Any, torch: Any) -> bytes | None:
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
        return None
    flat = tensor.detach().view(-1)
    if not flat.numel():
        return b""
    some = flat[:: max(1, flat.numel() // _ELEMENTS)].contiguous()
    return bytes(some.view(torch.uint8).tolist())


def _attributes(item: Any) -> list[Any]:
    try:
        return list(object.__getattribute__(item, "__dict__").values())
    except AttributeError:
        return []


def _without_overrides() -> AbstractContextManager[Any]:
    """Keeps the code of tensor subclasses (``__torch_function__``) out of what is read of a batch."""
    disable = getattr(getattr(sys.modules.get("torch"), "_C", None), "DisableTorchFunctionSubclass", None)
    return nullcontext() if disable is None else disable()
