"""What batches demand, told apart from what the machine made of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from building import MS, batch, cost, epoch, iterator, loader, ns, timeline

from dlcheck.diagnosis.demand import (
    FOREVER_NS,
    MOST_BATCHES,
    held_up,
    measured_slowdown,
    sampled,
    with_stalls,
    with_transfer,
    without_firsts,
)
from dlcheck.diagnosis.evidence import gather_all
from dlcheck.diagnosis.ground import ground_of
from dlcheck.diagnosis.loops import LoopEpoch, Step, Work, loop_epochs
from dlcheck.diagnosis.machine import Cores
from dlcheck.diagnosis.prediction import predict, with_workers
from dlcheck.diagnosis.simulation import Ground, Setup, simulate
from dlcheck.diagnosis.timeline import Batch, MachineSample, ProcessSample, WorkerLife

ALONE = Cores(8, 8, 1.0, 0.1, 0.0, 0.0, 7.0, None)


def works_of(*batches: Batch) -> tuple[Work, ...]:
    life = loader([iterator([epoch(batches)], workers=1)])
    return loop_epochs(life)[0].works


def many(works: list[Work], number: int = 0) -> LoopEpoch:
    return LoopEpoch(tuple(works), (Step(MS),) * len(works), number, (0,) * len(works))


def test_a_batch_is_there_when_it_is_read_not_when_its_feeder_says_so() -> None:
    # The feeder gets the GIL again only 20 ms after it has written.
    made = batch(0, 0, asked=0, got=52, fetch=(0, 40), send_ms=5)
    late = replace(made, send_end=ns(65), read=ns(46), received=ns(51))
    (work,) = works_of(late)
    assert work.feed == ns(6) and work.receive == ns(6)


def test_a_full_pipe_waits_for_the_loop() -> None:
    made = batch(0, 0, asked=100, got=112, fetch=(0, 40), send_ms=5)
    blocked = replace(made, send_end=ns(103), read=ns(103), received=ns(110))
    names, content = (works_of(replace(blocked, pipe_bytes=size))[0] for size in (400, 1_000_000))
    assert names.feed == ns(5 + 58)
    # Of content, only what was written while the loop read it.
    assert content.feed == ns(5 + 3)


def test_a_feeder_computes_for_less_than_it_takes() -> None:
    made = batch(0, 0, asked=0, got=52, fetch=(0, 40), send_ms=10)
    (work,) = works_of(replace(made, pickle_cpu_ns=ns(3), pickle_queued_ns=ns(4)))
    assert (work.feed, work.feed_cpu) == (ns(6), ns(3))


def test_a_worker_that_is_woken_begins_later() -> None:
    first = batch(0, 0, asked=0, got=10, fetch=(0, 10))
    idle = replace(batch(1, 0, asked=10, got=35, fetch=(25, 35)), index_sent=ns(22))
    busy = replace(batch(2, 0, asked=35, got=45, fetch=(35, 45)), index_sent=ns(22))
    assert [work.wake for work in works_of(first, idle, busy)] == [0, ns(3), 0]


def test_only_what_a_busy_worker_adds_is_held_up() -> None:
    free = [Work(MS, 0, receive=2 * MS)] * 6
    held = [Work(MS, 0, receive=9 * MS, overlaps=True)] * 20
    (found,) = held_up([many(free + held)])
    assert {work.held_up for work in found.works[:6]} == {0}
    assert {(work.receive, work.held_up) for work in found.works[6:]} == {(2 * MS, 7 * MS)}


def test_how_long_a_batch_is_held_up_is_not_known_where_it_always_ended_with_the_work() -> None:
    free = [Work(MS, 0, receive=2 * MS)]
    freed = [Work(MS, 0, receive=9 * MS, overlaps=True, freed=True)] * 20
    (found,) = held_up([many(free + freed)])
    assert {work.held_up for work in found.works[1:]} == {FOREVER_NS}
    soon = [Work(MS, 0, receive=3 * MS, overlaps=True)] * 30
    (found,) = held_up([many(free + freed + soon)])
    assert {work.held_up for work in found.works[1:]} == {7 * MS, MS}


def test_whether_the_worker_was_busy_until_the_batch_was_handed_over() -> None:
    taken = {"read": ns(20), "received": ns(61), "pipe_bytes": 345}
    first = replace(batch(0, 0, asked=20, got=61, fetch=(0, 10)), **taken)
    busy = batch(1, 0, asked=71, got=72, fetch=(11, 60))
    assert next((work.overlaps, work.freed) for work in works_of(first, busy)) == (True, True)
    longer = batch(1, 0, asked=71, got=82, fetch=(11, 80))
    assert next((work.overlaps, work.freed) for work in works_of(first, longer)) == (True, False)
    idle = batch(1, 0, asked=71, got=82, fetch=(62, 80))
    assert next((work.overlaps, work.freed) for work in works_of(first, idle)) == (False, False)
    # Content that went through the pipe asks nothing more of its worker.
    content = replace(first, pipe_bytes=1_000_000)
    assert not works_of(content, busy)[0].overlaps


def test_what_is_read_while_another_batch_is_awaited_is_paid_then() -> None:
    early = replace(batch(1, 1, asked=110, got=110.2, fetch=(0, 40)), read=ns(45), received=ns(75))
    late = replace(
        batch(0, 0, asked=0, got=100, fetch=(0, 80)), read=ns(80), received=ns(95), wait_queued_ns=ns(10)
    )
    works = works_of(late, early)
    # 20 and 35 ms (one was there when the other was read), of which 10 ms were waiting for a core.
    assert [round(work.receive / MS) for work in works] == [16, 29]
    assert sum(work.queued for work in works) == pytest.approx(ns(10), abs=2)


def test_only_workers_collate_into_shared_memory() -> None:
    made = [
        batch(idx, 0, asked=20 * idx, got=20 * idx + 12, fetch=(20 * idx, 20 * idx + 10), collate_ms=1)
        for idx in range(9)
    ]
    made = [replace(each, pipe_bytes=345, size_bytes=100_000) for each in made]
    name = "torch.utils.data._utils.collate.default_collate"
    life = loader([iterator([epoch(made)], workers=1)], collate_fn=name)
    (found,) = with_transfer(loop_epochs(life), life, Setup(1))
    # A file for the one tensor, its bytes, and caches that are cold.
    assert found.works[0].collate_cpu == ns(1) and found.works[0].sharing == 60_000 + 100_000 + 40_000
    ground = Ground(cores=2, host_cores=2, step_cores=0.0)
    plain = replace(found, works=tuple(replace(work, sharing=0) for work in found.works))
    saved = simulate([plain], Setup(0), ground).wall - simulate([found], Setup(0), ground).wall
    assert saved == pytest.approx(9 * 200_000)
    # And where batches were made inline until now, it comes on top.
    (found,) = with_transfer(loop_epochs(life), life, Setup(0))
    assert found.works[0].collate_cpu == ns(1) + found.works[0].sharing > ns(1)
    other = replace(life, settings=life.settings | {"collate_fn": "train.pad"})
    assert with_transfer(loop_epochs(other), other, Setup(1))[0].works[0].sharing == 40_000


def test_what_a_new_worker_does_once_is_part_of_its_start() -> None:
    works = [Work(MS, 0, feed=11 * MS, draw=6 * MS)] + [Work(MS, 0, feed=MS, draw=MS)] * 9
    epochs = [many(works, number) for number in range(3)]
    found, draw, feed = without_firsts(epochs)
    assert (draw, feed) == (5 * MS, 10 * MS)
    assert {(work.draw, work.feed) for each in found for work in each.works} == {(MS, MS)}
    # Workers that persist have one first batch in all.
    found, draw, feed = without_firsts([many(works), many(works)])
    assert found[1].works[0].feed == 11 * MS


def test_slowdown_is_measured_on_what_computes_for_long() -> None:
    computing = [Work(30 * MS, 0, delay=15 * MS)] * 10
    waking = [Work(MS // 10, 50 * MS, delay=5 * MS)] * 10
    assert measured_slowdown([many(computing + waking)]) == pytest.approx(1.5)
    # A thread that sleeps waits for the rest of somebody's turn: that tells nothing of how cores are shared.
    assert measured_slowdown([many(waking)]) is None
    (stalled,) = with_stalls([many(computing + waking)], 1.5)
    assert [work.delay_stall for work in stalled.works[9:11]] == [0, 5 * MS - MS // 20]


def test_a_long_epoch_is_cut_and_so_is_what_it_pays_once() -> None:
    life = loader([iterator([epoch([batch(0, 0, asked=0, got=1, fetch=(0, 1))])], workers=1)])
    found, part = sampled((many([Work(MS, 0)] * (4 * MOST_BATCHES)),))
    assert len(found[0].works) == MOST_BATCHES and part == 0.25
    assert ground_of(life, found, ALONE, 1.0, ns(100)).shutdown > 0


def test_a_start_is_what_it_takes_with_a_core_at_hand() -> None:
    life = loader([iterator([epoch([batch(0, 0, asked=0, got=1, fetch=(0, 1))])], workers=1)])
    worker = WorkerLife(0, 110, 0, 0, ready=ns(900), start_cpu_ns=ns(300), start_queued_ns=ns(500))
    life = replace(life, iterators=(replace(life.iterators[0], workers=(worker,)),))
    found = ground_of(life, loop_epochs(life), ALONE, 1.0, ns(1000))
    assert found.ready == ns(400) and found.ready_share == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("shared_by", "nice", "ahead"),
    [("session", 10, 0.0), ("process", 0, 0.0), ("process", 10, 0.5), (None, 10, 0.0)],
)
def test_low_priority_counts_where_processes_share_the_cores(
    shared_by: str | None, nice: int, ahead: float
) -> None:
    made = [
        batch(idx, 0, asked=100 * idx, got=100 * idx + 90, fetch=(100 * idx, 100 * idx + 90))
        for idx in range(60)
    ]
    life = loader([iterator([epoch(made)], workers=1)])
    times = range(7)
    own = tuple(ProcessSample(s * 10**9, pid, 0.5 * s, 10**6) for s in times for pid in (1, 110))
    # Others use 1.5 cores, and half a core of that at an ordinary priority.
    machine = tuple(MachineSample(s * 10**9, 2.5 * s, 10**9, cpu_normal_s=0.5 * s) for s in times)
    run = timeline(life, processes=own, machine=machine)
    run.environment.update(cpu_shared_by=shared_by, nice=nice)
    (evidence,) = gather_all(run)
    found = evidence.cores
    assert found.others == pytest.approx(1.5, rel=0.05)
    assert found.ahead == pytest.approx(ahead, rel=0.05)
    assert found.grouped == (shared_by == "session")


def test_short_waits_for_a_core_do_not_forecast_a_crowd() -> None:
    """Workers that sleep are woken late on a busy machine; more of them still sleep at the same time."""
    made: list[Batch] = []
    free = [0.0, 0.0]
    got = [0.0]
    for idx in range(80):
        worker = idx % 2
        begin = max(free[worker], got[max(0, idx - 3)])
        free[worker] = begin + 62
        asked = got[-1] + 10
        got.append(max(asked, free[worker]) + 1)
        clocks = cost(62, 0.2, 1.8)
        made.append(batch(idx, worker, asked=asked, got=got[-1], fetch=(begin, free[worker]), clocks=clocks))
    now = got[-1]
    life = loader([iterator([epoch(made)], workers=2)])
    seconds = range(int(now / 1000) + 2)
    own = tuple(ProcessSample(s * 10**9, pid, 0.01 * s, 10**6) for s in seconds for pid in (1, 110, 111))
    machine = tuple(MachineSample(s * 10**9, 1.5 * s, 10**9) for s in seconds)
    run = timeline(life, processes=own, machine=machine)
    run.environment.update(cpu_count=2, affinity=2)
    (evidence,) = gather_all(run)
    model = evidence.model
    assert model is not None and not model.refusal
    assert model.ground.others == pytest.approx(1.5, abs=0.1)
    doubled = predict(model, {}, with_workers(model.setup, 4))
    assert doubled is not None and doubled.speedup == pytest.approx(2.0, rel=0.12)
