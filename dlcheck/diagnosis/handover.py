"""What handing a batch over from a worker to the loop costs: its price, its payload, and what others do to it.

Handing over wakes four threads one after the other (the worker's feeder, the loop, the worker's resource
sharer, the loop again), even for a batch that lies ready and that is tiny. That *price* is paid for every
batch that a worker makes, and no setting changes it: it is no fault of the loader, unless it is a large part
of the loop. What a batch costs beyond it, for its bytes or because somebody holds the GIL, is.

None of these threads has a clock of waiting for a core, so that on a busy machine a starved hand-over looks
like a slow one. When the cores are taken, what the bytes of a batch do not explain is put down to waiting;
where the process that trains is busy itself meanwhile, only as much as one time slice for each of the four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.attribution import Part, Wait
from dlcheck.diagnosis.machine import Cores

# Above this share of the usable cores in use, a thread that wakes up often finds none free.
SATURATED = 0.8

# A time slice of Linux (3 ms on two cores, 4 ms on eight and more), for each of the four threads.
_SLICE_NS = 4_000_000
_WAKING_NS = 4 * _SLICE_NS
# Of a batch of a few tensors, torch 2.13: 0.4 ms on a desktop, 1.5 ms on a small virtual machine whose cores
# sleep in between. More than this is no price.
_MOST_PRICE_NS = 3_000_000
# Of one whose content goes through the pipe, the price cannot be told from the content: a middling one.
_USUAL_PRICE_NS = 1_000_000
# Each byte through the pipe (pickled, written, read, unpickled), with cores to spare.
_BYTE_NS = 1.0
# A few tensors in shared memory are named by less.
_NAMES_BYTES = 4_096

# Of a core: whoever uses more of it may hold the GIL.
_BUSY = 0.5
_FOREVER = 1 << 62

_HANDING = ("transfer", "main", "dispatch")
_DETAILS = ("", "receive", "pickle", "send", "unpickle")
_SAMPLER = ("dispatch", "sampler")


@dataclass(frozen=True, slots=True)
class Handover:
    """What all hand-overs that were waited for consist of, in ns by the part that they were counted as.

    ``price``: unavoidable with workers, ``price_ns`` for each batch; ``starved``: put down to waiting for a
    core.
    """

    price: dict[Part, int]
    starved: dict[Part, int]
    price_ns: int

    @property
    def price_all(self) -> int:
        return sum(self.price.values())

    @property
    def starved_all(self) -> int:
        return sum(self.starved.values())


def is_saturated(cores: Cores) -> bool:
    """Whether the cores were nearly all in use, by whomever."""
    if cores.own is None or cores.usable is None or cores.host is None:
        return False
    others = cores.others or 0.0
    return cores.own >= SATURATED * cores.usable or cores.own + others >= SATURATED * cores.host


def handover(waits: Sequence[Wait], cores: Cores, pipe_bytes: float, main_busy: float | None) -> Handover:
    """What the hand-overs within ``waits`` consist of.

    ``pipe_bytes``: what goes through the pipe for a batch. ``main_busy``: cores that the process that trains
    used while it waited.
    """
    batches = [wait for wait in waits if wait.kind == "batch" and wait.worker is not None]
    if len(batches) < 4:
        return Handover({}, {}, 0)
    most_starved = 0
    if is_saturated(cores):
        most_starved = _WAKING_NS if main_busy is None or main_busy >= _BUSY else _FOREVER
    handing = [sum(wait.parts[part] for part in _handing(wait)) for wait in batches]
    price = sorted(handing)[len(handing) // 4]
    price = min(price, _MOST_PRICE_NS if pipe_bytes <= _NAMES_BYTES else _USUAL_PRICE_NS)
    paid: dict[Part, int] = {}
    starved: dict[Part, int] = {}
    for wait, ns in zip(batches, handing, strict=True):
        beyond = max(0, ns - max(price, int(_USUAL_PRICE_NS + _BYTE_NS * pipe_bytes)))
        waited = min(beyond, most_starved)
        for part in _handing(wait) if ns else ():
            own = wait.parts[part] / ns
            paid[part] = paid.get(part, 0) + int(own * min(ns, price))
            starved[part] = starved.get(part, 0) + int(own * waited)
        # Drawing indices is the loader's own code: it may have to wait for a core once.
        drawing = min(wait.parts.get(_SAMPLER, 0), most_starved, _SLICE_NS)
        starved[_SAMPLER] = starved.get(_SAMPLER, 0) + drawing
    return Handover(paid, {part: ns for part, ns in starved.items() if ns}, price)


def _handing(wait: Wait) -> list[Part]:
    return [part for part in wait.parts if part[0] in _HANDING and part[1] in _DETAILS]
