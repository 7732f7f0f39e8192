"""Digests of batches and of the samples in them: two of equal content have equal digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def digest(value: Any) -> str:
    """The digest of a batch: tensors, arrays, numbers, text, and lists, tuples, dicts and dataclasses of such.

    Raises TypeError for what is none of these.
    """
    state = hashlib.blake2b(digest_size=16)
    for part in _parts(value, 0):
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def samples(batch: Any) -> list[Any] | None:
    """The samples of a collated batch, taken apart along its first dimension; None where it has no common one."""
    if isinstance(batch, Mapping):
        columns = {key: samples(value) for key, value in batch.items()}
        if None in columns.values() or not columns:
            return None
        lengths = {len(column) for column in columns.values() if column is not None}
        if len(lengths) != 1:
            return None
        return [
            {key: column[n] for key, column in columns.items() if column is not None}
            for n in range(lengths.pop())
        ]
    if isinstance(batch, tuple) or (isinstance(batch, list) and batch and not isinstance(batch[0], _PLAIN)):
        parts = [samples(value) for value in batch]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts) or len({len(part) for part in known}) != 1:
            return None
        return [tuple(part[n] for part in known) for n in range(len(known[0]))]
    if isinstance(batch, list):
        return list(batch)
    shape = getattr(batch, "shape", None)
    return [batch[n] for n in range(shape[0])] if shape else None


def _parts(value: Any, depth: int) -> Iterator[bytes]:
    if depth > 50:
        raise TypeError("a batch nested this deeply cannot be compared")
    kind = type(value)
    if isinstance(value, _PLAIN):
        yield f"{kind.__name__}:{value!r}".encode("utf-8", "surrogatepass")
    elif isinstance(value, Mapping):
        yield b"map"
        for key, inner in value.items():
            yield from _parts(key, depth + 1)
            yield from _parts(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        yield f"sequence:{len(value)}".encode()
        for inner in value:
            yield from _parts(inner, depth + 1)
    elif kind.__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        flat = value.detach().cpu().contiguous().flatten()
        yield f"tensor:{value.dtype}:{tuple(value.shape)}".encode()
        yield flat.view(dtype=_bytes_type()).numpy().tobytes() if flat.numel() else b""
    elif hasattr(value, "tobytes") and hasattr(value, "dtype"):
        yield f"array:{value.dtype}:{value.shape}".encode()
        yield value.tobytes()
    elif hasattr(value, "__dict__") or hasattr(value, "__dataclass_fields__"):
        yield f"{kind.__module__}.{kind.__qualname__}".encode()
        names = getattr(value, "__dataclass_fields__", None) or vars(value)
        yield from _parts({name: getattr(value, name) for name in names}, depth + 1)
    else:
        raise TypeError(f"a batch that holds {kind.__module__}.{kind.__qualname__} cannot be compared")


def _bytes_type() -> Any:
    import torch

    return torch.uint8
