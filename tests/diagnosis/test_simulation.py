"""The simulation against closed forms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlcheck.diagnosis.loops import LoopEpoch, Step, Work
from dlcheck.diagnosis.simulation import Ground, Setup, free_cores, simulate, slowdown_for

MS = 1_000_000
GROUND = Ground(cores=8, host_cores=8, step_cores=0.0)


def loop(batches: int, step_ms: float, **work_ms: float) -> LoopEpoch:
    work = Work(
        fetch_cpu=int(work_ms.get("cpu", 0) * MS),
        fetch_off=int(work_ms.get("off", 0) * MS),
        pin=int(work_ms.get("pin", 0) * MS),
    )
    return LoopEpoch((work,) * batches, (Step(int(step_ms * MS)),) * batches, 0, (0,) * batches)


def wall_ms(epochs: list[LoopEpoch], setup: Setup, ground: Ground = GROUND) -> float:
    return simulate(epochs, setup, ground).wall / MS


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_blocked_loading_scales_with_workers_until_the_step_is_the_limit(workers: int) -> None:
    batches, service, step = 240, 40.0, 11.0
    expected = batches * max(step, service / workers)
    found = wall_ms([loop(batches, step, off=service)], Setup(workers))
    assert found == pytest.approx(expected, abs=2 * service + step)


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_loading_on_the_cpu_scales_with_cores_only(cores: int) -> None:
    ground = Ground(cores=cores, host_cores=cores, step_cores=0.0)
    found = wall_ms([loop(200, 0, cpu=10)], Setup(4), ground)
    assert found == pytest.approx(200 * 10 / cores, rel=0.05)


def test_other_programs_take_their_share_of_the_cores() -> None:
    alone = Ground(cores=2, host_cores=2, step_cores=0.0)
    shared = replace(alone, others=2.0)
    epochs = [loop(200, 0, cpu=10)]
    assert wall_ms(epochs, Setup(2), shared) == pytest.approx(2 * wall_ms(epochs, Setup(2), alone), rel=0.02)
    # What only waits for a disk does not notice.
    assert wall_ms([loop(200, 0, off=10)], Setup(2), shared) == pytest.approx(1000, rel=0.03)


def test_inline_loading_is_a_sum() -> None:
    assert wall_ms([loop(50, 7, cpu=2, off=3)], Setup(0)) == pytest.approx(50 * 12)


def test_a_straggler_holds_up_the_order_and_no_longer_without_it() -> None:
    quick, slow = Work(0, 10 * MS), Work(0, 400 * MS)
    works = tuple(slow if idx % 20 == 5 else quick for idx in range(200))
    epoch = LoopEpoch(works, (Step(10 * MS),) * 200, 0, (0,) * 200)
    ordered, free = (wall_ms([epoch], Setup(4, in_order=flag)) for flag in (True, False))
    # 3 quick batches per worker are ready or under way when the slow one begins: the rest of it is waited
    # for.
    assert ordered == pytest.approx(200 * 10 + 10 * (400 - 4 * 10), rel=0.15)
    assert free == pytest.approx(200 * 10, rel=0.15)


def test_persistent_workers_are_started_once() -> None:
    ground = replace(GROUND, start=50.0 * MS, ready=100.0 * MS, shutdown=20.0 * MS)
    epochs = [loop(10, 10, off=1)] * 5
    saved = wall_ms(epochs, Setup(2), ground) - wall_ms(epochs, Setup(2, persistent=True), ground)
    # They are started one after the other, and end at the same time.
    assert saved == pytest.approx(4 * (2 * 50 + 100 + 20), rel=0.1)


def test_the_pin_memory_thread_is_one_for_all_workers() -> None:
    assert wall_ms([loop(100, 0, off=10, pin=20)], Setup(4, pinning=True)) == pytest.approx(2000, rel=0.05)


def test_more_prefetching_evens_out_bursts() -> None:
    works = tuple(Work(0, (60 if idx % 8 < 2 else 5) * MS) for idx in range(160))
    epoch = LoopEpoch(works, (Step(20 * MS),) * 160, 0, (0,) * 160)
    waits = [simulate([epoch], Setup(1, prefetch_factor=f), GROUND).wait for f in (1, 2, 8)]
    assert waits[0] > waits[1] > waits[2]


@pytest.mark.parametrize(("service", "expected"), [(40.0, 40.0), (2.0, 10.0)])
def test_a_batch_is_held_up_by_its_worker_only_while_that_computes(service: float, expected: float) -> None:
    epoch = loop(200, 10, cpu=service)
    epoch = replace(epoch, works=tuple(replace(work, held_up=25 * MS) for work in epoch.works))
    # Where the workers are the limit they go on meanwhile; where the step is, they have nothing to do.
    assert wall_ms([epoch], Setup(1)) == pytest.approx(200 * expected, rel=0.05)


def test_more_workers_of_low_priority_take_nothing_from_others() -> None:
    epochs = [loop(200, 0, cpu=10)]
    left = Ground(cores=2, host_cores=2, taken=1.5, step_cores=0.0)
    # Half a core is left, for one worker as for four; between equals four of them would get most of two cores.
    assert wall_ms(epochs, Setup(1), left) == pytest.approx(wall_ms(epochs, Setup(4), left), rel=0.05)
    assert wall_ms(epochs, Setup(4), left) == pytest.approx(200 * 10 / 0.5, rel=0.05)
    equals = replace(left, taken=0.0, others=1.5)
    assert wall_ms(epochs, Setup(4), equals) < 0.7 * wall_ms(epochs, Setup(1), equals)


def test_a_group_gets_its_share_however_many_workers_it_has() -> None:
    epochs = [loop(200, 0, cpu=10)]
    equals = Ground(cores=2, host_cores=2, others=2.0, step_cores=0.0)
    grouped = replace(equals, grouped=1.0, wanted=1.0)
    one, two, eight = (wall_ms(epochs, Setup(workers), grouped) for workers in (1, 2, 8))
    assert one == pytest.approx(wall_ms(epochs, Setup(1), equals))
    assert two == pytest.approx(one, rel=0.05) and eight == pytest.approx(one, rel=0.05)
    # Where others leave cores idle at times, a second worker finds some of that; beyond the cores none does.
    roomy = replace(grouped, others=1.0)
    one, two, eight = (wall_ms(epochs, Setup(workers), roomy) for workers in (1, 2, 8))
    assert wall_ms(epochs, Setup(2), replace(equals, others=1.0)) < two < 0.9 * one
    assert eight == pytest.approx(two, rel=0.05)


@pytest.mark.parametrize(("cores", "expected"), [(1, 30.0), (8, 20.0)])
def test_a_feeder_thread_needs_a_core(cores: int, expected: float) -> None:
    epoch = loop(200, 0, cpu=10)
    works = tuple(replace(work, feed=20 * MS, feed_cpu=20 * MS) for work in epoch.works)
    ground = Ground(cores=cores, host_cores=cores, step_cores=0.0)
    # One thread makes the next batch while the other pickles this one, if there is a core for each.
    assert wall_ms([replace(epoch, works=works)], Setup(1), ground) == pytest.approx(200 * expected, rel=0.05)


def test_the_loop_stalls_as_often_as_all_cores_are_in_use() -> None:
    epoch = loop(200, 10, off=1)
    epoch = replace(epoch, steps=tuple(replace(step, stall=4 * MS) for step in epoch.steps))
    measured = Ground(cores=2, host_cores=2, others=1.0, crowding=0.5, step_cores=0.0)
    assert wall_ms([epoch], Setup(1), measured) == pytest.approx(200 * 14, rel=0.02)
    assert wall_ms([epoch], Setup(1), replace(measured, others=0.5)) == pytest.approx(200 * 12, rel=0.02)
    assert wall_ms([epoch], Setup(0), replace(measured, others=0.0)) == pytest.approx(200 * 11, rel=0.02)


def test_a_worker_with_nothing_to_do_has_to_wake() -> None:
    epoch = loop(200, 0, off=2)
    epoch = replace(epoch, works=tuple(replace(work, wake=3 * MS) for work in epoch.works))
    # One batch ahead at most: the worker is idle before each. Two ahead: only before the first.
    assert wall_ms([epoch], Setup(1, prefetch_factor=1)) == pytest.approx(200 * 5, rel=0.05)
    assert wall_ms([epoch], Setup(1, prefetch_factor=2)) == pytest.approx(200 * 2, rel=0.05)


def test_the_loop_unpickles_all_that_arrives_while_it_waits() -> None:
    # The first of three batches is slow: the loop reads the other two while it waits for it.
    works = tuple(Work(0, off * MS, receive=30 * MS) for off in (200, 10, 10))
    epoch = LoopEpoch(works, (Step(0),) * 3, 0, (0, 1, 2))
    assert wall_ms([epoch], Setup(3)) == pytest.approx(200 + 30, abs=1)
    assert wall_ms([replace(epoch, works=works[1:] + works[:1])], Setup(3)) == pytest.approx(230, abs=1)
    # Of those that come together, each is unpickled after the other, before the first is there as after it.
    together = tuple(Work(0, off * MS, receive=30 * MS) for off in (12, 10, 10))
    assert wall_ms([replace(epoch, works=together)], Setup(3)) == pytest.approx(10 + 3 * 30, abs=1)


def test_a_batch_is_held_up_at_most_until_its_worker_is_done() -> None:
    epoch = loop(200, 10, cpu=33)
    works = tuple(replace(work, held_up=3600 * 10**9) for work in epoch.works)
    one, two = (wall_ms([replace(epoch, works=works)], Setup(workers)) for workers in (1, 2))
    assert one == pytest.approx(200 * 33, rel=0.05)
    assert 1.5 < one / two < 2.1


@pytest.mark.parametrize("cores", [1.0, 4.0])
@pytest.mark.parametrize("others", [0.0, 0.7, 5.0])
@pytest.mark.parametrize("taken", [0.0, 1.5, 6.0])
@pytest.mark.parametrize("grouped", [0.0, 1.0])
def test_nothing_takes_longer_up_to_the_free_cores(
    cores: float, others: float, taken: float, grouped: float
) -> None:
    ground = Ground(cores=cores, host_cores=4.0, others=others, taken=taken, grouped=grouped)
    free = free_cores(ground)
    assert free <= 0 or slowdown_for(free, ground) == 1.0
    assert (grouped and others) or slowdown_for(max(free, 0.0) + 0.01, ground) > 1.0
