"""The disk that a recording lies on: room for the end of the run, and whether there was any left on the way."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_SPARE_BYTES = 512_000
# Less than a process needs to begin to record.
_NEEDED_BYTES = 64_000


# Of linux/fs.h.
_GET_FLAGS, _SET_FLAGS, _NO_COPY_ON_WRITE = 0x80086601, 0x40086602, 0x00800000


def write_in_place(directory: Path) -> None:
    """Let files that are made in ``directory`` from now on be written in place, where the file system knows the flag.

    btrfs copies a page that is written again, and where it finds no room for that it ends the process that has mapped
    it by SIGBUS: a full disk would end the training. See chattr(1), attribute C.
    """
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        descriptor = os.open(directory, os.O_RDONLY)
        try:
            flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)), sys.byteorder)
            fcntl.ioctl(descriptor, _SET_FLAGS, (flags | _NO_COPY_ON_WRITE).to_bytes(8, sys.byteorder))
        finally:
            os.close(descriptor)


class Space:
    """Keeps some room of the disk, so that what is known can still be said when a run has filled it."""

    def __init__(self, recording: Path) -> None:
        self._recording = recording
        self._spare = recording / "spare"
        with contextlib.suppress(OSError):
            if self._free_bytes() > 4 * _SPARE_BYTES:
                self._spare.write_bytes(bytes(_SPARE_BYTES))

    def trouble(self) -> str | None:
        """What is wrong with the folder now, as a note; None: nothing."""
        try:
            free = self._free_bytes()
        except OSError:
            return "the folder of the recording was removed while the program ran: what was recorded is lost"
        if free < _NEEDED_BYTES:
            return "the disk of the recording was full while the program ran: what came later may be missing"
        return None

    def release(self) -> None:
        """Give the room back, for what is written at the end."""
        with contextlib.suppress(OSError):
            self._spare.unlink()

    def _free_bytes(self) -> int:
        free = os.statvfs(self._recording)
        return free.f_bavail * free.f_frsize
