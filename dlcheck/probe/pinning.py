"""Hooks in the thread that copies batches to pinned memory."""

from __future__ import annotations

import functools
import inspect
import weakref
from typing import Any

from dlcheck.probe.journal import emit, now, trouble
from dlcheck.probe.neutral import unseen
from dlcheck.probe.patches import replace
from dlcheck.probe.recording import PIN, PINNED


def patch(module: Any) -> None:
    """Stamp ``module._pin_memory_loop``: a batch is taken from the workers' queue, pinned, and handed on."""
    original = module._pin_memory_loop
    parameters = tuple(inspect.signature(original).parameters)

    @functools.wraps(original)
    def _pin_memory_loop(*args: Any, **kwargs: Any) -> Any:
        try:
            kwargs = dict(zip(parameters, args, strict=False)) | kwargs
            args = ()
            kwargs["in_queue"] = _Taken(kwargs["in_queue"])
            kwargs["out_queue"] = _HandedOn(kwargs["out_queue"], kwargs["in_queue"])
        except Exception as error:
            trouble("pin", error)
        return original(*args, **kwargs)

    replace(module, "_pin_memory_loop", unseen(_pin_memory_loop))


class _Taken:
    """The workers' queue as the pin-memory thread sees it."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def get(self, *args: Any, **kwargs: Any) -> Any:
        item = self._queue.get(*args, **kwargs)
        stamp(PIN, self, item)
        return item

    def serial(self) -> int:
        state = states.get(self._queue)
        return state.serial if state is not None else 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class _HandedOn:
    """The queue to the loop as the pin-memory thread sees it."""

    def __init__(self, queue: Any, taken: _Taken) -> None:
        self._queue = queue
        self._taken = taken

    def put(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        stamp(PINNED, self._taken, item)
        return self._queue.put(item, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


states: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def stamp(kind: int, taken: _Taken, item: Any) -> None:
    """Stamp a batch that passes through the pin-memory thread;

    acknowledgements of a new epoch are not batches.
    """
    try:
        if type(item) is tuple and type(item[0]) is int:
            emit(kind, taken.serial(), item[0], now())
    except Exception as error:
        trouble("pin", error)
