"""What handing a batch over from a worker to the loop costs: its price, its payload, and what others do to it.

Handing over wakes four threads one after the other (the worker's feeder, the loop, the worker's resource
sharer, the loop again), even for a batch that lies ready and that is tiny. That *price* is paid for every
batch that a worker makes, and no setting changes it: it is no fault of the loader, unless it is a large part
of the loop. What a batch costs beyond it for its bytes, or because the process that trains is busy with other
work, is.

Where a batch is only named in the pipe (its tensors lie in shared memory) and nobody is busy, there is nothing
that could cost more than the price, but the machine. Where its content goes through the pipe, a busy machine
and a large batch look alike, and only a machine whose cores are taken is an excuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from dlcheck.diagnosis.attribution import Wait
from dlcheck.diagnosis.machine import Cores
from dlcheck.diagnosis.spans import Part
from dlcheck.diagnosis.timeline import Batch

# Above this share of the usable cores in use, a thread that wakes up often finds none free.
SATURATED = 0.8

# A time slice of Linux (3 ms on two cores, 4 ms on eight and more), for each of the four threads.
_SLICE_NS = 4_000_000
_WAKING_NS = 4 * _SLICE_NS
# Of the four, two are the loop's, whose clock is read. The worker's have as hard a time, or a little more so.
_THREADS = 3
# Of a batch of a few tensors, torch 2.13: 0.4 ms on a desktop, 1.5 ms on a small virtual machine whose cores
# sleep in between. More than this is no price.
_MOST_PRICE_NS = 3_000_000
# Of one whose content goes through the pipe, the price cannot be told from the content: a middling one.
_USUAL_PRICE_NS = 1_000_000
# Each byte through the pipe (pickled, written, read, unpickled), or copied to shared memory, with cores to spare.
_BYTE_NS = 1.0
# A few tensors in shared memory are named by less.
_NAMES_BYTES = 4_096
# The names of one batch: what goes with all of them (those of classes are sent once), and each tensor's own. Measured
# with torch 2.13 on lists of tensors and of dicts of them: 347 bytes for one, 17.7 to 19.2 KB for 256.
_ENVELOPE_BYTES = 280
_NAME_BYTES = 70
# Of a core: other threads of the process that use more of it may hold the GIL.
_BUSY = 0.5

_HANDING = ("transfer", "main", "dispatch")
_DETAILS = ("", "receive", "pickle", "send", "unpickle")
_SAMPLER = ("dispatch", "sampler")


@dataclass(frozen=True, slots=True)
class Payload:
    """What a batch brings along, as medians. ``pipe_bytes``: through the pipe. ``copied_ns``: copying to shared
    memory in the worker's feeder thread, where the collate function does not do it.
    """

    pipe_bytes: float
    copied_ns: float

    @property
    def is_named(self) -> bool:
        """Whether only the names of a few tensors go through the pipe."""
        return self.pipe_bytes <= _NAMES_BYTES

    @property
    def ns(self) -> float:
        """What it takes to hand it over, with cores to spare, beyond the price."""
        return _BYTE_NS * self.pipe_bytes + self.copied_ns


@dataclass(frozen=True, slots=True)
class Handover:
    """What all hand-overs that were waited for consist of, in ns by the part that they were counted as.

    ``price``: unavoidable with workers, ``price_ns`` for each batch; ``starved``: put down to waiting for a
    core. ``content_ns``: what taking the content of all these batches in may cost, with a GIL to itself.
    """

    price: dict[Part, int]
    starved: dict[Part, int]
    price_ns: int
    content_ns: int = 0

    @property
    def price_all(self) -> int:
        return sum(self.price.values())

    @property
    def starved_all(self) -> int:
        return sum(self.starved.values())


def payload(batches: Sequence[Batch]) -> Payload:
    """What the batches of a loader bring along."""
    piped = [b.pipe_bytes for b in batches if b.pipe_bytes is not None]
    sizes = [b.size_bytes for b in batches if b.size_bytes is not None]
    pickled = [
        b.pickle_end - b.pickle_begin
        for b in batches
        if b.pickle_begin is not None and b.pickle_end is not None
    ]
    copied = min(_BYTE_NS * median(sizes), median(pickled)) if sizes and pickled else 0.0
    return Payload(median(piped) if piped else 0.0, copied)


def named_tensors(pipe_bytes: float) -> int:
    """How many tensors the names that went through the pipe are of, if it is names alone."""
    return max(1, round((pipe_bytes - _ENVELOPE_BYTES) / _NAME_BYTES))


def is_saturated(cores: Cores) -> bool:
    """Whether the cores were nearly all in use, by whomever."""
    if cores.own is None or cores.usable is None or cores.host is None:
        return False
    others = cores.others or 0.0
    return cores.own >= SATURATED * cores.usable or cores.own + others >= SATURATED * cores.host


def is_busy(main_busy: float, cores: Cores) -> bool:
    """Whether other threads of the process that trains work for half of the time, so that one of them may hold the GIL.
    Where other programs take cores, they are as busy while they wait for one.
    """
    crowd = min(1.0, (cores.others or 0.0) / cores.host) if cores.host else 0.0
    return main_busy >= _BUSY * (1 - crowd / 2)


def handover(
    waits: Sequence[Wait],
    cores: Cores,
    load: Payload,
    main_busy: float | None,
    queued: Mapping[int, int] = MappingProxyType({}),
) -> Handover:
    """What the hand-overs within ``waits`` consist of. ``main_busy``: cores that other threads of the process that
    trains used while its loop waited. ``queued``: how long the loop's thread itself waited for a core, by the begin of
    the wait, in ns, where that is known.
    """
    batches = [wait for wait in waits if wait.kind == "batch" and wait.worker is not None]
    if len(batches) < 4:
        return Handover({}, {}, 0)
    saturated, busy = is_saturated(cores), main_busy is None or is_busy(main_busy, cores)
    handing = [sum(wait.parts[part] for part in _handing(wait)) for wait in batches]
    usual = sorted(handing)[len(handing) // 4]
    price = min(usual, _MOST_PRICE_NS if load.is_named else _USUAL_PRICE_NS)
    paid: dict[Part, int] = {}
    starved: dict[Part, int] = {}
    for wait, ns in zip(batches, handing, strict=True):
        own = min(ns, int(load.ns) + price)
        # What is left has no cause in the batch.
        left = ns - own
        if saturated:
            # Many tensors, and a GIL that is taken, make threads wake up more often: that is no excuse.
            left = min(left, _WAKING_NS) if busy or not load.is_named else left
        elif busy or not load.is_named:
            left = 0
        cost, late = (min(ns, price), left) if saturated else (min(ns, price) + left, 0)
        for part in _handing(wait) if ns else ():
            share = wait.parts[part] / ns
            paid[part] = paid.get(part, 0) + int(share * cost)
            starved[part] = starved.get(part, 0) + int(share * late)
        if saturated:
            # Drawing indices is the loader's own code: it may have to wait for a core once.
            starved[_SAMPLER] = starved.get(_SAMPLER, 0) + min(wait.parts.get(_SAMPLER, 0), _SLICE_NS)
    if busy:
        _limit(starved, batches, queued)
    return Handover(
        paid,
        {part: ns for part, ns in starved.items() if ns},
        int(median(handing)),
        int(len(batches) * load.ns),
    )


def _limit(starved: dict[Part, int], waits: Sequence[Wait], queued: Mapping[int, int]) -> None:
    """Where the GIL is taken, waiting for a core is no more than the clock of the loop's thread tells of."""
    known = [queued[wait.begin] for wait in waits if wait.begin in queued]
    claimed = sum(starved.values())
    if 2 * len(known) <= len(waits) or not claimed:
        return
    most = _THREADS * sum(known) * len(waits) / len(known)
    if claimed > most:
        starved.update({part: int(ns * most / claimed) for part, ns in starved.items()})


def _handing(wait: Wait) -> list[Part]:
    return [part for part in wait.parts if part[0] in _HANDING and part[1] in _DETAILS]
