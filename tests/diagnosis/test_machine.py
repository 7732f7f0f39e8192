"""What a run used of the cores, and what was used by others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from building import MS, ns

from dlcheck.diagnosis.ground import with_others
from dlcheck.diagnosis.loops import LoopEpoch, Step, Work
from dlcheck.diagnosis.machine import Usage
from dlcheck.diagnosis.simulation import Ground, Setup
from dlcheck.diagnosis.timeline import MachineSample, ProcessSample

TRAINER, WORKER, BRIEF = 100, 101, 102
HALF_S = ns(500)


def sample(pid: int, number: float, cpu_s: float, children_cpu_s: float = 0.0) -> ProcessSample:
    return ProcessSample(int(number * HALF_S), pid, cpu_s, 10**8, children_cpu_s=children_cpu_s)


def test_what_workers_used_after_the_last_look_at_them_is_the_runs_own() -> None:
    # One worker was last seen with 0.9 s, of 1.3 s; another lived for 0.2 s between two looks.
    trainer = [sample(TRAINER, n, 0.0, children) for n, children in enumerate((0.0, 0.0, 0.0, 1.5, 1.5))]
    worker = [sample(WORKER, 1, 0.4), sample(WORKER, 2.001, 0.9)]
    machine = [MachineSample(n * HALF_S, s, 10**10) for n, s in enumerate((0.0, 0.4, 0.9, 1.5, 1.6))]
    workers = {WORKER: (TRAINER, 0), BRIEF: (TRAINER, 2 * HALF_S)}
    rates = [rate for _, _, rate in Usage([*trainer, *worker], machine, {}, workers).others]
    assert rates == [pytest.approx(rate, abs=1e-2) for rate in (0.0, 0.0, 0.0, 0.2)]


def test_children_that_have_been_looked_at_to_their_end_are_counted_once() -> None:
    trainer = [sample(TRAINER, n, 0.0, children) for n, children in enumerate((0.0, 0.0, 0.0, 1.0))]
    worker = [sample(WORKER, 1, 0.5), sample(WORKER, 2, 1.0)]
    usage = Usage([*trainer, *worker], [], {}, {WORKER: (TRAINER, 0)})
    assert usage.unseen == [([s.t for s in trainer], [0.0] * 4)]


def test_what_a_training_used_in_its_last_moments_is_not_taken_for_others() -> None:
    # It was last seen at 1 s, and used a core until it ended at 1.4 s.
    trainer = [sample(TRAINER, n, n / 2) for n in range(3)]
    machine = [MachineSample(n * HALF_S, s, 10**10) for n, s in enumerate((0.0, 0.5, 1.0, 1.4, 1.5))]
    usage = Usage(trainer, machine, {}, {})
    assert [(begin // HALF_S, pytest.approx(rate)) for begin, _, rate in usage.others] == [
        (0, 0.0), (1, 0.0), (3, 0.2)
    ]  # fmt: skip
    # Where nothing else is known, it is said rather than nothing.
    assert len(Usage(trainer[:1], machine[:2], {}, {}).others) == 1


def test_a_moment_of_waiting_tells_nothing_of_what_others_want() -> None:
    # One worker and the loop leave most of a core free: what others use slows nobody down.
    work = Work(fetch_cpu=30 * MS, fetch_off=0)
    loop = [LoopEpoch((work,) * 20, (Step(10 * MS, cpu=0),) * 20, 0, (0,) * 20)]
    ground = Ground(cores=2, host_cores=2, others=0.1, step_cores=0.0)
    assert with_others(loop, Setup(1), ground, 1.005) == ground
    assert with_others(loop, Setup(1), ground, 1.3).others > 1.0
    assert with_others(loop, Setup(2), replace(ground, others=0.5), 1.0).others < 0.1
