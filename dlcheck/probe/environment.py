"""The machine that a run is recorded on, as the manifest keeps it."""

from __future__ import annotations

import multiprocessing
import os
import platform
import socket
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")


def describe_environment() -> dict[str, Any]:
    """What the launcher sees: host, cores, affinity, control group, shared memory, ranks. None: not known."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "start_method": multiprocessing.get_start_method(allow_none=True) or _default_start_method(),
        "cpu_count": os.cpu_count(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_quota": cpu_quota(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None,
        "cpu_shared_by": cpu_shared_by(),
        "memory_total_bytes": _memory_total(),
        "memory_limit_bytes": _memory_limit(),
        "shm_total_bytes": _shm_total(),
    }


def _default_start_method() -> str:
    return multiprocessing.get_all_start_methods()[0] if sys.version_info >= (3, 14) else "fork"


def cgroup_path(controller: str, pid: int | str = "self") -> Path | None:
    """The directory of a process' control group: of version 2, or of ``controller`` in version 1."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = _CGROUP if not controllers else _CGROUP / controller
        if (not controllers and (_CGROUP / "cgroup.controllers").exists()) or controller in controllers.split(
            ","
        ):
            # Inside a container the path is that of the host, while the group itself is mounted at the root.
            for directory in (base / path.lstrip("/"), base):
                if directory.is_dir():
                    return directory
    return None


def read_number(path: Path) -> int | None:
    """The number that a one-line file of the kernel holds; None for "max", or where there is none."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def cpu_quota() -> float | None:
    """How many cores the control group may use; None: as many as there are."""
    group = cgroup_path("cpu")
    quotas = []
    while group is not None and group != _CGROUP.parent:
        try:
            quota, period = (group / "cpu.max").read_text().split()
            quotas += [int(quota) / int(period)] if quota != "max" else []
        except (OSError, ValueError):
            old_quota = read_number(group / "cpu.cfs_quota_us")
            old_period = read_number(group / "cpu.cfs_period_us")
            quotas += [old_quota / old_period] if old_quota and old_period and old_quota > 0 else []
        group = group.parent
    return min(quotas, default=None)


def cpu_shared_by() -> str | None:
    """Between what the kernel divides cores that are wanted by more threads than there are: None where it is not known.

    "group": control groups, each by its weight; "session": sessions, each alike (``sched_autogroup_enabled``, see
    sched(7)); "process": all threads, by their ``nice``, which counts within a group or session only.
    """
    group = cgroup_path("cpu")
    if group is not None and (group / "cpu.weight").exists():
        return "group"
    # In a group without a weight of its own, what counts is the nearest one above that has one.
    above = [] if group is None else [parent for parent in group.parents if parent.is_relative_to(_CGROUP)]
    if any((parent / "cpu.weight").exists() for parent in above):
        return "process"
    # Of version 1, where the root has one too.
    if group is not None and (group / "cpu.shares").exists() and (group.parent / "cpu.shares").exists():
        return "group"
    try:
        sessions = Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    except OSError:
        return "process" if Path("/proc/self/sched").exists() else None
    return "session" if sessions else "process"


def _memory_limit() -> int | None:
    group = cgroup_path("memory")
    if group is None:
        return None
    limit = read_number(group / "memory.max") or read_number(group / "memory.limit_in_bytes")
    return None if limit is None or limit >= 1 << 60 else limit


def _memory_total() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _shm_total() -> int | None:
    try:
        status = os.statvfs("/dev/shm")
    except (OSError, AttributeError):
        return None
    return status.f_blocks * status.f_frsize
