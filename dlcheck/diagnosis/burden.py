"""How much of a loop's waiting its loader can be blamed for.

The waits that recur fall into four: the *price* of handing batches over, which is paid with any setting;
those that *other programs* on the machine cause; those for *starting* workers again; and the rest, the
loader's *own*. Only what is the loader's own can be a fault of it.

What others cause is found out in two ways. Hand-overs on a machine whose cores are taken: see ``handover``.
And batches that were late because their worker had to share its core: the loop is replayed on a machine of
its own (``prediction``), and what loading costs it then, at most, is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlcheck.diagnosis.attribution import WORKER_BUSY
from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.prediction import calm_loading_share
from dlcheck.diagnosis.spans import Part

HEALTHY_SHARE = 0.05
"""Below this share of waiting no change of the loader makes the loops of the run 6 % faster."""

# Times scatter the more, the more of the machine others use: the simulation of a loop on a machine of its own
# is a guess then. With all of it, a loader must wait for three times as much before it is blamed.
_DOUBT = 0.1

OTHERS = 0.25
"""Others who use less than this many cores are background noise."""

_BUSY = frozenset(WORKER_BUSY.values())
_NEEDS_CORE = frozenset(("fetch-cpu", "cpu-wait", "collate")) | _BUSY


@dataclass(frozen=True, slots=True)
class Burden:
    """Parts of the waits that recur, as shares of the loop's time, without what comes once.

    ``own``, ``price_alone``: of the time that the loop would take without others. ``limit``: above it, the loader is at
    fault.
    """

    all: float
    price: float
    others: float
    own: float
    limit: float
    price_alone: float = 0.0

    @property
    def is_light(self) -> bool:
        """Whether the loader is not to blame."""
        return self.own < self.limit


def burden(evidence: Evidence) -> Burden:
    """Whose the waits are."""
    wall = evidence.wall - evidence.once
    whole = sum(evidence.recurring.values())
    others = evidence.cores.others or 0.0
    crowd = min(1.0, others / evidence.cores.host) if evidence.cores.host else 0.0
    limit = (HEALTHY_SHARE + _DOUBT * crowd) / (evidence.run_share or 1.0)
    if wall <= 0 or not whole:
        return Burden(0.0, 0.0, 0.0, 0.0, limit)
    price = evidence.handover.price_all
    if not evidence.restarts:
        # Workers that persist are told that an epoch begins, and begin to fill their queues.
        price += sum(ns for (cause, _), ns in evidence.recurring.items() if cause == "startup")
    taken = 0.0
    if others >= OTHERS and not exceeds_cores(evidence):
        taken += evidence.handover.starved_all
        working = sum(
            ns - evidence.handover.price.get(part, 0) - evidence.handover.starved.get(part, 0)
            for part, ns in evidence.recurring.items()
            if innermost(part) in _NEEDS_CORE
        )
        if evidence.model is not None:
            taken += max(0.0, working - calm_loading_share(evidence.model) * wall)
        else:
            taken += _waited_for_core(evidence.recurring)
    own = max(0.0, whole - price - taken)
    alone = max(wall - taken, own + price)
    if not alone:
        return Burden(whole / wall, price / wall, taken / wall, 0.0, limit)
    return Burden(whole / wall, price / wall, taken / wall, own / alone, limit, price / alone)


def innermost(part: Part) -> str:
    """The cause that lies beneath: of "queued" and the like, what the worker was doing then."""
    cause, detail = part
    return detail if detail and (detail in _BUSY or cause in ("queued", "reorder", "main")) else cause


def exceeds_cores(evidence: Evidence) -> bool:
    """Whether the workers alone want more cores than the run may use."""
    wanted, usable = wanted_cores(evidence), evidence.usable_cores
    return wanted is not None and usable is not None and wanted > 1.1 * usable


def wanted_cores(evidence: Evidence) -> float | None:
    """Cores that the workers want, with all that helps them, while they are busy as much as they are."""
    making, helpers = evidence.making, evidence.loader.helpers
    if making.cpu_share is None:
        return None
    each = max(making.cpu_share, helpers.runnable) if helpers is not None else making.cpu_share
    return evidence.workers * each * (making.busy_share or 1.0)


def _waited_for_core(parts: Mapping[Part, int]) -> int:
    return sum(ns for part, ns in parts.items() if "cpu-wait" in part)
