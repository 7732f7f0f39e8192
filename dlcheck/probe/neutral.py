"""How a wrapper stays out of sight: of warnings, of tracebacks, of error messages."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dlcheck.probe.journal import is_own_file

_F = TypeVar("_F", bound=Callable[..., Any])

_HERE = str(Path(__file__).parent)
_UNSEEN = str(Path(_HERE, "importlib_bootstrap"))
_FRAME = re.compile(rf'^  File "{re.escape(_HERE)}[^"\n]*", line \d+, in .*\n(?:    .*\n)*', re.MULTILINE)


def unseen(function: _F) -> _F:
    """Give ``function`` a file name that ``warnings.warn(..., stacklevel=N)`` does not count as a frame.

    ``warnings`` skips the frames of the import system, which it knows by "importlib" and "_bootstrap" in
    their file name (``_is_internal_frame`` in Lib/warnings.py, ``is_internal_frame`` in Python/_warnings.c),
    so that a warning of torch names the user's line with the probe as it does without.
    """
    if isinstance(function, types.FunctionType):
        function.__code__ = function.__code__.replace(co_filename=_UNSEEN)
    return function


def strip_traceback(error: BaseException) -> None:
    """Take the probe's frames out of the traceback of ``error``, but the outermost one, which is still
    running."""
    trace = error.__traceback__
    while trace is not None:
        following = trace.tb_next
        while following is not None and is_own_file(following.tb_frame.f_code.co_filename):
            following = following.tb_next
        trace.tb_next = following
        trace = following


def strip_message(text: str) -> str:
    """Take the probe's frames out of a formatted traceback."""
    return _FRAME.sub("", text)
