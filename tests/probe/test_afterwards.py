"""What goes on when a command has ended is found, though it forks while it is looked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.probe import afterwards
from dlcheck.probe.recording import ENV_RECORDING

# Forks twice, as what becomes a daemon does; has a file called libtorch in its memory.
DAEMON = """
import mmap, os, sys, time
library = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(60)
"""


def test_a_daemon_is_found_whenever_it_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "_GRACE_S", 0.05)
    library = tmp_path / "libtorch.so"
    library.write_bytes(b"\0")
    environment = dict(os.environ) | {ENV_RECORDING: str(tmp_path)}
    for _ in range(20):
        subprocess.run([sys.executable, "-S", "-c", DAEMON, library], env=environment, check=True)
        found = afterwards.going_on(tmp_path, ())
        assert found
        for pid in found:
            os.kill(pid, signal.SIGKILL)
