"""Signals and exit statuses pass through the launcher."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dlcheck.probe.launch import run
from dlcheck.probe.signals import shell_status

from .conftest import launcher_command

COUNTS = """
import signal, sys, time
caught = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda n, frame: caught.append(int(n)))
print("ready", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
while not caught:
    time.sleep(0.05)
time.sleep(1)
print("caught", caught, flush=True)
sys.exit(9)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    return path


def read_until(descriptor: int, text: str) -> str:
    seen = ""
    while text not in seen:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data.decode()
    return seen


def test_key_on_the_terminal_reaches_the_program_once(tmp_path: Path, script: Path) -> None:
    command = launcher_command(tmp_path / "recording", str(script))
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    assert "ready True True" in read_until(terminal, "ready True True")
    os.write(terminal, b"\x03")
    assert "caught [2]" in read_until(terminal, "]")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signal_to_the_launcher_is_passed_on_once(tmp_path: Path, script: Path, number: int) -> None:
    command = launcher_command(tmp_path / "recording", str(script))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline().startswith("ready")
        launcher.send_signal(number)
        assert launcher.stdout.read() == f"caught [{int(number)}]\n"
        assert launcher.wait(60) == 9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_end_by_a_signal_is_passed_on(tmp_path: Path, number: int) -> None:
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    command = launcher_command(tmp_path / "recording", "-c", code)
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == -number
    assert shell_status(-number) == 128 + number


def test_program_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(f"import time; time.sleep(2); open({str(tmp_path / 'done')!r}, 'w').close()")
    launcher = subprocess.Popen(launcher_command(tmp_path / "recording", str(own), stacks=True))
    time.sleep(1)
    launcher.kill()
    launcher.wait()
    for _ in range(300):
        if (tmp_path / "done").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "done").exists()


def test_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run([str(tmp_path / "nothing")], tmp_path / "recording")
