"""What the kernel says of a process (proc(5)), read directly:

a sample of a large process costs under 0.2 ms.
"""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# Reading a thread's schedstat takes some 15 us.
_MOST_THREADS = 64
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


WORKER_NAME = "pt_data_worker"
"""What torch calls its workers, since 2.6 (torch/utils/data/_utils/worker.py)."""


@dataclass(frozen=True, slots=True)
class Stat:
    """A few fields of /proc/PID/stat. ``start_ticks`` and the process id together name a process for good.

    ``children_cpu_s``: of children that have ended and were waited for.
    """

    state: str
    parent: int
    minor_faults: int
    major_faults: int
    cpu_s: float
    children_cpu_s: float
    threads: int
    start_ticks: int
    rss_bytes: int


def read_stat(pid: int) -> Stat | None:
    """The state of a process; None where it does not exist (any more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return Stat(
            state=fields[0].decode("ascii"),
            parent=int(fields[1]),
            minor_faults=int(fields[7]),
            major_faults=int(fields[9]),
            cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
            children_cpu_s=(int(fields[13]) + int(fields[14])) / _TICKS_PER_S,
            threads=int(fields[17]),
            start_ticks=int(fields[19]),
            rss_bytes=int(fields[21]) * _PAGE_BYTES,
        )
    except (OSError, ValueError, IndexError):
        return None


def is_running(pid: int, start_ticks: int | None) -> bool:
    """Whether the process that was started at ``start_ticks`` still runs; a zombie does not."""
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX" and start_ticks in (None, stat.start_ticks)


def name_of(pid: int) -> str:
    """What the process calls itself (its first 15 characters); "" where it does not exist."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def wait_channel(pid: int, thread: int | None) -> str:
    """The function of the kernel in which a thread sleeps, such as "futex_wait"; "" where it is not told."""
    try:
        name = Path(f"/proc/{pid}/task/{thread or pid}/wchan").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return "" if name == "0" else name


def queued_s(pid: int) -> float | None:
    """How long the threads of a process have waited for a core, all together; None where it is not told.

    From /proc/PID/task/*/schedstat: threads that have ended are not in it.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        if len(threads) > _MOST_THREADS:
            return None
        files = [Path(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads]
        return sum(int(file.read_bytes().split()[1]) for file in files) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _affinity(pid: int) -> str:
    """The cores on which a process may run, as a hexadecimal mask; "" where it is not told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    found = status.partition("\nCpus_allowed:")[2].partition("\n")[0]
    return found.strip().replace(",", "")


def may_be_read(pid: int) -> bool:
    """Whether this process may read the memory of another, as one that takes its stacks must (ptrace(2)).

    Opening it asks for the same right as tracing does, but takes some 4 us.
    """
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def read_fields(path: Path) -> dict[str, int]:
    """The numbers of a file of ``name:

    number`` or ``name number`` lines, by name; sizes in kB become bytes.
    """
    fields: dict[str, int] = {}
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return fields
    for line in text.splitlines():
        words = line.replace(":", " ", 1).split()
        if len(words) >= 2 and words[1].isdecimal():
            fields[words[0]] = int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    return fields


def sample_process(pid: int, with_memory: bool) -> list[Any] | None:
    """One line of samples/processes.jsonl, without its time; None where the process is gone.

    ``with_memory`` reads smaps_rollup too, which walks the page tables: some 40 ms for each GB that is
    resident.
    """
    stat = read_stat(pid)
    if stat is None or stat.state in "ZX" or not stat.rss_bytes:
        return None
    memory = read_fields(Path(f"/proc/{pid}/smaps_rollup")) if with_memory else {}
    unique = memory.get("Private_Clean", 0) + memory.get("Private_Dirty", 0) if memory else None
    inout = read_fields(Path(f"/proc/{pid}/io"))
    status = read_fields(Path(f"/proc/{pid}/status"))
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        descriptors = None
    return [
        pid,
        stat.cpu_s,
        stat.rss_bytes,
        unique,
        memory.get("Pss"),
        memory.get("Private_Dirty"),
        inout.get("read_bytes"),
        inout.get("write_bytes"),
        stat.threads,
        descriptors,
        status.get("voluntary_ctxt_switches"),
        status.get("nonvoluntary_ctxt_switches"),
        stat.minor_faults,
        stat.major_faults,
        stat.state,
        stat.children_cpu_s,
        queued_s(pid),
        wait_channel(pid, None),
        _affinity(pid),
    ]


def sample_machine(cpu_group: Path | None, memory_group: Path | None) -> list[Any] | None:
    """One line of samples/machine.jsonl, without its time; None on a system without /proc."""
    try:
        with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    free, total = shared_memory_bytes()
    cpu = read_fields(cpu_group / "cpu.stat") if cpu_group else {}
    throttled = cpu["throttled_usec"] / 1e6 if "throttled_usec" in cpu else None
    if throttled is None and "throttled_time" in cpu:
        throttled = cpu["throttled_time"] / 1e9
    kills: dict[str, int] = {}
    if memory_group:
        kills = read_fields(memory_group / "memory.events") or read_fields(
            memory_group / "memory.oom_control"
        )
    return [
        (user + nice + system + irq + softirq + steal) / _TICKS_PER_S,
        read_fields(Path("/proc/meminfo")).get("MemAvailable"),
        free,
        total,
        throttled,
        kills.get("oom_kill"),
        user / _TICKS_PER_S,
    ]


def idle_s(cores: Container[int]) -> float | None:
    """Seconds, since the system was started, that these cores were idle, added up; None on a system without /proc."""
    total = 0
    try:
        with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123
            file.readline()
            for line in file:
                name, *fields = line.split()
                if not name.startswith("cpu"):
                    break
                if int(name[3:]) in cores:
                    total += int(fields[3]) + int(fields[4])
    except (OSError, ValueError, IndexError):
        return None
    return total / _TICKS_PER_S


def shared_memory_bytes() -> tuple[int | None, int | None]:
    """Free and total bytes of /dev/shm."""
    try:
        status = os.statvfs("/dev/shm")
    except (OSError, AttributeError):
        return None, None
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
