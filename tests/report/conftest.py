"""A real browser for the tests of pages, where one can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: Playwright's own, or one that is installed. Tests are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        found = [None, *(path for name in _NAMES if (path := shutil.which(name)))]
        for path in found:
            try:
                started = playwright.chromium.launch(executable_path=path, args=options)
            except api.Error:
                continue
            yield started
            started.close()
            return
        pytest.skip("no Chromium: neither that of Playwright nor one on PATH can be started")
