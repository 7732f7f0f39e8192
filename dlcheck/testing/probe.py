"""The probe that a test is given: it iterates a loader and says what it saw, or fails the test with the reason."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.diagnosis.units import amount
from dlcheck.probe import environment, hooks, journal
from dlcheck.probe.launch import INJECT
from dlcheck.probe.procfs import sample_process
from dlcheck.probe.recording import ENV_RECORDING
from dlcheck.probe.roster import Roster
from dlcheck.testing.digest import digest, samples
from dlcheck.testing.seen import Seen, capacity, causes_s

Loader = Iterable[Any]

_PRIVATE, _RSS = 3, 2
"""Places in what ``sample_process`` returns."""


class LoaderProbe:
    """Iterates loaders under the probe of ``dlcheck run``. Wherever a loader is wanted, a function that makes one will do."""

    def __init__(self, folder: Path) -> None:
        self._recording = _install(folder)

    def __call__(self, loader: Loader | Callable[[], Loader], batches: int | None = None) -> Seen:
        """Iterate one epoch of the loader, or ``batches`` of it, and say what was seen."""
        made = _made(loader)
        memory = _Memory(self._recording)
        arrivals: list[int] = []
        begun = time.monotonic_ns()
        with self._spawned_workers_too():
            for _ in _first(made, batches):
                arrivals.append(time.monotonic_ns())
                memory.look(len(arrivals))
        life, end = self._life(begun)
        counts = (
            [b.samples for i in life.iterators for e in i.epochs for b in e.batches if b.got is not None]
            if life
            else []
        )
        known = [count for count in counts if count is not None]
        seconds = (arrivals[-1] - arrivals[0]) / 1e9 if len(arrivals) > 1 else 0.0
        per_s = (len(arrivals) - 1) / seconds if seconds else 0.0
        each = sum(known) / len(known) if known and len(known) == len(counts) else None
        most = capacity(life, _usable_cores()) if life is not None else None
        return Seen(
            batches=len(arrivals),
            samples=sum(known) if each is not None else None,
            seconds=(arrivals[-1] - begun) / 1e9 if arrivals else 0.0,
            batches_per_s=per_s,
            samples_per_s=per_s * each if each is not None else None,
            capacity_samples_per_s=most * each if most is not None and each is not None else None,
            worker_private_bytes=memory.private,
            worker_rss_bytes=memory.rss,
            causes_s=causes_s(life, end) if life is not None else {},
        )

    def must_reach(
        self,
        loader: Loader | Callable[[], Loader],
        *,
        samples_per_s: float,
        batches: int | None = None,
        attempts: int = 3,
    ) -> Seen:
        """Fail unless the loader gives ``samples_per_s``, or would, were its cores not used by other programs.

        That other programs run on the machine is not the loader's fault: it passes when the work of its batches, timed
        without their waits for a core, allows the rate; and it has several ``attempts``. Returns the best pass.
        """
        best: Seen | None = None
        for _ in range(max(1, attempts)):
            seen = self(loader, batches)
            if best is None or _rate(seen) > _rate(best):
                best = seen
            if _rate(best) >= samples_per_s:
                return best
        assert best is not None
        if best.samples_per_s is None:
            raise AssertionError("the samples of a batch cannot be counted: give the loader a batch_size")
        alone = best.capacity_samples_per_s
        text = f"the loader gives {best.samples_per_s:.4g} samples/s"
        text += f", {alone:.4g} with its cores to itself" if alone is not None else ""
        raise AssertionError(f"{text}; {samples_per_s:g} are wanted. {best.why()}")

    def must_fit(
        self, loader: Loader | Callable[[], Loader], *, worker_private_bytes: int, batches: int | None = None
    ) -> Seen:
        """Fail where a worker's private memory (what it does not share with the parent) exceeds the limit."""
        seen = self(loader, batches)
        if seen.worker_private_bytes is None:
            raise AssertionError("the memory of the workers was not read: there are none, or no /proc")
        if seen.worker_private_bytes > worker_private_bytes:
            raise AssertionError(
                f"a worker has {amount(seen.worker_private_bytes)} of private memory after {seen.batches} batches;"
                f" {amount(worker_private_bytes)} are allowed"
            )
        return seen

    def must_repeat(self, make: Callable[[], Loader], *, seed: int = 0, batches: int | None = None) -> None:
        """Fail unless two loaders made under one seed give the same batches in the same order.

        ``make`` is called twice, each time with ``random``, NumPy's and torch's global generators seeded; their states
        are put back afterwards.
        """
        with _random_state_kept():
            first, second = (self._digests(make, seed, batches) for _ in range(2))
        for number, (one, other) in enumerate(zip(first, second, strict=False)):
            if one != other:
                raise AssertionError(
                    f"batch {number} differs between two passes under seed {seed}: something draws from a generator that"
                    " the seed does not set, or depends on time or on the order in which workers finish"
                )
        if len(first) != len(second):
            raise AssertionError(f"the passes have {len(first)} and {len(second)} batches under one seed")

    def must_not_duplicate(
        self,
        loader: Loader | Callable[[], Loader],
        *,
        batches: int | None = None,
        key: Callable[[Any], Iterable[Hashable]] | None = None,
    ) -> None:
        """Fail where a sample comes twice in an epoch, as when an iterable dataset is not divided among its workers.

        ``key`` takes a batch and gives what tells its samples apart (their names, their ids). Without it, samples are
        told apart by content.
        """
        counts: Counter[Hashable] = Counter()
        first_seen: dict[Hashable, int] = {}
        again: tuple[int, int] | None = None
        for number, batch in enumerate(_first(_made(loader), batches)):
            for name in key(batch) if key is not None else _contents(batch):
                counts[name] += 1
                if counts[name] == 2 and again is None:
                    again = first_seen[name], number
                first_seen.setdefault(name, number)
        if again is not None:
            double = sum(count > 1 for count in counts.values())
            raise AssertionError(
                f"{double} of {len(counts)} samples come more than once; the first of them in batches {again[0]} and {again[1]}"
            )

    def _digests(self, make: Callable[[], Loader], seed: int, batches: int | None) -> list[str]:
        import torch

        random.seed(seed)
        torch.manual_seed(seed)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed % 2**32)
        return [digest(batch) for batch in _first(make(), batches)]

    def _life(self, begun: int) -> tuple[LoaderLife | None, int]:
        """What this process' loop over a loader has left in the recording since ``begun``; and the time now."""
        lives = (_since(life, begun) for life in load(self._recording).loaders if life.pid == os.getpid())
        return next((life for life in lives if life.iterators), None), time.monotonic_ns()

    @contextlib.contextmanager
    def _spawned_workers_too(self) -> Iterator[None]:
        """Workers that are new interpreters find the probe by these variables."""
        before = {name: os.environ.get(name) for name in (ENV_RECORDING, "PYTHONPATH")}
        os.environ[ENV_RECORDING] = str(self._recording)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(INJECT), before["PYTHONPATH"])))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class _Memory:
    """The memory of this process' workers, read after batches 1, 2, 4, 8, ... of a pass."""

    def __init__(self, recording: Path) -> None:
        self._roster = Roster(recording)
        self._due = 1
        self.private: int | None = None
        self.rss: int | None = None

    def look(self, number: int) -> None:
        if number < self._due:
            return
        self._due *= 2
        self._roster.update()
        self._roster.forget_ended()
        for worker in self._roster.workers:
            seen = sample_process(worker.pid, with_memory=True) if worker.trainer == os.getpid() else None
            if seen is not None:
                self.rss = max(self.rss or 0, seen[_RSS])
                if seen[_PRIVATE] is not None:
                    self.private = max(self.private or 0, seen[_PRIVATE])


def _install(folder: Path) -> Path:
    """Put the probe's hooks into this process, once; returns the folder of its recording."""
    if journal.recording():
        return Path(journal.recording())
    import torch.utils.data.dataloader as module

    (folder / "events").mkdir(parents=True, exist_ok=True)
    hooks.install(module, str(folder))
    return folder


def _made(loader: Loader | Callable[[], Loader]) -> Loader:
    return loader() if callable(loader) and not hasattr(loader, "__iter__") else loader


def _first(loader: Loader, batches: int | None) -> Iterator[Any]:
    iterator = iter(loader)
    while batches is None or batches > 0:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        yield batch
        batches = None if batches is None else batches - 1


def _contents(batch: Any) -> list[Hashable]:
    taken = samples(batch)
    if taken is None:
        raise TypeError("the samples of this batch cannot be told apart: give must_not_duplicate a key")
    return [digest(sample) for sample in taken]


def _rate(seen: Seen) -> float:
    return max(seen.samples_per_s or 0.0, seen.capacity_samples_per_s or 0.0)


def _since(life: LoaderLife, begun: int) -> LoaderLife:
    """The epochs of a loader's life that began after ``begun``."""
    iterators = (
        replace(iterator, epochs=tuple(epoch for epoch in iterator.epochs if epoch.begin >= begun))
        for iterator in life.iterators
    )
    return replace(life, iterators=tuple(iterator for iterator in iterators if iterator.epochs))


def _usable_cores() -> float:
    limits = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        environment.cpu_quota(),
        os.cpu_count(),
    )
    return float(min(limit for limit in limits if limit is not None))


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    import torch

    numpy = sys.modules.get("numpy")
    kept = random.getstate(), torch.get_rng_state(), numpy.random.get_state() if numpy is not None else None
    try:
        yield
    finally:
        random.setstate(kept[0])
        torch.set_rng_state(kept[1])
        if numpy is not None:
            numpy.random.set_state(kept[2])
