"""How py-spy is run for a window of stacks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlcheck.probe import stacks
from dlcheck.probe.stacks import Stacks

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the probe needs Linux")


@pytest.mark.parametrize(("free", "stops"), [(1.5, True), (0.1, False)])
def test_nothing_is_stopped_to_be_read_where_no_core_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, stops: bool
) -> None:
    (tmp_path / "stacks").mkdir()
    fake = tmp_path / "py-spy"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n', encoding="utf-8")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(stacks._Cores, "free", lambda self: free)
    monkeypatch.setattr(stacks, "may_be_read", lambda pid: True)
    monkeypatch.setattr(subprocess.Popen, "send_signal", lambda self, number: None)
    sampler = Stacks(str(fake), tmp_path)
    trainer = SimpleNamespace(pid=os.getpid(), is_running=lambda: True)
    sampler.tick([trainer], {})  # type: ignore[list-item]
    sampler.close()
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8").split()
    assert "record" in arguments and ("--nonblocking" not in arguments) == stops
