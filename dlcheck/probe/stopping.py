"""Ends the training from inside, when its loop has had so many batches or so many seconds, where that is asked for.

The call of ``next`` that would be one too many raises SystemExit(0): blocks of ``finally`` and ``with`` and exit
handlers run, workers are shut down, the process ends with status 0. A program that catches that, and goes on, is
ended from outside: see ``dlcheck.probe.ending``. The ranks of a distributed job, which wait for each other,
stop at the same batch.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dlcheck.probe import describe, journal
from dlcheck.probe.neutral import unseen
from dlcheck.probe.override import is_at
from dlcheck.probe.patches import replace

ENV_STOP = "DLCHECK_STOP"
"""JSON: ``{"batches": n, "seconds": s, "loader": [file, line]}``, each of them null where it sets no bound. Both are
counted over the loaders that are meant, from the first request for a batch."""

STOPPED = "stopped"
"""The file in the recording that says that a stop is under way, and at which batch (of ranks: of each)."""

_COUNTED = "_dlcheck_counted"
# Ranks that take their steps together are this close to each other.
_MARGIN = 8
_counts: list[_Count] = []


def wanted() -> dict[str, Any] | None:
    """The bounds of this run, if there are any."""
    text = os.environ.get(ENV_STOP)
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None


def patch(cls: Any) -> None:
    """Let the iterators of ``cls`` (torch's base class of them) end the program at the bounds that are wanted."""
    want = wanted()
    if want is None:
        return
    count = _Count(want)
    _counts[:] = [count]
    construct, following = cls.__init__, cls.__next__

    @functools.wraps(construct)
    def __init__(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if _in_worker() or not is_at(want.get("loader"), describe.made_at(loader)):
                self.__dict__[_COUNTED] = False
        except Exception as error:
            journal.trouble("stop", error)
        construct(self, loader, *args, **kwargs)

    @functools.wraps(following)
    def __next__(self: Any) -> Any:
        if self.__dict__.get(_COUNTED) is False:
            return following(self)
        ask()
        batch = following(self)
        count.batches += 1
        return batch

    replace(cls, "__init__", unseen(__init__))
    replace(cls, "__next__", unseen(__next__))


def ask() -> None:
    """End the program if the batch that is asked for now is one too many."""
    if any(count.is_due() for count in _counts):
        _end()


class _Count:
    """How far the loops have come, and where they end."""

    def __init__(self, want: dict[str, Any]) -> None:
        self.batches = 0
        self._most = want.get("batches")
        self._ns = None if want.get("seconds") is None else int(want["seconds"] * 1e9)
        self._begun = 0
        self._marked = False
        self._marker = Path(journal.recording(), STOPPED)
        self._ranked = os.environ.get("WORLD_SIZE", "1") != "1"

    def is_due(self) -> bool:
        """Whether the batch that is asked for now is one too many."""
        t = journal.now()
        self._begun = self._begun or t
        if self._most is not None and self.batches >= self._most:
            self._mark()
            return True
        if self._ns is not None and t - self._begun >= self._ns and not self._marked:
            self._most = self.batches + _MARGIN * self._ranked
            self._mark()
        if self._ranked and not self._marked and self._marker.exists():
            self._follow()
        return self._most is not None and self.batches >= self._most

    def _mark(self) -> None:
        # Whichever rank is first says where, and the others do as it says.
        self._marked = True
        with contextlib.suppress(OSError):
            part = self._marker.with_name(f"{STOPPED}-{os.getpid()}")
            part.write_text(str(self._most), encoding="ascii")
            with contextlib.suppress(FileExistsError):
                os.link(part, self._marker)
            part.unlink()
        if self._ranked:
            self._follow()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._most = int(self._marker.read_text(encoding="ascii"))
            self._marked = True


def _end() -> None:
    if threading.current_thread() is not threading.main_thread():
        # SystemExit ends this thread only; the main one may be waiting for what it would have brought.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    raise SystemExit(0)


def _in_worker() -> bool:
    module = sys.modules.get("torch.utils.data._utils.worker")
    return getattr(module, "_worker_info", None) is not None
