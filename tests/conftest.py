"""What holds for all tests."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest


def pytest_configure() -> None:
    """Programs in the background of a shell ignore Ctrl-C, and so would all that the tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A cache that is not the user's; and garbage is collected again after a command that switched that off."""
    monkeypatch.setenv("DLCHECK_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    yield
    gc.enable()
