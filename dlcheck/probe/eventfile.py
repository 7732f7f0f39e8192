"""The file that one process appends its events to:

memory-mapped, so that what was written survives SIGKILL.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
import sys
import threading
import time
from typing import Any

from dlcheck.probe.recording import (
    BEGIN,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_OFFSET,
    MAGIC,
    MAX_PAGES,
    PAGE_BYTES,
    PAIR,
    PROGRESS_OFFSET,
    RECORD,
    SAMPLE_OFFSET,
    STUCK_OFFSET,
    VERSION,
)

_RECORD_BITS = 5
_PAGE_BITS = PAGE_BYTES.bit_length() - 1 - _RECORD_BITS
_PAGE_MASK = (1 << _PAGE_BITS) - 1
# Below Python 3.13 a map holds a descriptor: the file grows by doubling, so that a long run costs the user few.
_MOST_SEGMENT_PAGES = 1024
_MAP_OPTIONS: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
_pack_record = RECORD.pack_into
_pack_pair = PAIR.pack_into


class EventFile:
    """Appends fixed-size records to ``path``. Safe for several threads; not to be used after a fork.

    Raises OSError when the file cannot be made; when it cannot grow (a full disk), ``append`` drops what
    comes.
    """

    __slots__ = ("_header", "_lock", "_path", "_segments", "_take", "histogram", "page", "stuck")

    def __init__(self, path: str, pid: int, t: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._segments: list[mmap.mmap] = []
        self._take = itertools.count(1 << _PAGE_BITS).__next__
        self.page: list[memoryview] = []
        self.stuck: OSError | None = None
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        self._extend(2)
        self._header = self.page[0]
        self.histogram: Any = self._header[HISTOGRAM_OFFSET:][: 8 * HISTOGRAM_BUCKETS].cast("Q")
        _pack_record(self._header, 0, BEGIN, VERSION, t, pid, MAGIC)

    def append(self, kind: int, serial: int, idx: int, t: int, a: int = 0, b: int = 0) -> None:
        """Append one record; see ``dlcheck.probe.recording`` for the fields."""
        slot = self._take()
        number = slot >> _PAGE_BITS
        try:
            page = self.page[number]
        except IndexError:
            if not self._grow(number):
                return
            page = self.page[number]
        _pack_record(page, (slot & _PAGE_MASK) << _RECORD_BITS, kind | serial << 8, idx, t, a, b)

    def sample(self, index: int, t: int) -> None:
        """Say which sample is being loaded now, should the process not survive it."""
        _pack_pair(self._header, SAMPLE_OFFSET, index + 1, t)

    def progress(self, asked: int, got: int) -> None:
        """Say when the loop last asked for a batch, and last got one, for whoever watches for a hang."""
        _pack_pair(self._header, PROGRESS_OFFSET, asked, got)

    def _grow(self, number: int) -> bool:
        with self._lock:
            try:
                while self.stuck is None and number >= len(self.page):
                    if len(self.page) < MAX_PAGES:
                        self._extend(min(_MOST_SEGMENT_PAGES, len(self.page)))
                    else:
                        self.page.append(self.page[len(self.page) - MAX_PAGES // 2])
            except OSError as error:
                self.stuck = error
                _pack_pair(self._header, STUCK_OFFSET, time.monotonic_ns(), error.errno or 0)
        return self.stuck is None

    def _extend(self, pages: int) -> None:
        # Zeros are written, not only truncated to: a hole in a mapped file kills the process when the disk is
        # full. The file is opened by name, and maps are never closed: a program that closes all descriptors
        # and opens its own under the same numbers must not have them truncated or closed by us.
        begin, size = len(self.page) * PAGE_BYTES, pages * PAGE_BYTES
        fd = os.open(self._path, os.O_RDWR)
        try:
            if os.pwrite(fd, bytes(size), begin) < size:
                # What was written of it is given back: others may need the room.
                os.ftruncate(fd, begin)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            segment = mmap.mmap(fd, size, offset=begin, **_MAP_OPTIONS)
        finally:
            os.close(fd)
        self._segments.append(segment)
        view = memoryview(segment)
        for start in range(0, size, PAGE_BYTES):
            self.page.append(view[start : start + PAGE_BYTES])
