"""Which batches a report shows one by one, and the rest in bins.

A page can hold some ten thousand batches; an hour of training has hundreds of thousands. So the batches
around the longest waits, and those of the beginning, the middle and the end, are kept as they are. Beneath
them, the whole run is cut into bins of equal length, which say for every lane (the loop, each worker, the
pin-memory thread) which part of the bin it spent in which state.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dlcheck.diagnosis.attribution import Wait
from dlcheck.diagnosis.spans import Interval
from dlcheck.diagnosis.timeline import Batch
from dlcheck.diagnosis.turns import Turn

LOOP, PIN = "loop", "pin memory"


@dataclass(frozen=True, slots=True)
class Bins:
    """Shares of each lane's time by state: ``shares[lane][state][bin]``, from 0 to 1."""

    begin: int
    end: int
    count: int
    shares: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def choose(rows: Sequence[Turn], budget: int) -> list[Turn]:
    """At most ``budget`` rows, in order: all of them, or those of the longest waits and three stretches."""
    if len(rows) <= budget:
        return list(rows)
    stretch = budget // 6
    middle = (len(rows) - stretch) // 2
    chosen = set(range(stretch)) | set(range(middle, middle + stretch))
    chosen |= set(range(len(rows) - stretch, len(rows)))
    longest = sorted(range(len(rows)), key=lambda n: -(waited.ns if (waited := rows[n].wait) else 0))
    for number in longest:
        if len(chosen) >= budget:
            break
        chosen.add(number)
    return [rows[number] for number in sorted(chosen)]


def lane_of(batch: Batch) -> str:
    """The lane of the process that made a batch."""
    return LOOP if batch.worker is None else f"worker {batch.worker}"


def made(batch: Batch) -> Iterable[tuple[str, int, int]]:
    """What its worker did for a batch: state, begin and end."""
    if batch.worker is None:
        return
    stamps = (
        ("fetch", batch.fetch_begin, batch.collate_begin if batch.collate_begin is not None else batch.put),
        ("collate", batch.collate_begin, batch.collate_end),
        ("send", batch.collate_end, batch.send_end if batch.send_end is not None else batch.put),
    )
    for state, begin, end in stamps:
        if begin is not None and end is not None and end > begin:
            yield state, begin, end


def ready(batch: Batch) -> int | None:
    """When a batch was there for the loop to take."""
    stamps = (batch.pin_end, batch.send_end, batch.received, batch.put)
    return next((t for t in stamps if t is not None), None)


def fill_bins(
    span: Interval, count: int, rows: Iterable[Turn], waits: Iterable[Wait], lanes: Iterable[str]
) -> Bins:
    """The bins of all ``lanes`` between the ends of ``span``."""
    bins = Bins(*span, count, {lane: {} for lane in lanes})
    width = max(1.0, (bins.end - bins.begin) / count)
    loop = _adder(bins, LOOP, width)
    for wait in waits:
        whole = wait.ns or 1
        for (cause, _), ns in wait.parts.items():
            loop(cause, wait.begin, wait.end, ns / whole)
    adders = {lane: _adder(bins, lane, width) for lane in bins.shares}
    for row in rows:
        batch = row.batch
        if batch.got is not None:
            loop("step", batch.got, batch.got + row.step, 1.0)
        own = adders.get(lane_of(batch))
        if own is not None:
            for state, begin, end in made(batch):
                own(state, begin, end, 1.0)
        if batch.pin_begin is not None and batch.pin_end is not None and PIN in adders:
            adders[PIN]("pin", batch.pin_begin, batch.pin_end, 1.0)
    return bins


def _adder(bins: Bins, lane: str, width: float) -> Callable[[str, int, int, float], None]:
    """A function that adds a span, or a part of one, to the bins of a lane."""
    states, first, last = bins.shares[lane], bins.begin, bins.count - 1

    def add(state: str, begin: int, end: int, weight: float) -> None:
        low, high = (begin - first) / width, (end - first) / width
        if high <= 0 or low >= bins.count:
            return
        low, high = max(0.0, low), min(float(bins.count), high)
        values = states.get(state)
        if values is None:
            values = states[state] = [0.0] * bins.count
        at, until = int(low), min(last, int(high))
        if at == until:
            values[at] += (high - low) * weight
            return
        values[at] += (at + 1 - low) * weight
        for position in range(at + 1, until):
            values[position] += weight
        values[until] += (high - until) * weight

    return add


def queue_depth(rows: Iterable[Turn], span: Interval, most: int) -> list[tuple[int, float]]:
    """How many batches lay ready for the loop: as steps, or where these are too many, as means of bins."""
    changes: list[Interval] = []
    for row in rows:
        t, got = ready(row.batch), row.batch.got
        if t is not None and got is not None:
            changes += [(min(t, got), 1), (got, -1)]
    changes.sort()
    depth, steps = 0, [(span[0], 0.0)]
    for t, change in changes:
        depth += change
        if steps[-1][0] == t:
            steps[-1] = t, float(depth)
        else:
            steps.append((t, float(depth)))
    return steps if len(steps) <= most else _means(steps, span, most)


def _means(steps: Sequence[tuple[int, float]], span: Interval, count: int) -> list[tuple[int, float]]:
    width = max(1.0, (span[1] - span[0]) / count)
    times = [t for t, _ in steps]
    means = []
    for number in range(count):
        begin, end = span[0] + int(number * width), span[0] + int((number + 1) * width)
        first, last = max(0, bisect_right(times, begin) - 1), bisect_right(times, end)
        area = 0.0
        for position in range(first, last):
            until = steps[position + 1][0] if position + 1 < len(steps) else end
            area += steps[position][1] * max(0, min(end, until) - max(begin, steps[position][0]))
        means.append((begin, area / max(1, end - begin)))
    return means
