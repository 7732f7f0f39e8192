"""The ways to run the loop: plain, under the probe, and under other tools."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOP = Path(__file__).with_name("loop.py")

_PROFILED = (
    "import runpy, sys\n"
    "from torch.profiler import ProfilerActivity, profile\n"
    "sys.argv = sys.argv[1:]\n"
    "with profile(activities=[ProfilerActivity.CPU]):\n"
    "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
)


@dataclass(frozen=True, slots=True)
class Way:
    """``command``: of the loop's arguments and a folder to write to. ``beside``: whether processes of it watch."""

    command: Callable[[list[str], Path], list[str]]
    beside: bool = True


def _plain(loop: list[str], folder: Path) -> list[str]:
    return [sys.executable, str(LOOP), *loop]


def _dlcheck(*options: str) -> Callable[[list[str], Path], list[str]]:
    def command(loop: list[str], folder: Path) -> list[str]:
        own = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--no-check", *options]
        return [*own, "--output", str(folder / "recording"), "--", str(LOOP), *loop]

    return command


def _py_spy(loop: list[str], folder: Path) -> list[str]:
    """Its own defaults, but for the workers too: 100 samples a second of each process."""
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--subprocesses", "--format", "raw"]
    return [*spy, "--output", str(folder / "spied.raw"), "--", sys.executable, str(LOOP), *loop]


def _profiler(loop: list[str], folder: Path) -> list[str]:
    return [sys.executable, "-c", _PROFILED, str(LOOP), *loop]


def _scalene(loop: list[str], folder: Path) -> list[str]:
    own = [sys.executable, "-m", "scalene", "run", "--cpu-only", "--outfile", str(folder / "scalene.json")]
    return [*own, str(LOOP), "---", *loop]


def _traceml(loop: list[str], folder: Path) -> list[str]:
    own = [
        str(Path(sys.executable).with_name("traceml")),
        "run",
        "--mode",
        "summary",
        "--logs-dir",
        str(folder),
    ]
    return [*own, "--no-save-training-output", str(LOOP), "--args", *loop, "traceml"]


WAYS = {
    "plain": Way(_plain, beside=False),
    "dlcheck": Way(_dlcheck()),
    "dlcheck-no-stacks": Way(_dlcheck("--no-stacks")),
    "py-spy": Way(_py_spy),
    "torch.profiler": Way(_profiler, beside=False),
    "scalene": Way(_scalene),
    "traceml": Way(_traceml),
}
