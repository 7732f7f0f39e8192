"""What holds for all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A cache that is not the user's; and garbage is collected again after a command that switched that off."""
    monkeypatch.setenv("DLCHECK_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    yield
    gc.enable()
