"""The storage that samples come from: which file system, how large the files are, how fast they are read.

Whether a page is in the page cache is asked with ``mincore``, which reads nothing from storage. A file that was not in
the cache is read and then dropped from it again, so that the doctor leaves the cache as it found it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.doctor.model import Remark

_WALK_S, _MOST_WALKED = 0.25, 20_000
_READ_S, _MOST_FILES, _MOST_READ = 0.4, 64, 64_000_000
_PIECE = 1 << 20
_NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p ceph lustre gpfs beegfs afs glusterfs fuse.sshfs fuse.s3fs fuse.gcsfuse "
    "fuse.goofys fuse.rclone fuse.glusterfs fuse.juicefs fuse.mountpoint-s3 virtiofs".split()
)
_SMALL_FILE = 64_000


@dataclass(frozen=True, slots=True)
class Files:
    """Files below a folder. ``complete``: all were seen, and not only the first ones."""

    count: int
    size: int
    chosen: tuple[Path, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the chosen files showed. ``cached``: share of pages looked at that were in the page cache; None: not known.

    ``cold`` and ``warm``: seconds to open and read one file of those that were not, or were, in the cache; with the bytes.
    """

    cached: float | None
    cold: tuple[tuple[float, int], ...]
    warm: tuple[tuple[float, int], ...]


def file_system(path: Path, mounts: str) -> tuple[str, str]:
    """Type of the file system that ``path`` lies on, and what is mounted. ``mounts``: text of /proc/self/mountinfo."""
    best = ("", "not known", "")
    for line in mounts.splitlines():
        fields = line.split(" ")
        if "-" not in fields or len(fields) < 7:
            continue
        point = fields[4].encode().decode("unicode_escape", "replace")
        rest = fields[fields.index("-") + 1 :]
        if (
            (str(path) + "/").startswith(point.rstrip("/") + "/")
            and len(point) >= len(best[0])
            and len(rest) >= 2
        ):
            best = (point, rest[0], rest[1])
    return best[1], best[2]


def find_files(folder: Path) -> Files:
    """Files below ``folder``, for a quarter of a second at most; of these, some from all over."""
    deadline = time.monotonic() + _WALK_S
    found: list[tuple[Path, int]] = []
    complete = True
    waiting = [folder]
    while waiting:
        if time.monotonic() > deadline or len(found) >= _MOST_WALKED:
            complete = False
            break
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file():
                        found.append((Path(entry.path), entry.stat().st_size))
        except OSError:
            continue
    found = [(path, size) for path, size in found if size]
    step = max(1, len(found) // _MOST_FILES)
    chosen = tuple(path for path, _ in found[::step][:_MOST_FILES])
    return Files(len(found), sum(size for _, size in found), chosen, complete)


def read_some(files: Files) -> Reading:
    """Read the beginning of the chosen files, for less than half a second."""
    deadline = time.monotonic() + _READ_S
    pages = hits = total = 0
    known = True
    cold: list[tuple[float, int]] = []
    warm: list[tuple[float, int]] = []
    for path in files.chosen:
        if time.monotonic() > deadline or total > _MOST_READ:
            break
        try:
            looked = _look(path)
            if looked is None:
                known = False
            else:
                hits, pages = hits + looked[0], pages + looked[1]
            took, size = _read(path, drop=looked is not None and looked[0] == 0)
        except OSError:
            continue
        total += size
        (warm if looked is not None and looked[0] == looked[1] else cold).append((took, size))
    return Reading(hits / pages if known and pages else None, tuple(cold), tuple(warm))


def _look(path: Path) -> tuple[int, int] | None:
    """How many pages of a file's beginning are in the page cache, and of how many; None: the system does not say.

    Asked by mincore(2), which brings nothing in; a read with RWF_NOWAIT starts to read ahead. The kernel tells it only to
    those who own a file or may write to it.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        map_file, pages_in_core = libc.mmap, libc.mincore
    except (OSError, AttributeError, TypeError):
        return None
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not (status.st_uid == os.geteuid() or os.access(path, os.W_OK)):
            return None
        size = min(status.st_size, _PIECE)
        if not size:
            return 0, 0
        map_file.restype = ctypes.c_void_p
        map_file.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        address = map_file(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address in (None, ctypes.c_void_p(-1).value):
        return None
    count = -(-size // mmap.PAGESIZE)
    vector = (ctypes.c_ubyte * count)()
    failed = pages_in_core(ctypes.c_void_p(address), ctypes.c_size_t(size), vector)
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return None if failed else (sum(page & 1 for page in vector), count)


def _read(path: Path, drop: bool) -> tuple[float, int]:
    begun = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        size = len(file.read(_PIECE))
        took = time.perf_counter() - begun
        if drop and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return took, size


def data_folder(
    folder: Path, kind: tuple[str, str], files: Files, reading: Reading, available: int | None
) -> Remark:
    """What the storage of a folder of data means for loading. ``kind``: see ``file_system``."""
    topic = f"data {folder}"
    if not files.count:
        return Remark(
            topic, "unknown", f"on {kind[0]}; no files", "", "Name the folder of the samples with --data."
        )
    mean = files.size / files.count
    found = f"{'' if files.complete else 'more than '}{files.count} files, {amount(files.size)}, on {kind[0]}"
    if reading.cached is not None:
        found += f"; {share(reading.cached)} of what was looked at is in the page cache"
    means, status, remedy = [], "good", ""
    if reading.cold:
        took = median(seconds for seconds, _ in reading.cold)
        rate = sum(size for _, size in reading.cold) / max(1e-9, sum(seconds for seconds, _ in reading.cold))
        found += f"; from storage a file takes {duration(took * 1e9)}, {amount(rate)}/s"
        means.append(
            f"A worker that reads one file per sample gets at most {1 / max(took, 1e-9):.0f} samples/s from storage."
        )
    elif reading.warm:
        took = median(seconds for seconds, _ in reading.warm)
        found += f"; from the cache a file takes {duration(took * 1e9)}"
        means.append("All that was looked at is in the page cache: the speed of storage was not seen.")
    if files.complete and available is not None:
        if files.size < available:
            means.append("All of it fits into the memory that is free: later epochs read from memory.")
        else:
            means.append(
                f"It does not fit into the {amount(available)} that are free: every epoch reads from storage."
            )
            status = "note"
    if mean < _SMALL_FILE and files.count > 1000:
        means.append(f"Files are small ({amount(mean)}): opening costs more than reading.")
        status, remedy = "note", "Pack samples into fewer, larger files (WebDataset, HDF5, Arrow)."
    if kind[0] in _NETWORK:
        means.append("Each open is a round trip over the network.")
        status = "note"
        remedy = (
            remedy
            or "Copy the data to a local disk first, or use more workers than cores: they wait, and do not compute."
        )
    return Remark(topic, status, found, " ".join(means), remedy)  # type: ignore[arg-type]
