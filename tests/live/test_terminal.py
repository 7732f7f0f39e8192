"""The live view in a real terminal (tmux), beside a training that draws progress bars of its own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlcheck.probe import outside

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

TRAIN = """
import sys, time
from torch.utils.data import DataLoader

class Slow(list):
    def __getitem__(self, index):
        time.sleep(0.02)
        return index

if __name__ == "__main__":
    for epoch in range(3):
        for number, batch in enumerate(DataLoader(Slow(range(400)), batch_size=4, num_workers=1)):
            sys.stdout.write(f"\\rPROGRESS {'#' * (number // 5):<20} {number + 1:3}/100")
            sys.stdout.flush()
        print(f"\\nEPOCH {epoch} DONE")
"""


class Terminal:
    """A tmux session of its own server."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null"]
        subprocess.run(
            [*self._tmux, "new-session", "-d", "-x", "110", "-y", "30", "-c", str(folder), "sh"], check=True
        )

    def type(self, line: str) -> None:
        subprocess.run([*self._tmux, "send-keys", line, "Enter"], check=True)

    def screen(self) -> list[str]:
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    def until(self, holds: Callable[[list[str]], bool], seconds: float = 120.0) -> list[str]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self.screen()
            if holds(lines):
                return lines
            time.sleep(0.2)
        raise AssertionError("never seen on the terminal:\n" + "\n".join(self.screen()))

    def resize(self, columns: int, rows: int) -> None:
        subprocess.run([*self._tmux, "resize-window", "-x", str(columns), "-y", str(rows)], check=True)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    made = Terminal(tmp_path)
    yield made
    made.close()


def dlcheck(*words: str) -> str:
    return shlex.join([sys.executable, "-m", "dlcheck", *words])


def has(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def in_panel(lines: list[str]) -> bool:
    """Whether the bottom lines show the loader, and its verdict below."""
    bottom = lines[-6:]
    return any("train.py:12" in line and "batches" in line for line in bottom) and any(
        "fetch-io" in line for line in bottom
    )


def numbers(lines: list[str]) -> list[str]:
    """The lines that are a number and nothing else."""
    return [line.strip() for line in lines if line.strip().isdecimal()]


def test_live_lines_stay_below_the_progress_bars(terminal: Terminal) -> None:
    terminal.type(dlcheck("run", "--live", "--no-stacks", "--output", "rec", "train.py"))
    lines = terminal.until(lambda lines: in_panel(lines) and has("EPOCH 1 DONE")(lines))
    above = lines[:-6]
    bars = [line for line in above if line.startswith("PROGRESS")]
    # One bar for each epoch that was begun, none of them torn or doubled by what is drawn below.
    assert len(bars) in (2, 3)
    assert all(bar.rstrip().endswith("/100") and bar.count("PROGRESS") == 1 for bar in bars)
    assert [line for line in above if line.startswith("EPOCH")] == ["EPOCH 0 DONE", "EPOCH 1 DONE"]
    assert not any(
        "train.py:12" in line for line in above if "dlcheck run" not in line and "-m dlcheck" not in line
    )
    ended = terminal.until(has("Recording and report.json"))
    assert not any("EPOCH" in line and "batches" in line for line in ended)
    # All of the terminal scrolls again.
    terminal.type("clear; seq 1 60")
    lines = terminal.until(lambda lines: "60" in numbers(lines))
    assert numbers(lines)[-1] == "60"
    assert len(numbers(lines)) >= 28


def test_live_lines_follow_a_resize(terminal: Terminal) -> None:
    terminal.type(dlcheck("run", "--live", "--no-stacks", "--quiet", "--output", "rec", "train.py"))
    terminal.until(in_panel)
    terminal.resize(90, 24)
    lines = terminal.until(lambda lines: len(lines) <= 24 and in_panel(lines) and has("EPOCH 1 DONE")(lines))
    assert sum("train.py:12" in line and "batches" in line for line in lines[-6:]) == 1
    bars = [line for line in lines if line.startswith("PROGRESS")]
    assert bars and all(bar.rstrip().endswith("/100") for bar in bars)


def test_top_watches_a_run_from_beside(terminal: Terminal, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dlcheck",
        "run",
        "--no-stacks",
        "--quiet",
        "--output",
        "rec",
        "train.py",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as run:
        time.sleep(1)
        for _ in range(100):
            if (tmp_path / "rec" / "events").is_dir() and any((tmp_path / "rec" / "events").glob("*.bin")):
                break
            time.sleep(0.2)
        terminal.type(dlcheck("top", str(run.pid)))
        wanted = [has(text) for text in ("train.py:12", "waits", "fetch batch", "fetch-io")]
        terminal.until(lambda lines: all(seen(lines) for seen in wanted))
        terminal.until(has("has ended"))
        assert run.wait() == 0
    once = subprocess.run(
        [sys.executable, "-m", "dlcheck", "top", "rec", "--once"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert once.returncode == 0 and "has ended" in once.stdout and "300 batches" in once.stdout


def test_top_watches_a_training_without_dlcheck(terminal: Terminal, tmp_path: Path) -> None:
    try:
        outside.usable_pyspy()
    except outside.AttachError as error:
        pytest.skip(str(error))
    long = TRAIN.replace("range(3)", "range(100)")
    (tmp_path / "train.py").write_text(long, encoding="utf-8")
    with subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, stdout=subprocess.DEVNULL) as run:
        try:
            time.sleep(5)
            terminal.type(dlcheck("top", str(run.pid)))
            wanted = [has(text) for text in (f"process {run.pid}", "waits", "fetch-io", "busy", "train.py:7")]
            terminal.until(lambda lines: all(seen(lines) for seen in wanted))
            assert run.poll() is None
        finally:
            run.kill()
        terminal.until(has("has ended"))


def test_live_without_a_terminal_is_said_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("print('out')", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "dlcheck",
        "run",
        "--live",
        "--no-stacks",
        "--output",
        "rec",
        "nothing.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "out\n")
    assert "--live" in done.stderr and "\x1b" not in done.stderr


def test_top_without_a_run_is_one_line(tmp_path: Path) -> None:
    for words in (["top"], ["top", "missing"], ["top", str(2**30)]):
        command = [sys.executable, "-m", "dlcheck", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
