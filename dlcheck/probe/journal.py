"""What this process has recorded so far: its event file and its side file of JSON lines.

Every hook goes through here. Nothing is opened before there is something to say, a child made by fork starts
a journal of its own, and nothing that goes wrong reaches the user's code.
"""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcheck.probe.eventfile import EventFile

now: Callable[[], int] = time.monotonic_ns

_TROUBLE_LIMIT = 20
_MOST_SAID_BYTES = 32_000_000
_TOO_MUCH = "it has said more than is kept: errors and workers that came later are not known"
_HERE = str(Path(__file__).parent)

_recording = ""
_at_fork = False
_stem = ""
_file: EventFile | None = None
_off = True
_said_bytes = 0
_troubles: dict[str, int] = {}
_forked_from: list[EventFile | None] = []


def start(recording: str) -> None:
    """Record this process, and each child that it forks, in the directory ``recording``."""
    global _recording, _off, _at_fork
    _recording, _off = recording, False
    if not _at_fork and hasattr(os, "register_at_fork"):
        _at_fork = True
        os.register_at_fork(after_in_child=_after_fork)


def stop() -> None:
    """Record nothing more, until ``start`` names another recording."""
    global _recording, _stem
    _stop()
    _recording, _stem = "", ""
    _troubles.clear()


def recording() -> str:
    """The directory of the recording."""
    return _recording


def events() -> EventFile | None:
    """This process' event file, opened now if need be; None where nothing can be recorded."""
    if _file is None and not _off:
        _open()
    return _file


def emit(kind: int, serial: int, idx: int, t: int, a: int = 0, b: int = 0) -> None:
    """Append one event (see ``dlcheck.probe.recording`` for the fields)."""
    try:
        file = _file or events()
        if file is not None:
            file.append(kind, serial, idx, t, a, b)
    except Exception as error:
        trouble("emit", error)


def say(kind: str, **fields: Any) -> None:
    """Append one JSON line to the side file, which is bounded: errors that a program catches can come without end."""
    global _said_bytes
    if not _stem:
        events()
    if _stem and _said_bytes < _MOST_SAID_BYTES:
        line = json.dumps({"kind": kind, "t": now(), **fields}, default=repr) + "\n"
        _said_bytes += len(line)
        if _said_bytes >= _MOST_SAID_BYTES:
            line += json.dumps({"kind": "trouble", "t": now(), "hook": "say", "error": _TOO_MUCH}) + "\n"
        try:
            fd = os.open(_stem + ".jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(fd, line.encode("utf-8", "backslashreplace"))
            finally:
                os.close(fd)
        except OSError:
            pass


def trouble(hook: str, error: Exception) -> None:
    """Record that a hook failed, and go on without it.

    Raises ``error`` again where it is not the probe's own: a signal handler (torch's for a dead worker, a
    user's alarm) may run, and raise, in the middle of a hook.
    """
    if _raised_by_signal_handler(error):
        raise error
    count = _troubles[hook] = _troubles.get(hook, 0) + 1
    if count == 1:
        say("trouble", hook=hook, error=f"{type(error).__name__}: {error}")
    elif count == _TROUBLE_LIMIT:
        _stop()


def _raised_by_signal_handler(error: BaseException) -> bool:
    if error.__traceback__ is None or error.__traceback__.tb_next is None:
        return False
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    functions = [getattr(handler, "__func__", handler) for handler in handlers if callable(handler)]
    codes = {getattr(function, "__code__", None) for function in functions}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def is_own_file(filename: str) -> bool:
    """Whether a frame with this file name is one of the probe's hooks."""
    return filename.startswith(_HERE)


def _open() -> None:
    global _file, _stem, _off, _said_bytes
    if Path(_recording, "full").exists():
        _off = True
        return
    t, pid = now(), os.getpid()
    stem = str(Path(_recording, "events", f"{pid}-{t}"))
    try:
        _file = EventFile(stem + ".bin", pid, t)
        _stem, _said_bytes = stem, 0
    except OSError:
        _off = True


def _stop() -> None:
    global _off, _file
    _off = True
    _forked_from.append(_file)
    _file = None


def _after_fork() -> None:
    # The parent's file is kept, not used: closing its maps could close descriptors that are the child's by
    # now.
    global _file, _stem
    _forked_from.append(_file)
    _file, _stem = None, ""
