"""The stages of a batch where it is made (fetch, collate, hand on), in a worker or in the process that
trains."""

from __future__ import annotations

import functools
import heapq
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from dlcheck.probe import journal
from dlcheck.probe.clocks import elapsed, thread_clock
from dlcheck.probe.journal import emit, now, trouble
from dlcheck.probe.neutral import unseen
from dlcheck.probe.patches import replace
from dlcheck.probe.payload import fingerprint, payload_bytes
from dlcheck.probe.recording import (
    COLLATE,
    COLLATED,
    CONTENT,
    DATASET_READY,
    FAILED,
    FETCH,
    PUT,
    SAMPLE,
    UNKNOWN,
    bucket,
    pack_cost,
)

# Timing a sample costs 1 us in a tight loop, and up to 20 us where the sample's own work has emptied the caches meanwhile:
# above the first mean each sample is timed, above the second those of each fourth batch.
_EACH_SAMPLE_NS, _SOME_SAMPLES_NS = 4_000_000, 100_000
_TIMED_EVERY = 4
_SAMPLES_TO_JUDGE = 32
_JUDGE_AGAIN_BATCHES = 64
_SLOWEST_KEPT = 16
_SIZED_FIRST = 4
_SIZED_EVERY = 16

_OWN = "_dlcheck"

_making = threading.local()


def current() -> Stages | None:
    """The stages that a fetcher made now by this thread belongs to."""
    return getattr(_making, "stages", None)


def set_current(stages: Stages | None) -> Stages | None:
    """Set what ``current`` returns for this thread; returns what it returned before."""
    before = current()
    _making.stages = stages
    return before


class Stages:
    """Where the batch that is being made stands. ``serial`` is 0 in a worker.

    ``outside``: the batch is made by a program's own worker loop, without torch's fetcher; ``sampled``: the worker
    samples its own stacks; ``looked``: when it was last seen whether it should, ns on CLOCK_MONOTONIC; ``divided``: the
    workers are to divide an iterable dataset among themselves, so that their batches are worth comparing.
    """

    def __init__(self, serial: int, hands_on: bool) -> None:
        self.serial = serial
        self.hands_on = hands_on
        self.idx = 0
        self.received = 0
        self.batches = 0
        self.samples = UNKNOWN
        self.size = UNKNOWN
        self.mark = (0, 0)
        self.outside = False
        self.sampled = False
        self.looked = 0
        self.divided = False
        self.timer = SampleTimer(serial)

    def fetch_begins(self) -> None:
        t = now()
        self.samples = self.size = UNKNOWN
        self.mark = thread_clock().read()
        emit(FETCH, self.serial, self.idx, t, self.received or t)

    def collate_begins(self, data: Any, auto_collation: bool) -> None:
        t, mark = now(), thread_clock().read()
        emit(COLLATE, self.serial, self.idx, t, *elapsed(self.mark, mark))
        self.mark = mark
        if auto_collation and isinstance(data, (list, tuple)):
            self.samples = len(data)

    def collate_ends(self, batch: Any) -> None:
        t, mark = now(), thread_clock().read()
        emit(COLLATED, self.serial, self.idx, t, *elapsed(self.mark, mark))
        if self.batches < _SIZED_FIRST or self.batches % _SIZED_EVERY == 0:
            self.size = payload_bytes(batch)
            if self.divided:
                emit(CONTENT, self.serial, self.idx, now(), fingerprint(batch))

    def fetch_ends(self) -> None:
        self.batches += 1
        if self.hands_on:
            self.handed_on(self.idx)

    def handed_on(self, idx: int) -> None:
        emit(PUT, self.serial, idx, now(), self.samples, self.size)

    def made_outside(self, batch: Any) -> None:
        """All of it was fetching, as far as can be told."""
        self.collate_begins(None, auto_collation=False)
        self.collate_ends(batch)
        self.batches += 1

    def fetch_failed(self, error: Exception, index: Any) -> None:
        t = now()
        emit(FAILED, self.serial, self.idx, t)
        journal.say(
            "dataset-error",
            serial=self.serial,
            idx=self.idx,
            type=type(error).__qualname__,
            message=str(error)[:2000],
            stack=_stack(error),
            index=repr(index)[:400],
            sample=self.timer.in_progress(),
        )


class SampleTimer:
    """Times single samples, as long as a sample costs far more than its timing, and reports the slowest."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._slowest: list[int] = []
        self._seen = 0
        self._spent_ns = 0
        self._resting = 0
        self._turn = 0
        self._current: tuple[int, int] | None = None
        self.idx = 0

    def wanted(self) -> bool:
        """Whether the samples of the batch that begins now are to be timed."""
        if self._seen < _SAMPLES_TO_JUDGE:
            return True
        if self._spent_ns >= self._seen * _EACH_SAMPLE_NS:
            return True
        if self._spent_ns >= self._seen * _SOME_SAMPLES_NS:
            self._turn = (self._turn + 1) % _TIMED_EVERY
            return self._turn == 0
        self._resting += 1
        if self._resting >= _JUDGE_AGAIN_BATCHES:
            self._resting = self._seen = self._spent_ns = 0
        return False

    def begin(self, index: Any) -> int:
        t = now()
        if type(index) is not int:
            try:
                index = index.__index__()
            except Exception:
                index = -1
        self._current = (index, t)
        file = journal.events()
        if file is not None and 0 <= index < UNKNOWN - 1:
            file.sample(index, t)
        return t

    def end(self, begun: int) -> None:
        t = now()
        duration = t - begun
        self._seen += 1
        self._spent_ns += duration
        file = journal.events()
        if file is None:
            return
        file.histogram[bucket(duration)] += 1
        slowest = self._slowest
        if len(slowest) < _SLOWEST_KEPT:
            heapq.heappush(slowest, duration)
        elif duration > slowest[0]:
            heapq.heapreplace(slowest, duration)
        else:
            self._current = None
            return
        index = self._current[0] if self._current is not None else -1
        self._current = None
        emit(SAMPLE, self._serial, self.idx, t, index if index >= 0 else UNKNOWN, duration)

    def in_progress(self) -> int | None:
        """The dataset index of the sample that is being loaded, where it is known."""
        return self._current[0] if self._current is not None and self._current[0] >= 0 else None


class TimedDataset:
    """Stands for a map-style dataset inside torch's fetcher, and times each sample."""

    def __init__(self, dataset: Any, timer: SampleTimer) -> None:
        self._dlcheck_dataset = dataset
        self._dlcheck_timer = timer

    @unseen
    def __getitem__(self, index: Any) -> Any:
        timer = self._dlcheck_timer
        begun = timer.begin(index)
        sample = self._dlcheck_dataset[index]
        timer.end(begun)
        return sample

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dlcheck_dataset, name)


class TimedIterator:
    """Stands for the iterator of an iterable dataset inside torch's fetcher, and times each sample."""

    def __init__(self, iterator: Iterator[Any], timer: SampleTimer) -> None:
        self._dlcheck_iterator = iterator
        self._dlcheck_timer = timer

    def __iter__(self) -> Iterator[Any]:
        return self

    @unseen
    def __next__(self) -> Any:
        timer = self._dlcheck_timer
        begun = timer.begin(-1)
        sample = next(self._dlcheck_iterator)
        timer.end(begun)
        return sample

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dlcheck_iterator, name)


def timed_create_fetcher(original: Callable[..., Any]) -> Callable[..., Any]:
    """``_DatasetKind.create_fetcher``, but the fetcher that it makes stamps the stages of each batch."""

    @unseen
    def create_fetcher(*args: Any, **kwargs: Any) -> Any:
        begun = now()
        fetcher = original(*args, **kwargs)
        stages = current()
        if stages is not None:
            try:
                _instrument(fetcher, stages)
                # A worker's clocks began with its process.
                spent = 0 if stages.serial else pack_cost(time.process_time_ns(), thread_clock().read()[1])
                emit(DATASET_READY, stages.serial, 0, now(), begun, spent)
            except Exception as error:
                trouble("create_fetcher", error)
        return fetcher

    return create_fetcher


def _instrument(fetcher: Any, stages: Stages) -> None:
    # Its class is wrapped, and not its method: a fetcher that refers to itself would live, and with it the files and
    # generators that its dataset holds, until garbage is collected.
    stages.outside = False
    stages.divided = not stages.serial and hasattr(fetcher, "dataset_iter")
    fetcher.collate_fn = _timed_collate(fetcher.collate_fn, stages, bool(fetcher.auto_collation))
    vars(fetcher)[_OWN] = _Timing(stages, *_sample_source(fetcher, stages.timer))
    cls = type(fetcher)
    if not hasattr(cls.fetch, _OWN):
        replace(cls, "fetch", _timed_fetch(cls.fetch))


class _Timing:
    """What the hooks keep on a fetcher: its stages, and the attribute that single samples come from, plain and timed."""

    __slots__ = ("fetching", "name", "plain", "stages", "timed")

    def __init__(self, stages: Stages, name: str, plain: Any, timed: Any) -> None:
        self.stages, self.name, self.plain, self.timed = stages, name, plain, timed
        self.fetching = False

    def begin(self, fetcher: Any) -> None:
        self.fetching = True
        timer = self.stages.timer
        timer.idx = self.stages.idx
        wanted = timer.wanted()
        if self.timed is not None:
            # Someone else may have put an object of their own there: torchdata does when it restores a state.
            present = getattr(fetcher, self.name)
            if present is self.plain or present is self.timed:
                setattr(fetcher, self.name, self.timed if wanted else self.plain)
        self.stages.fetch_begins()


def _timed_collate(
    collate: Callable[[Any], Any], stages: Stages, auto_collation: bool
) -> Callable[[Any], Any]:
    @unseen
    def timed_collate(data: Any) -> Any:
        try:
            stages.collate_begins(data, auto_collation)
        except Exception as error:
            trouble("collate", error)
        batch = collate(data)
        try:
            stages.collate_ends(batch)
        except Exception as error:
            trouble("collate", error)
        return batch

    return timed_collate


def _timed_fetch(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(original)
    def fetch(self: Any, possibly_batched_index: Any) -> Any:
        index, timing = possibly_batched_index, vars(self).get(_OWN)
        if timing is None or timing.fetching:
            return original(self, index)
        stages = timing.stages
        try:
            timing.begin(self)
        except Exception as error:
            trouble("fetch", error)
        try:
            batch = original(self, index)
        except StopIteration:
            raise
        except Exception as error:
            try:
                stages.fetch_failed(error, index)
            except Exception as own:
                trouble("fetch", own)
            raise
        finally:
            timing.fetching = False
        try:
            if not self.auto_collation and isinstance(index, (list, tuple)):
                stages.samples = len(index)
            stages.fetch_ends()
        except Exception as error:
            trouble("fetch", error)
        return batch

    setattr(fetch, _OWN, True)
    return unseen(fetch)


def _sample_source(fetcher: Any, timer: SampleTimer) -> tuple[str, Any, Any]:
    """The attribute of ``fetcher`` that single samples come from, what it holds, and the same with times (None: not timed)."""
    if not type(fetcher).__module__.startswith(("torch.", "torchdata.")) or not fetcher.auto_collation:
        return "", None, None
    dataset = fetcher.dataset
    iterator = getattr(fetcher, "dataset_iter", None)
    if iterator is not None:
        # A stateful iterator is asked for its state, and compared with its dataset, by torchdata.
        if iterator is dataset or hasattr(iterator, "state_dict"):
            return "", None, None
        return "dataset_iter", iterator, TimedIterator(iterator, timer)
    if getattr(dataset, "__getitems__", None):
        return "", None, None
    return "dataset", dataset, TimedDataset(dataset, timer)


def _stack(error: BaseException) -> list[tuple[str, int, str]]:
    """The frames of a traceback, innermost last, without those of the probe and of torch's loader."""
    stack = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not journal.is_own_file(code.co_filename):
            stack.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return stack[-50:]
