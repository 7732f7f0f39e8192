"""Which batches are shown one by one, and that bins say where every nanosecond went."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import iterator, loader, ns, steady

from dlcheck.diagnosis.attribution import attribute, by_cause, total
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.diagnosis.turns import turns
from dlcheck.report.chart_rows import LOOP, choose, fill_bins, made, queue_depth, ready

SLOW = {70: 900.0, 150: 700.0}


def life() -> LoaderLife:
    return loader([iterator([steady(200, 50, 20, workers=2, cpu_share=0.5, slow=SLOW)], 2)])


def test_bins_add_up_to_what_was_measured() -> None:
    one = life()
    waits = attribute(one, ns(10**6))
    rows = turns(one, waits)
    span = (0, max(row.batch.got + row.step for row in rows if row.batch.got is not None))
    bins = fill_bins(span, 77, rows, waits, [LOOP, "worker 0", "worker 1"])
    width = (span[1] - span[0]) / 77
    summed = {
        lane: {state: sum(values) * width for state, values in states.items()}
        for lane, states in bins.shares.items()
    }
    causes = by_cause(total(waits))
    assert {state: ns for state, ns in summed[LOOP].items() if state != "step"} == pytest.approx(causes)
    assert summed[LOOP]["step"] == pytest.approx(sum(row.step for row in rows))
    assert sum(summed[LOOP].values()) == pytest.approx(span[1] - span[0])
    for worker in (0, 1):
        own = [part for row in rows if row.batch.worker == worker for part in made(row.batch)]
        fetched = sum(end - begin for state, begin, end in own if state == "fetch")
        assert summed[f"worker {worker}"]["fetch"] == pytest.approx(fetched)
    assert all(
        0 <= share <= 1 + 1e-9
        for states in bins.shares.values()
        for column in zip(*states.values(), strict=True)
        for share in (sum(column),)
    )


def test_what_lies_outside_of_the_span_is_cut_off() -> None:
    one = life()
    waits = attribute(one, ns(10**6))
    rows = turns(one, waits)
    span = (ns(1000), ns(2000))
    bins = fill_bins(span, 10, rows, waits, [LOOP])
    assert sum(map(sum, bins.shares[LOOP].values())) == pytest.approx(10)


def test_the_longest_waits_are_among_the_chosen() -> None:
    one = life()
    rows = turns(one, attribute(one, ns(10**6)))
    chosen = choose(rows, 40)
    assert len(chosen) == 40
    assert [row.batch.idx for row in chosen] == sorted(row.batch.idx for row in chosen)
    longest = sorted(rows, key=lambda row: -(row.wait.ns if row.wait else 0))[:5]
    assert {row.batch.idx for row in longest} <= {row.batch.idx for row in chosen}
    assert set(SLOW) <= {row.batch.idx for row in chosen} and {0, 199} <= {row.batch.idx for row in chosen}
    assert choose(rows, 200) == rows


def test_rows_hold_the_wait_for_their_batch_and_the_step_after_it() -> None:
    one = life()
    waits = attribute(one, ns(10**6))
    for row in turns(one, waits):
        assert row.wait is not None and row.wait.idx == row.batch.idx
        assert row.step == ns(20)


def test_queue_depth_counts_batches_that_lie_ready() -> None:
    one = loader([iterator([steady(40, 5, 50, workers=2)], 2)])
    rows = turns(one, ())
    steps = queue_depth(rows, (0, ns(3000)), 1000)
    for t, depth in steps:
        lying = sum((ready(r.batch) or 0) <= t < (r.batch.got or 0) for r in rows)
        assert depth == lying
    means = queue_depth(rows, (0, ns(2000)), 10)
    assert len(means) == 10
    exact = sum(((r.batch.got or 0) - (ready(r.batch) or 0)) for r in rows)
    assert sum(depth for _, depth in means) * ns(200) == pytest.approx(exact, rel=1e-6)


def test_a_batch_that_never_came_is_a_row_without_a_step() -> None:
    (epoch,) = (steady(4, 50, 20, workers=2),)
    cut = replace(epoch, batches=(*epoch.batches[:3], replace(epoch.batches[3], got=None)))
    rows = turns(loader([iterator([cut], 2)]), ())
    assert [row.step for row in rows] == [ns(20), ns(20), ns(20), 0]
