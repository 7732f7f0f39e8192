"""Whose the waits are: the price of handing over, other programs, or the loader. Nobody healthy is blamed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from building import batch, cost, epoch, iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.burden import Burden, burden
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.evidence import gather_all
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.timeline import Epoch, MachineSample, ProcessSample, Timeline


def handed(
    step: float, takes: float, count: int = 100, workers: int = 2, tail: float = 0.0, **more: Any
) -> Epoch:
    """Batches that lie ready when the loop asks; taking one costs ``takes`` ms, of every tenth ``tail`` more."""
    made, now = [], 100.0
    for idx in range(count):
        got = now + takes + (tail if idx % 10 == 5 else 0.0)
        received = ns(now + 0.7 * (got - now))
        fetched = (now - 80.0, now - 75.0)
        stamps = {
            "read": ns(now + 0.2 * takes),
            "received": received,
            "pipe_bytes": 400,
            "wait_other_cpu_ns": ns(0.3),
        } | more
        made.append(batch(idx, idx % workers, asked=now, got=got, fetch=fetched, **stamps))
        now = got + step
    return epoch(made, end=now)


def run(made: Epoch, others: float = 0.0, workers: int = 2, host: int = 2) -> Timeline:
    """The loop on a machine of ``host`` cores, of which other programs use ``others``."""
    life = loader([iterator([made], workers)])
    seconds = range(12)
    processes = tuple(ProcessSample(s * 10**9, 1, 0.1 * s, 10**8) for s in seconds)
    machine = tuple(MachineSample(s * 10**9, (0.1 + others) * s, 10**10) for s in seconds)
    whole = timeline(life, processes=processes, machine=machine)
    return replace(whole, environment=whole.environment | {"affinity": host, "cpu_count": host})


def found(timeline: Timeline) -> LoaderDiagnosis:
    return diagnose(timeline).loaders[0]


def shares(timeline: Timeline) -> Burden:
    return burden(gather_all(timeline)[0])


def test_the_price_of_handing_over_is_no_fault() -> None:
    made = handed(step=18, takes=1.6)
    verdict = found(run(made))
    assert verdict.wait_s / verdict.wall_s > 0.06
    assert verdict.verdict == "healthy"
    assert "1.6 ms each" in verdict.sentence
    assert shares(run(made)).own == pytest.approx(0.0, abs=0.001)


def test_a_price_that_is_large_beside_the_step_is_said_so() -> None:
    verdict = found(run(handed(step=1.5, takes=1.6)))
    assert verdict.verdict == "transfer"
    assert "too small" in verdict.sentence
    assert not any("Return tensors" in advice.text for advice in verdict.advice)


def test_what_the_bytes_of_a_batch_cost_is_the_loaders_own() -> None:
    verdict = found(run(handed(step=18, takes=12.0, pipe_bytes=8_000_000)))
    assert verdict.verdict == "transfer"
    assert "pickled, 8.0 MB" in verdict.sentence


@pytest.mark.parametrize(("step", "tail"), [(20, 30), (6, 60)])
def test_hand_overs_starved_by_other_programs_are_not_blamed_on_the_loader(step: float, tail: float) -> None:
    made = handed(step=step, takes=1.6, tail=tail)
    crowded = found(run(made, others=1.8))
    assert crowded.verdict == "healthy"
    assert "other programs" in crowded.sentence


def test_bytes_are_seen_through_a_busy_machine() -> None:
    made = handed(step=4, takes=40.0, pipe_bytes=16_000_000)
    assert found(run(made, others=1.9)).verdict == "transfer"


def test_batches_late_for_want_of_a_core_are_not_blamed_where_the_loop_alone_would_not_wait() -> None:
    # 12 ms of CPU that took 60: alone, one worker keeps up with a step of 20 ms.
    clocks = cost(60, 12, 48)
    late = [
        batch(i, 0, asked=60 * i - 40, got=60 * i, fetch=(60 * i - 60, 60 * i), clocks=clocks)
        for i in range(1, 60)
    ]
    whole = run(epoch(late, end=3600), others=1.9, workers=1)
    assert found(whole).verdict == "healthy"
    # 40 ms of CPU that took 60: it would not.
    slow = [replace(b, fetch=cost(60, 40, 20)) for b in late]
    assert found(run(epoch(slow, end=3600), others=1.9, workers=1)).verdict == "fetch-cpu"


def test_a_busy_training_process_is_its_own_fault() -> None:
    made = handed(step=10, takes=15.0)
    busy = replace(made, batches=tuple(replace(b, wait_other_cpu_ns=ns(14)) for b in made.batches))
    idle = replace(made, batches=tuple(replace(b, wait_other_cpu_ns=ns(0.5)) for b in made.batches))
    # Read late and handed on late: the process does not get round to it.
    assert "main-gil" in [found(run(busy)).verdict, *(name for name, _ in found(run(busy)).also)]
    assert found(run(idle)).verdict == "transfer"


def test_the_limit_rises_with_what_others_use_and_for_a_loader_that_hardly_counts() -> None:
    made = handed(step=20, takes=1.0)
    assert shares(run(made)).limit == pytest.approx(0.05)
    assert shares(run(made, others=1.0)).limit == pytest.approx(0.1, abs=0.005)
    both = run(made)
    large = replace(both.loaders[0], key="1:2", iterators=(iterator([handed(20, 1.0, 2000)], 2, serial=2),))
    small, _ = gather_all(replace(both, loaders=(*both.loaders, large)))
    assert burden(small).limit == pytest.approx(0.05 / small.run_share)
    assert burden(small).limit > 0.5


def test_others_do_not_hide_a_price_that_is_large_beside_the_step() -> None:
    made = handed(step=0.4, takes=2.0, tail=14)
    cheap = replace(made, batches=tuple(replace(b, fetch=cost(0.1, 0.1), collate=None) for b in made.batches))
    crowd = run(cheap, others=1.8)
    assert shares(crowd).price < 1 / 3 < shares(crowd).price_alone
    verdict = found(crowd)
    assert verdict.verdict == "transfer" and "too small" in verdict.sentence


def test_what_comes_once_makes_a_loader_no_larger() -> None:
    # A second of start-up, and then 4 batches of a loop that is 100 times as long.
    brief = steady(4, 50, 1, begin=1000.0)
    begun = replace(brief, batches=(replace(brief.batches[0], asked=0), *brief.batches[1:]))
    life = loader([iterator([begun], workers=1)])
    large = replace(loader([iterator([steady(400, 5, 40)], workers=1, serial=2)]), key="1:2")
    small, main = gather_all(timeline(life, large))
    assert small.once > 0.8 * small.wall
    assert small.run_share == pytest.approx((small.wall - small.once) / (main.wall - main.once), rel=0.05)
    assert burden(small).is_light
    assert gather_all(timeline(life))[0].run_share == 1.0
