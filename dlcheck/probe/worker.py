"""Hooks in a worker process: its loop, its queues and its feeder thread.

``_worker_loop(dataset_kind, dataset, index_queue, data_queue, ...)`` is wrapped, not replaced, and its
arguments are found by name: 2.15 renamed some, torchdata appends one. The wrapper keeps the name of what it
wraps, so that spawn and forkserver pickle it as torch's own function and find it wrapped by the start-up
module of the child.
"""

from __future__ import annotations

import collections
import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

from dlcheck.probe import fallback, journal
from dlcheck.probe.clocks import elapsed, thread_clock
from dlcheck.probe.journal import emit, now, trouble
from dlcheck.probe.neutral import strip_message, unseen
from dlcheck.probe.patches import replace
from dlcheck.probe.recording import (
    INIT,
    INIT_DONE,
    PICKLED,
    READY,
    RESUME,
    SENT,
    UNKNOWN,
    WORKER_END,
    pack_cost,
)
from dlcheck.probe.stages import Stages, set_current

_LOOK_EVERY_NS = 500_000_000
_OWN = "_dlcheck_timed"


def timed_worker_loop(original: Callable[..., Any], foreign: bool = False) -> Callable[..., Any]:
    """``_worker_loop`` of torch or torchdata, observed; or one that a program has put in its place (``foreign``)."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def _worker_loop(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
            _observe(bound.arguments, foreign)
            args, kwargs = bound.args, bound.kwargs
        except Exception as error:
            trouble("worker_loop", error)
        try:
            return original(*args, **kwargs)
        finally:
            emit(WORKER_END, 0, 0, now())

    setattr(_worker_loop, _OWN, True)
    return unseen(_worker_loop)


def patch_bootstrap(cls: Any) -> None:
    """Observe worker loops that a program has put in the place of torch's; ``cls``: multiprocessing's BaseProcess.

    They are known by the names of their arguments, in the worker: what is pickled for it stays as it is.
    """
    original = cls._bootstrap

    @functools.wraps(original)
    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            target = self.__dict__.get("_target")
            if target is not None and not hasattr(target, _OWN) and _is_worker_loop(target):
                self._target = timed_worker_loop(target, foreign=True)
        except Exception as error:
            trouble("bootstrap", error)
        return original(self, *args, **kwargs)

    replace(cls, "_bootstrap", unseen(_bootstrap))


def _is_worker_loop(target: Any) -> bool:
    try:
        names = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False
    return "index_queue" in names and "data_queue" in names


def _observe(arguments: dict[str, Any], foreign: bool) -> None:
    if "get" in vars(arguments["index_queue"]):
        return  # the loop that a program put in the place of torch's calls torch's
    stages = Stages(serial=0, hands_on=False)
    stages.outside = foreign
    set_current(stages)
    emit(READY, 0, 0, now(), arguments.get("worker_id", UNKNOWN), os.getppid())
    stages.looked, stages.sampled = now(), fallback.start_if_wanted()
    if not stages.sampled:
        fallback.allow_tracing()
    _observe_index_queue(arguments["index_queue"], stages)
    _observe_data_queue(arguments["data_queue"], stages)
    if arguments.get("init_fn") is not None:
        arguments["init_fn"] = _timed_init(arguments["init_fn"])


def _timed_init(original: Callable[[int], Any]) -> Callable[[int], Any]:
    @unseen
    def worker_init_fn(worker_id: int) -> Any:
        emit(INIT, 0, 0, now())
        try:
            return original(worker_id)
        finally:
            emit(INIT_DONE, 0, 0, now())

    return worker_init_fn


def _observe_index_queue(queue: Any, stages: Stages) -> None:
    original = queue.get

    @unseen
    def get(*args: Any, **kwargs: Any) -> Any:
        item = original(*args, **kwargs)
        if type(item) is tuple:
            stages.idx = item[0]
            stages.received = now()
            if stages.outside:
                stages.fetch_begins()
            if stages.received - stages.looked >= _LOOK_EVERY_NS and not stages.sampled:
                _look_again(stages)
        elif type(item).__name__ == "_ResumeIteration":
            emit(RESUME, 0, 0, now())
        return item

    queue.get = get


def _look_again(stages: Stages) -> None:
    """The launcher may have found only now that py-spy cannot look at this worker."""
    stages.looked = stages.received
    try:
        stages.sampled = fallback.start_if_wanted()
    except Exception as error:
        stages.sampled = True
        trouble("fallback", error)


def _observe_data_queue(queue: Any, stages: Stages) -> None:
    original = queue.put

    @unseen
    def put(item: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if type(item) is tuple and type(item[0]) is int:
                _clean(item[1])
                if stages.outside:
                    stages.made_outside(item[1])
                stages.handed_on(item[0])
        except Exception as error:
            trouble("put", error)
        return original(item, *args, **kwargs)

    queue.put = put
    # The feeder thread is started by the first put and is handed these four; see
    # multiprocessing.queues.Queue._start_thread.
    if getattr(queue, "_thread", None) is None:
        feeder = _Feeder(queue)
        queue._buffer = feeder.buffer
        queue._wlock = feeder
        queue._send_bytes = feeder.send_bytes
        queue._on_queue_feeder_error = feeder.failed


def _clean(data: Any) -> None:
    """Take the probe's frames out of the traceback that torch sends to the training process as text."""
    if type(data) is tuple and data:
        data = data[0]
    if type(data).__name__ == "ExceptionWrapper" and isinstance(data.exc_msg, str):
        data.exc_msg = strip_message(data.exc_msg)


class _Feeder:
    """What the feeder thread of the data queue does: takes a batch, pickles it, takes the write lock, writes.

    It stands for the queue's write lock; the batch is known from the buffer that it is taken from.
    """

    def __init__(self, queue: Any) -> None:
        self.buffer = _Buffer(self)
        self.idx: int | None = None
        self.taken = 0
        self.spent = (0, 0)
        self._locked = 0
        self._lock = queue._wlock
        self._send = queue._send_bytes
        self._report = queue._on_queue_feeder_error

    def acquire(self, *args: Any, **kwargs: Any) -> Any:
        if self.idx is not None:
            emit(
                PICKLED,
                0,
                self.idx,
                now(),
                self.taken,
                pack_cost(*elapsed(self.spent, thread_clock().read())),
            )
        result = None if self._lock is None else self._lock.acquire(*args, **kwargs)
        self._locked = now()
        return result

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def send_bytes(self, data: Any, *args: Any) -> None:
        self._send(data, *args)
        if self.idx is not None:
            emit(SENT, 0, self.idx, now(), self._locked, len(data))

    def failed(self, error: BaseException, item: Any) -> Any:
        try:
            journal.say(
                "feeder-error", idx=self.idx, type=type(error).__qualname__, message=str(error)[:2000]
            )
        except Exception as own:
            trouble("feeder", own)
        return self._report(error, item)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


class _Buffer(collections.deque[Any]):
    """The queue's buffer; says which batch the feeder thread takes."""

    def __init__(self, feeder: _Feeder) -> None:
        super().__init__()
        self._feeder = feeder

    def popleft(self) -> Any:
        item = super().popleft()
        self._feeder.taken = now()
        self._feeder.spent = thread_clock().read()
        self._feeder.idx = item[0] if type(item) is tuple and item and type(item[0]) is int else None
        return item
