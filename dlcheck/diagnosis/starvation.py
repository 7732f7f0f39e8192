"""Waiting for a core where no clock shows it: while a batch is handed over, and all cores are in use.

The threads that make a batch have a run-queue clock; those that hand it over (feeder, resource sharer, the
loop itself) have none, so that on a busy machine a starved hand-over looks like a slow one. It wakes several
threads one after the other, and when the cores are taken each of them may have to wait for somebody's time
slice to end. So much of a hand-over, beyond what one of its size takes on a free core, is then put down to
waiting; and what goes beyond the quickest quarter of all hand-overs.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlcheck.diagnosis.attribution import Part, Wait
from dlcheck.diagnosis.machine import Cores

# Above this share of the usable cores in use, a thread that wakes up often finds none free.
SATURATED = 0.8

# Four threads (feeder, loop, resource sharer, loop again), each of which waits for a time slice of Linux.
_WAKING_NS = 4 * 4_000_000
# A tiny batch, and each byte through the pipe (pickled, written, read, unpickled), with cores to spare; torch
# 2.13.
_HANDING_NS = 500_000
_BYTE_NS = 1.0

_HANDING = ("transfer", "main", "dispatch")


def is_saturated(cores: Cores) -> bool:
    """Whether the cores were nearly all in use, by whomever."""
    if cores.own is None or cores.usable is None or cores.host is None:
        return False
    others = cores.others or 0.0
    return cores.own >= SATURATED * cores.usable or cores.own + others >= SATURATED * cores.host


def starved(waits: Sequence[Wait], cores: Cores, pipe_bytes: float) -> dict[Part, int]:
    """The part of hand-overs that is put down to waiting for a core, in ns, by the part that it was counted
    as.

    ``pipe_bytes``: what goes through the pipe for a batch.
    """
    batches = [wait for wait in waits if wait.kind == "batch"]
    if not is_saturated(cores) or len(batches) < 4:
        return {}
    handing = [sum(wait.parts[part] for part in _handing(wait)) for wait in batches]
    quick = sorted(handing)[len(handing) // 4]
    result: dict[Part, int] = {}
    for wait, ns in zip(batches, handing, strict=True):
        alone = min(ns, quick, max(_HANDING_NS + _BYTE_NS * pipe_bytes, ns - _WAKING_NS))
        for part in _handing(wait) if ns else ():
            result[part] = result.get(part, 0) + int(wait.parts[part] * (1 - alone / ns))
    return result


def _handing(wait: Wait) -> list[Part]:
    return [
        part
        for part in wait.parts
        if part[0] in _HANDING and part[1] in ("", "receive", "pickle", "send", "unpickle", "sampler")
    ]
