"""Hands the loop cached batches, where ``dlcheck run --replay`` asks for it, so that loading costs nothing.

Each loader is iterated as it is for a while: until ``real_s`` have passed, or half an epoch, and at least
``_FEWEST_REAL`` batches. Then its workers are shut down, and the first batches, which were kept, are handed out again
and again, as many per epoch as the loader has. An epoch of unknown length ends ``real_s`` after that. What is
measured is the time from handing out a cached batch to the request for the next one.
"""

from __future__ import annotations

import atexit
import copy
import functools
import json
import os
from typing import Any

from dlcheck.probe import describe, journal, stopping
from dlcheck.probe.neutral import unseen
from dlcheck.probe.override import is_at
from dlcheck.probe.patches import replace
from dlcheck.probe.payload import payload_bytes
from dlcheck.probe.recording import UNKNOWN

ENV_REPLAY = "DLCHECK_REPLAY"
"""JSON: ``{"real_s": seconds, "loader": [file, line]}``, or null for every loader."""

_TAPE, _PASS = "_dlcheck_tape", "_dlcheck_pass"
_FEWEST_REAL = 16
_MOST_KEPT = 16
_MOST_KEPT_BYTES = 512 << 20
_SAY_EVERY_NS = 500_000_000
_tapes: list[_Tape] = []


def wanted() -> dict[str, Any] | None:
    """What this run is to replay, if anything."""
    text = os.environ.get(ENV_REPLAY)
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None


def patch_loader(cls: Any) -> None:
    """Let the epochs of ``cls`` (DataLoader, or one that stands for it) be played from a tape, once there is one."""
    want = wanted()
    if want is None:
        return
    original = cls.__iter__

    @functools.wraps(original)
    def __iter__(self: Any) -> Any:
        tape = _tape_of(self, want)
        if tape is not None and tape.playing:
            return _Playback(tape)
        iterator = original(self)
        if tape is not None:
            iterator.__dict__[_PASS] = _Pass(tape)
        return iterator

    replace(cls, "__iter__", unseen(__iter__))


def patch_next(cls: Any) -> None:
    """Let the iterators of ``cls`` (torch's base class of them) fill the tape, and go over to it."""
    if wanted() is None:
        return
    following = cls.__next__

    @functools.wraps(following)
    def __next__(self: Any) -> Any:
        epoch: _Pass | None = self.__dict__.get(_PASS)
        return following(self) if epoch is None else epoch.next(lambda: following(self), self)

    replace(cls, "__next__", unseen(__next__))


def _tape_of(loader: Any, want: dict[str, Any]) -> _Tape | None:
    try:
        if _TAPE not in loader.__dict__:
            meant = is_at(want.get("loader"), describe.made_at(loader))
            loader.__dict__[_TAPE] = _Tape(loader, want["real_s"]) if meant else None
        tape: _Tape | None = loader.__dict__[_TAPE]
        return tape
    except Exception as error:
        journal.trouble("replay", error)
        return None


class _Tape:
    """The batches of one loader that are kept, and the times of the steps that were taken with them."""

    def __init__(self, loader: Any, real_s: float) -> None:
        self.number = describe.number(loader)
        self.real_ns = int(real_s * 1e9)
        self.length = _length(loader)
        self.playing = False
        self.batches: list[Any] = []
        self._bytes = 0
        self._real = 0
        self._begun = 0
        self._steps: list[int] = []
        self._said = 0
        _tapes.append(self)

    def keep(self, batch: Any) -> None:
        """Keep one of the first batches."""
        self._real += 1
        self._begun = self._begun or journal.now()
        if len(self.batches) < _MOST_KEPT and self._bytes < _MOST_KEPT_BYTES:
            size = payload_bytes(batch)
            self._bytes += 0 if size == UNKNOWN else size
            # The loop may take apart the one that it gets.
            self.batches.append(_fresh(batch))

    def is_full(self, handed: int) -> bool:
        """Whether enough was loaded, with so many batches handed out in this epoch."""
        if self._real < _FEWEST_REAL:
            return False
        halfway = self.length is not None and 2 * handed >= self.length
        return halfway or journal.now() - self._begun >= self.real_ns

    def stepped(self, ns: int) -> None:
        """The loop has taken a step with a cached batch."""
        self._steps.append(ns)
        t = journal.now()
        if t - self._said > _SAY_EVERY_NS:
            self.say(t)

    def say(self, t: int) -> None:
        """Write down what was measured."""
        self._said = t
        if self._steps:
            steps, self._steps = self._steps, []
            journal.say("replayed", number=self.number, steps_ns=steps)


class _Pass:
    """One epoch, from its first batch to its end."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        self._handed = 0
        self._played_from = 0
        self._left = 0

    def next(self, load: Any, iterator: Any = None) -> Any:
        """The next batch: by ``load``, or from the tape."""
        tape = self._tape
        if not self._played_from and not tape.playing:
            try:
                batch = load()
            except StopIteration:
                # The length of an iterable dataset is known now.
                tape.length = self._handed
                tape.playing = tape.is_full(self._handed)
                raise
            self._handed += 1
            tape.keep(batch)
            if tape.is_full(self._handed):
                tape.playing, self._played_from = True, journal.now()
                self._left = 0
                _dismiss(iterator)
            return batch
        return self.play()

    def play(self) -> Any:
        """The next batch from the tape."""
        tape, t = self._tape, journal.now()
        self._played_from = self._played_from or t
        if self._left:
            tape.stepped(t - self._left)
        if self._is_over(t):
            tape.say(t)
            raise StopIteration
        batch = _fresh(tape.batches[self._handed % len(tape.batches)])
        self._handed += 1
        self._left = journal.now()
        return batch

    def _is_over(self, t: int) -> bool:
        if self._tape.length is None:
            return t - self._played_from >= self._tape.real_ns
        return self._handed >= self._tape.length


class _Playback:
    """An epoch that is played from its beginning."""

    def __init__(self, tape: _Tape) -> None:
        self._pass = _Pass(tape)

    def __iter__(self) -> _Playback:
        return self

    def __next__(self) -> Any:
        stopping.ask()
        return self._pass.play()


def _dismiss(iterator: Any) -> None:
    """Shut the workers down: what they would make now would cost the loop."""
    try:
        shutdown = getattr(iterator, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()
    except Exception as error:
        journal.trouble("replay", error)


def _fresh(value: Any) -> Any:
    """A copy of the containers, with the same tensors in them: loops take fields out of batches."""
    try:
        if type(value) is dict:
            return {key: _fresh(inner) for key, inner in value.items()}
        if type(value) in (list, tuple):
            return type(value)(_fresh(inner) for inner in value)
        if hasattr(value, "untyped_storage"):
            return value
        return copy.copy(value)
    except Exception:
        return value


def _length(loader: Any) -> int | None:
    try:
        return None if loader.__dict__.get("_dataset_kind") else len(loader)
    except Exception:
        return None


@atexit.register
def _say_all() -> None:
    for tape in _tapes:
        try:
            tape.say(journal.now())
        except Exception as error:
            journal.trouble("replay", error)
