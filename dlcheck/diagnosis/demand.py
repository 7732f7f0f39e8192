"""What batches and steps of a measured loop demand: what the machine and its load made of them is taken out.

The simulation slows down what computes where cores are short. Beyond that, a thread that sleeps and wakes waits for
a core more than its part: whoever has it goes on for some ms first. That is its *stall*: the loop, which wakes for each
batch, may stall more than it computes, and so do workers that read or sleep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from dlcheck.diagnosis.handover import named_tensors
from dlcheck.diagnosis.loops import LoopEpoch, Step, Work
from dlcheck.diagnosis.simulation import Ground, Setup
from dlcheck.diagnosis.timeline import LoaderLife

MOST_BATCHES = 600
FOREVER_NS = 3600 * 10**9

# Of a batch that a worker sends and that was loaded inline until now; of a tiny one, measured with torch
# 2.13.
_FEED_NS = 300_000
_RECEIVE_NS = 500_000
# Putting a tensor into shared memory, whatever its size (a file, and a mapping of it); and each byte of it, for which the
# kernel makes pages. Measured with torch 2.13, default_collate of 16 bytes and of 4 MB, with and without a worker.
_SHARED_NS = 60_000
_COPY_BYTES_PER_NS = 1.0
# A worker that wakes for a batch computes with cold caches; and a batch that is drawn for it goes into a queue.
_COLD_NS = 40_000
_QUEUE_NS = 15_000
# A thread that computes for longer than this has used up its turn on a core (``base_slice_ns`` of Linux): what it then
# waits for a core is its part among those who want one. Below, it is the rest of somebody's turn.
_TURN_NS = 3_000_000


def held_up(epochs: Sequence[LoopEpoch]) -> tuple[LoopEpoch, ...]:
    """What taking a batch costs the loop itself: what it does where its worker makes no other batch meanwhile, or the
    least that it did. The rest is waiting for the worker, at most until that has made its batch. Where most of them had
    to wait until then, nobody knows how long it would have been.
    """
    taken = [w for epoch in epochs for w in epoch.works if w.receive]
    free = [w.receive for w in taken if not w.overlaps]
    own = int(median(free)) if free else min((w.receive for w in taken), default=0)
    held = [w.receive - own for w in taken if w.overlaps and not w.freed]
    freed = sum(w.freed for w in taken)
    longest = max(0, int(median(held))) if len(held) >= freed and held else FOREVER_NS

    def divided(work: Work) -> Work:
        if not work.overlaps:
            return work
        rest = max(0, work.receive - own)
        return replace(
            work, receive=min(work.receive, own), held_up=max(rest, longest) if work.freed else rest
        )

    return tuple(replace(epoch, works=tuple(map(divided, epoch.works))) for epoch in epochs)


def without_firsts(epochs: Sequence[LoopEpoch]) -> tuple[tuple[LoopEpoch, ...], float, float]:
    """What only the first batch of a worker costs (its queues start a thread each, shared memory is set up, the two
    processes connect) is taken out of it, and returned: ns of drawing, and of feeding and receiving, the mean over all
    workers that were started. How long the loop waited for a core while they started is no cost of a batch either.
    """
    every = [work for epoch in epochs for work in epoch.works]
    draw, feed = _middle([work.draw for work in every]), _middle([work.feed for work in every])
    receive, queued = _middle([work.receive for work in every]), _middle([work.queued for work in every])
    seen: set[tuple[int, int]] = set()
    drawn: list[int] = []
    brought: list[int] = []
    result = []
    for epoch in epochs:
        works = []
        for work, owner in zip(epoch.works, epoch.owners, strict=True):
            if (epoch.iterator, owner) not in seen and work.feed:
                seen.add((epoch.iterator, owner))
                usual = replace(
                    work,
                    draw=min(work.draw, draw),
                    feed=min(work.feed, feed),
                    feed_cpu=min(work.feed_cpu, feed),
                    receive=min(work.receive, receive),
                    queued=min(work.queued, queued),
                )
                drawn.append(work.draw - usual.draw)
                brought.append(work.feed - usual.feed + work.receive - usual.receive)
                works.append(usual)
            else:
                works.append(work)
        result.append(replace(epoch, works=tuple(works)))
    return tuple(result), fmean(drawn) if drawn else 0.0, fmean(brought) if brought else 0.0


def _is_long(work: Work) -> bool:
    """Whether making a batch computes for longer than a turn, and does not sleep in between for most of the time."""
    return work.cpu > max(_TURN_NS, work.off)


def _middle(values: Sequence[int]) -> int:
    return int(median(values)) if values else 0


def measured_slowdown(epochs: Sequence[LoopEpoch]) -> float | None:
    """(CPU + waiting for a core) over CPU of the threads that make batches, by those that compute for long; None where
    these are less than half of the computing.
    """
    works = [work for epoch in epochs for work in epoch.works]
    long = [work for work in works if _is_long(work)]
    cpu = sum(work.cpu for work in long)
    if 2 * cpu <= sum(work.cpu for work in works):
        return None
    return (cpu + sum(work.delay for work in long)) / cpu


def uncontended(epochs: Sequence[LoopEpoch], ground: Ground, slowdown: float | None) -> tuple[LoopEpoch, ...]:
    """Steps as they would be with a core to themselves. Where the loop's thread has no clock of waiting for one,
    it is taken to have waited as the workers did.
    """
    stretch = 1.0 + min(1.0, ground.step_cores) * ((slowdown or 1.0) - 1.0)

    def alone(step: Step) -> Step:
        if step.queued is not None:
            return replace(step, wall=max(0, step.wall - step.queued))
        return replace(step, wall=int(step.wall / stretch))

    return tuple(replace(epoch, steps=tuple(map(alone, epoch.steps))) for epoch in epochs)


def stalling(queued: Sequence[int], cpu: Sequence[int], slowdown: float) -> float:
    """The part of what threads waited for a core that ``slowdown`` of their computing does not explain, all together: one
    by one, some wait more than that and some less.
    """
    whole = sum(queued)
    return max(0.0, 1.0 - sum(cpu) * (slowdown - 1.0) / whole) if whole else 0.0


def with_stalls(epochs: Sequence[LoopEpoch], slowdown: float) -> tuple[LoopEpoch, ...]:
    """The stalls of loop and workers: how long they waited for a core, beyond what ``slowdown`` makes of their computing."""
    works = [work for epoch in epochs for work in epoch.works]
    steps = [step for epoch in epochs for step in epoch.steps]
    long = [work for work in works if _is_long(work)]
    short = [work for work in works if not _is_long(work)]
    making, waking = (
        stalling([w.delay for w in some], [w.cpu for w in some], slowdown) for some in (long, short)
    )
    taking = stalling([w.queued for w in works], [w.receive for w in works], slowdown)
    stepping = stalling([s.queued or 0 for s in steps], [min(s.cpu or 0, s.wall) for s in steps], slowdown)

    def stalled(work: Work) -> Work:
        part = making if _is_long(work) else waking
        return replace(work, stall=int(taking * work.queued), delay_stall=int(part * work.delay))

    def paused(step: Step) -> Step:
        return replace(step, stall=int(stepping * (step.queued or 0)))

    return tuple(
        replace(e, works=tuple(map(stalled, e.works)), steps=tuple(map(paused, e.steps))) for e in epochs
    )


def with_transfer(epochs: Sequence[LoopEpoch], loader: LoaderLife, setup: Setup) -> tuple[LoopEpoch, ...]:
    """What it costs a batch to be made by a worker and sent, from its size: it is added where batches were made inline, and
    set apart where they were not. ``default_collate`` puts them into shared memory in a worker.
    """
    batches = [b for i in loader.iterators for e in i.epochs for b in e.batches]
    size = _middle([b.size_bytes for b in batches if b.size_bytes is not None])
    names = _middle([b.pipe_bytes for b in batches if b.pipe_bytes is not None])
    shares = str(loader.settings.get("collate_fn") or "").endswith(".default_collate")
    sharing = int(named_tensors(names) * _SHARED_NS + size / _COPY_BYTES_PER_NS) if shares else 0
    copy = 0 if shares else int(size / _COPY_BYTES_PER_NS)

    def sent(work: Work) -> Work:
        if setup.num_workers:
            apart = min(work.collate_cpu, sharing)
            cold = min(_COLD_NS, (work.cpu - apart) // 2)
            return replace(work, sharing=apart + cold, queueing=min(work.draw, _QUEUE_NS))
        feed = _FEED_NS + copy
        return replace(
            work,
            collate_cpu=work.collate_cpu + sharing + _COLD_NS,
            sharing=sharing + _COLD_NS,
            draw=work.draw + _QUEUE_NS,
            queueing=_QUEUE_NS,
            feed=feed,
            feed_cpu=feed,
            receive=_RECEIVE_NS,
        )

    return tuple(replace(epoch, works=tuple(map(sent, epoch.works))) for epoch in epochs)


def sampled(epochs: tuple[LoopEpoch, ...]) -> tuple[tuple[LoopEpoch, ...], float]:
    """Enough whole epochs for a replay, spread over the run; of long ones, their beginning. And which part of an epoch
    that is.
    """
    count = sum(len(epoch.works) for epoch in epochs)
    if count <= MOST_BATCHES:
        return epochs, 1.0
    longest = max(len(epoch.works) for epoch in epochs)
    keep = max(1, MOST_BATCHES // longest)
    chosen = [epochs[position * len(epochs) // keep] for position in range(min(keep, len(epochs)))]
    most = MOST_BATCHES
    cut = tuple(
        replace(e, works=e.works[:most], steps=e.steps[:most], owners=e.owners[:most]) for e in chosen
    )
    return cut, sum(len(e.works) for e in cut) / sum(len(e.works) for e in chosen)
