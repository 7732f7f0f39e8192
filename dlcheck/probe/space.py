"""The disk that a recording lies on: room for the end of the run, and whether there was any left on the way."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SPARE_BYTES = 512_000
# Less than a process needs to begin to record.
_NEEDED_BYTES = 64_000


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
