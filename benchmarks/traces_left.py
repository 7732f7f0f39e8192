"""What a run leaves behind: processes, shared memory, temporary files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

MARK = "DLCHECK_BENCHMARK_MARK"
_SHM = Path("/dev/shm")
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 1 << 14, 1 << 18


def own_shared_memory() -> bool:
    """Give this process, and all that it starts, a /dev/shm of its own; False where that is not allowed (not root).

    Without it others may use /dev/shm at the same time, and what appears there can be theirs.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_CLONE_NEWNS):
        return False
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        return False
    return not libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, None)


@dataclass(frozen=True)
class Process:
    """One that carries the mark of a place. ``command``: its arguments."""

    pid: int
    parent: int
    command: tuple[str, ...]


def role_of(process: Process, launcher: int, program: str) -> str:
    """What a process of a run of ``program`` is: "launcher", "loop", "worker", "py-spy", "helper" or "other"."""
    if process.pid == launcher:
        return "launcher"
    if Path(process.command[0]).name == "py-spy":
        return "py-spy"
    if "-IS" in process.command:
        return "helper"
    if program not in process.command:
        return "other"
    # A launcher that was killed leaves the loop to this process, or to the first one.
    return "loop" if process.parent in (launcher, os.getpid(), 1) else "worker"


class Place:
    """A folder for runs: their environment marks every process that comes of them, and holds their temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        self._shm = self._shared()

    def environment(self) -> dict[str, str]:
        """The variables for a run."""
        name, _, value = self._mark.partition("=")
        return {**os.environ, name: value, "TMPDIR": str(self.temporary), "PYTHONDONTWRITEBYTECODE": "1"}

    def processes(self) -> list[Process]:
        """Those that carry the mark and live; one that has ended and was not waited for does not count."""
        found = []
        for entry in os.scandir("/proc"):
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError, IndexError):
                folder = Path(entry.path)
                if self._mark.encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                command = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
                state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
                if state != "Z":
                    found.append(Process(int(entry.name), int(parent), tuple(command)))
        return found

    def left(self, patience_s: float) -> list[str]:
        """What is still there after at most ``patience_s``: a line for each."""
        deadline = time.monotonic() + patience_s
        while (lines := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return lines

    def end_all(self) -> None:
        """Kill what is left of the runs, and remove what they left in /dev/shm and in the temporary folder."""
        for process in self.processes():
            with contextlib.suppress(OSError):
                os.kill(process.pid, 9)
        for path in self.temporary.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        self._shm |= self._shared()

    def _left(self) -> list[str]:
        lines = [f"process {p.pid}: {' '.join(p.command)[:120]}" for p in self.processes()]
        lines += [f"shared memory {name}" for name in sorted(self._shared() - self._shm)]
        return lines + [f"temporary file {path.name}" for path in sorted(self.temporary.iterdir())]

    @staticmethod
    def _shared() -> set[str]:
        try:
            return {path.name for path in _SHM.iterdir() if path.lstat().st_uid == os.getuid()}
        except OSError:
            return set()
