"""Memory: of the machine, of the control group, and the shared memory that batches travel through."""

from __future__ import annotations

from dlcheck.diagnosis.units import amount
from dlcheck.doctor.model import Remark

_FEW_BYTES = 1 << 30
_LITTLE_LEFT = 0.1


def shared_memory(total: int | None, free: int | None) -> Remark:
    """/dev/shm, through which workers send tensors."""
    topic = "/dev/shm"
    remedy = (
        "docker run --shm-size=8g (or --ipc=host); in Kubernetes an emptyDir of medium Memory at /dev/shm."
    )
    if total is None or free is None:
        return Remark(
            topic,
            "bad",
            "is not there",
            "Workers cannot send tensors through shared memory: they fail.",
            remedy,
        )
    found = f"{amount(total)}, {amount(free)} free"
    means = "Every tensor on its way from a worker lies here: num_workers x prefetch_factor batches, and those in use."
    if total < _FEW_BYTES:
        return Remark(
            topic, "bad", found, means + " When it is full, a worker dies with a bus error.", remedy
        )
    if free < _LITTLE_LEFT * total:
        return Remark(
            topic, "bad", found, means + " Little is left: other programs, or killed runs, have left files there.",
            "Look at `ls -lh /dev/shm`, and remove torch_* files that no process holds.",
        )  # fmt: skip
    return Remark(topic, "good", found, means)


def main_memory(total: int | None, available: int | None, limit: int | None) -> Remark:
    """Memory for processes and for the page cache."""
    if total is None or available is None:
        return Remark("memory", "unknown", "not known")
    usable = total if limit is None else min(total, limit)
    found = f"{amount(available)} available of {amount(total)}"
    if limit is not None and limit < total:
        found += f"; the control group may use {amount(limit)}"
    means = "What the run does not use holds files that were read: a data set that fits is read from storage once."
    if limit is not None and limit < total:
        means += " The page cache counts towards the limit of the control group."
    if available < _LITTLE_LEFT * usable:
        return Remark(
            "memory", "bad", found, "Workers may be killed for memory, and files read are soon forgotten.",
            "Use fewer workers, or end what else holds memory.",
        )  # fmt: skip
    return Remark("memory", "good", found, means)
