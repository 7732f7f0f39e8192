"""Cores: how many the training may use, and whether the programs that count them will find that out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.units import cores
from dlcheck.doctor.model import Remark


@dataclass(frozen=True, slots=True)
class Cores:
    """``machine``: what ``os.cpu_count()`` says; ``affinity``: this process may run on; ``quota``: of the control group.

    ``load``: runnable threads on average over the last minute. ``throttled``: how often the control group was held
    back since it was made. None: not known, or no limit.
    """

    machine: int
    affinity: int | None
    quota: float | None
    load: float | None
    throttled: int | None

    @property
    def usable(self) -> float:
        return min(limit for limit in (self.machine, self.affinity, self.quota) if limit is not None)


def usable_cores(seen: Cores) -> Remark:
    """How many cores there are for the loop and its workers."""
    limits = []
    if seen.affinity is not None and seen.affinity < seen.machine:
        limits.append(f"affinity leaves {seen.affinity}")
    if seen.quota is not None and seen.quota < seen.machine:
        limits.append(f"the control group allows {seen.quota:g}")
    found = f"{cores(seen.usable)} of {seen.machine}" + (f" ({', '.join(limits)})" if limits else "")
    means = f"The loop needs one of them; CPU-bound workers beyond {max(1, int(seen.usable) - 1)} take turns."
    if limits:
        means += " os.cpu_count() and thread pools see all of the machine's: they start too many workers and threads."
        remedy = "Choose num_workers by the usable cores (os.sched_getaffinity, the quota), and set OMP_NUM_THREADS."
        return Remark("cores", "bad" if 2 * seen.usable <= seen.machine else "note", found, means, remedy)
    if seen.usable < 2:
        return Remark(
            "cores",
            "note",
            found,
            "Workers share the one core with the loop: they hide I/O, and no CPU work.",
        )
    return Remark("cores", "good", found, means)


def other_load(seen: Cores) -> Remark | None:
    """Who else uses the cores now."""
    if seen.load is None:
        return None
    found = f"{seen.load:.1f} threads wanted to run in the last minute, of {seen.machine} cores"
    if seen.load > 0.5 * seen.machine:
        return Remark(
            "other programs", "note", found,
            "Workers will wait for cores, and what is measured now will not hold on a quiet machine.",
            "Measure when less is running, or limit the run with taskset to cores that are free.",
        )  # fmt: skip
    return Remark("other programs", "good", found)


def throttling(seen: Cores) -> Remark | None:
    """Whether the quota has held this control group back."""
    if not seen.throttled:
        return None
    return Remark(
        "throttling", "note", f"the control group was held back {seen.throttled} times since it was made",
        "All its threads stand still until the next period (100 ms): batches come in bursts.",
        "Use fewer workers and threads, or ask for a larger CPU limit.",
    )  # fmt: skip


def workers_wanted(counts: Sequence[tuple[str, int]], seen: Cores) -> Remark | None:
    """The numbers of workers that the script names, with where it does, against the cores."""
    if not counts:
        return None
    where, most = max(counts, key=lambda count: count[1])
    found = ", ".join(f"num_workers={number} at {place}" for place, number in counts[:4])
    if most == 0:
        return Remark(
            "num_workers", "note", found, "The loop loads each batch itself, and waits for all of it.",
            "Give it a few workers where reading or decoding a sample costs more than a copy.",
        )  # fmt: skip
    if most > 2 * seen.usable:
        return Remark(
            "num_workers", "note", found,
            f"{most} workers share {cores(seen.usable)}: good for I/O that waits, slower for CPU work; each costs memory.",
            f"Where `dlcheck run` shows fetch-cpu or cpu-wait, lower it towards {max(1, int(seen.usable))} ({where}).",
        )  # fmt: skip
    return Remark("num_workers", "good", found)
