"""How wrappers stay out of sight of warnings and tracebacks."""

from __future__ import annotations

import signal
import traceback
import warnings

import pytest

from dlcheck.probe import journal
from dlcheck.probe.neutral import strip_message, strip_traceback, unseen


def warn() -> None:
    warnings.warn("look here", stacklevel=2)


@unseen
def wrapper() -> None:
    warn()


def test_warning_names_the_line_that_it_names_without_the_wrapper() -> None:
    with pytest.warns(UserWarning, match="look here") as caught:
        wrapper()
        warn()
    assert {item.filename for item in caught} == {__file__}
    assert caught[0].lineno + 1 == caught[1].lineno


@unseen
def passing_on() -> None:
    raise LookupError("gone")


def test_frames_of_wrappers_leave_tracebacks() -> None:
    try:
        passing_on()
    except LookupError as error:
        text = "".join(traceback.format_exception(error))
        assert "importlib_bootstrap" in text
        assert "importlib_bootstrap" not in strip_message(text)
        assert 'raise LookupError("gone")' not in strip_message(text)
        strip_traceback(error)
        assert "importlib_bootstrap" not in "".join(traceback.format_exception(error))


def test_error_of_a_signal_handler_passes_through_a_hook() -> None:
    def handler(number: int, frame: object) -> None:
        raise TimeoutError("the user's own alarm")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(TimeoutError):
            try:
                signal.raise_signal(signal.SIGUSR1)
            except Exception as error:
                journal.trouble("test", error)
        try:
            raise ValueError("the probe's own")
        except ValueError as error:
            journal.trouble("test", error)
    finally:
        signal.signal(signal.SIGUSR1, before)
