"""Hooks in the process that trains: the iterators of a loader, from construction to shutdown."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from dlcheck.probe import describe, journal, pinning
from dlcheck.probe.clocks import ThreadClock, elapsed, thread_clock
from dlcheck.probe.journal import emit, now, trouble
from dlcheck.probe.neutral import strip_traceback, unseen
from dlcheck.probe.patches import replace
from dlcheck.probe.recording import (
    ASK,
    EPOCH,
    EPOCH_READY,
    ERROR,
    GOT,
    INDEX,
    ITERATOR,
    ITERATOR_READY,
    RECEIVED,
    SHUTDOWN,
    SHUTDOWN_DONE,
    STOP,
    pack_cost,
)
from dlcheck.probe.stages import Stages, set_current

_STATE = "_dlcheck"
_NO_MARK = (None, 0, 0, 0)
_serials = iter(range(1, 1 << 24))
_constructing = threading.local()
_live: weakref.WeakSet[Any] = weakref.WeakSet()


class IteratorState:
    """What the hooks remember of one iterator.

    Holds no reference to it: its ``__del__`` must run when it would.
    """

    __slots__ = ("asked", "mark", "read_at", "read_bytes", "received", "serial", "stages", "started")

    def __init__(self) -> None:
        self.serial = next(_serials)
        self.started = 0
        self.received = 0
        self.read_at = 0
        self.read_bytes = 0
        self.asked = 0
        self.mark: tuple[ThreadClock | None, int, int, int] = _NO_MARK
        self.stages: Stages | None = None


def state_of(iterator: Any) -> IteratorState | None:
    """The state that the hooks keep of an iterator, if it was made under the probe."""
    state: IteratorState | None = iterator.__dict__.get(_STATE)
    return state


def forget_all() -> None:
    """Leave the iterators that are still there alone: what they do later belongs to no recording."""
    for iterator in list(_live):
        iterator.__dict__.pop(_STATE, None)
    _live.clear()


def patch_next(cls: Any) -> None:
    """Stamp ``cls.__next__``: the loop asks, and gets its batch, the end, or an error."""
    original = cls.__next__

    @functools.wraps(original)
    def __next__(self: Any) -> Any:
        state = self.__dict__.get(_STATE)
        if state is None:
            return original(self)
        try:
            _guarded(_asked, self, state)
            batch = original(self)
            _guarded(_got, self, state)
        except BaseException as error:
            _guarded(_ended, self, state, error)
            raise
        return batch

    replace(cls, "__next__", unseen(__next__))


def _guarded(hook: Callable[..., None], *args: Any) -> None:
    try:
        hook(*args)
    except Exception as error:
        trouble("next", error)


def _asked(iterator: Any, state: IteratorState) -> None:
    t = state.asked = now()
    if state.stages is not None:
        state.stages.idx = iterator._num_yielded
    file = journal.events()
    if file is not None:
        file.append(ASK, state.serial, 0, t, threading.get_native_id(), _cost_since(state, waited=False))
        file.progress(t, 0)


def _cost_since(state: IteratorState, waited: bool) -> int:
    """The cost of a wait or of a step, since the last call of this: see ``recording.pack_cost``."""
    clock = thread_clock()
    every, (own, queued) = clock.read_process(), clock.read()
    before, state.mark = state.mark, (clock, every, own, queued)
    if clock is not before[0]:
        return 0
    cpu = every - before[1] - (own - before[2] if waited else 0)
    return pack_cost(cpu, elapsed(before[2:], (own, queued))[1])


def _got(iterator: Any, state: IteratorState) -> None:
    if state.stages is not None:
        idx = state.stages.idx
    elif getattr(iterator, "_in_order", True):
        idx = iterator._rcvd_idx - 1
    else:
        idx = state.received
    t = now()
    file = journal.events()
    if file is not None:
        file.append(GOT, state.serial, idx, t, state.asked, _cost_since(state, waited=True))
        file.progress(state.asked, t)


def _ended(iterator: Any, state: IteratorState, error: BaseException) -> None:
    t = now()
    stopped = isinstance(error, StopIteration)
    emit(STOP if stopped else ERROR, state.serial, 0, t, state.asked)
    state.mark = _NO_MARK
    file = journal.events()
    # A Ctrl-C does not answer the loop: a hang that is ended by it remains one.
    if file is not None and isinstance(error, Exception):
        file.progress(state.asked, t)
    if not stopped:
        strip_traceback(error)
        journal.say(
            "loader-error",
            serial=state.serial,
            type=type(error).__qualname__,
            message=str(error)[:4000],
            exits=_exits(iterator),
        )


def _exits(iterator: Any) -> list[tuple[int, int, int]]:
    """Worker, process id and exit code of the workers that have ended with a code other than 0."""
    workers = iterator.__dict__.get("_workers", ())
    codes = [(number, worker.pid, worker.exitcode) for number, worker in enumerate(workers)]
    return [(number, pid, code) for number, pid, code in codes if code]


def patch_construction(cls: Any) -> None:
    """Stamp the construction of an iterator, and connect it with its loader."""
    original = cls.__init__

    @functools.wraps(original)
    def __init__(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
        state, before, outer = None, None, None
        try:
            if state_of(self) is None:
                state = IteratorState()
                emit(ITERATOR, state.serial, 0, now(), describe.number(loader), threading.get_native_id())
                self.__dict__[_STATE] = state
                _live.add(self)
                if not loader.num_workers:
                    state.stages = Stages(state.serial, hands_on=True)
                before = set_current(state.stages)
                outer, _constructing.state = getattr(_constructing, "state", None), state
        except Exception as error:
            trouble("iterator", error)
        try:
            original(self, loader, *args, **kwargs)
        finally:
            if state is not None:
                set_current(before)
                _constructing.state = outer
                try:
                    emit(ITERATOR_READY, state.serial, 0, now())
                    _observe_results(self, state)
                    describe.settle(loader, self)
                except Exception as error:
                    trouble("iterator", error)

    replace(cls, "__init__", unseen(__init__))


def _observe_results(iterator: Any, state: IteratorState) -> None:
    """Separate reading a batch from the pipe from unpickling it."""
    queue = iterator.__dict__.get("_worker_result_queue")
    original = getattr(queue, "_recv_bytes", None)
    if queue is None or original is None:
        return

    @unseen
    def recv_bytes(*args: Any) -> Any:
        data = original(*args)
        state.read_at = now()
        state.read_bytes = len(data)
        return data

    queue._recv_bytes = recv_bytes
    pinning.states[queue] = state


@atexit.register
def _report_exits() -> None:
    """A dead worker may end the program at any line, by torch's handler of SIGCHLD: say why it died."""
    try:
        for iterator in list(_live):
            state, exits = state_of(iterator), _exits(iterator)
            if state is not None and exits:
                journal.say("worker-exits", serial=state.serial, exits=exits)
    except Exception as error:
        trouble("exit", error)


def patch_process_start(cls: Any) -> None:
    """Stamp the start of each worker process; other processes pass through."""
    original = cls.start

    @functools.wraps(original)
    def start(self: Any) -> None:
        state: IteratorState | None = getattr(_constructing, "state", None)
        begun = now()
        original(self)
        if state is not None:
            try:
                journal.say(
                    "worker",
                    serial=state.serial,
                    worker=state.started,
                    pid=self.pid,
                    ticks=start_ticks(self.pid),
                    begun=begun,
                    started=now(),
                )
                state.started += 1
            except Exception as error:
                trouble("start", error)

    replace(cls, "start", unseen(start))


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot:

    with its id, this names it for good (proc(5)).
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
        finally:
            os.close(fd)
    except (OSError, ValueError, IndexError):
        return None


def patch_multiprocess(cls: Any) -> None:
    """Stamp the exchange with the workers: epochs, indices sent, batches received, shutdown."""
    patch_construction(cls)
    _patch_between(cls, "_reset", EPOCH, EPOCH_READY)
    _patch_put_index(cls)
    _patch_get_data(cls)
    _patch_shutdown(cls)


def patch_single_process(cls: Any) -> None:
    """Stamp an iterator that loads in the process that trains."""
    patch_construction(cls)


def _patch_between(cls: Any, name: str, begin: int, end: int) -> None:
    original = getattr(cls, name)

    @functools.wraps(original)
    def reset(self: Any, loader: Any, first_iter: bool = False, *args: Any, **kwargs: Any) -> Any:
        state = state_of(self)
        if state is not None:
            emit(begin, state.serial, 0, now(), int(first_iter))
        else:
            journal.say("unseen")
        result = original(self, loader, first_iter, *args, **kwargs)
        if state is not None:
            emit(end, state.serial, 0, now())
        return result

    replace(cls, name, unseen(reset))


def _patch_put_index(cls: Any) -> None:
    original = cls._try_put_index

    @functools.wraps(original)
    def _try_put_index(self: Any) -> Any:
        idx, begun = self._send_idx, now()
        result = original(self)
        try:
            state = state_of(self)
            if state is not None and self._send_idx != idx:
                emit(INDEX, state.serial, idx, now(), begun, self._task_info[idx][0])
        except Exception as error:
            trouble("put_index", error)
        return result

    replace(cls, "_try_put_index", unseen(_try_put_index))


def _patch_get_data(cls: Any) -> None:
    original = cls._get_data

    @functools.wraps(original)
    def _get_data(self: Any) -> Any:
        result = original(self)
        try:
            state = state_of(self)
            if state is not None and type(result[0]) is int:
                state.received = result[0]
                emit(RECEIVED, state.serial, result[0], now(), state.read_bytes, state.read_at)
        except Exception as error:
            trouble("get_data", error)
        return result

    replace(cls, "_get_data", unseen(_get_data))


def _patch_shutdown(cls: Any) -> None:
    original: Callable[..., Any] = cls._shutdown_workers

    @functools.wraps(original)
    def _shutdown_workers(self: Any) -> Any:
        # Also runs from __del__, when the interpreter is being torn down.
        state = self.__dict__.get(_STATE) if self.__dict__.get("_shutdown") is False else None
        if state is None:
            return original(self)
        emit(SHUTDOWN, state.serial, 0, now())
        try:
            return original(self)
        finally:
            try:
                emit(SHUTDOWN_DONE, state.serial, 0, now())
                exits = _exits(self)
                if exits:
                    journal.say("worker-exits", serial=state.serial, exits=exits)
            except Exception as error:
                trouble("shutdown", error)

    replace(cls, "_shutdown_workers", unseen(_shutdown_workers))
