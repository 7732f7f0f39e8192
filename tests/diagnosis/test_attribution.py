"""Waits are split along the path of the batch, and the parts add up to the wait, to the nanosecond."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from building import batch, cost, epoch, iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.attribution import CAUSES, attribute, by_cause, total
from dlcheck.diagnosis.timeline import LoaderLife


def causes(life: LoaderLife) -> dict[str, float]:
    waits = attribute(life, timeline(life).end)
    for wait in waits:
        assert sum(wait.parts.values()) == wait.ns
        assert all(cause in CAUSES for cause, _ in wait.parts)
    return {cause: value / 1e6 for cause, value in by_cause(total(waits)).items()}


def test_fetch_is_split_by_its_threads_clocks() -> None:
    one = batch(0, 0, asked=0, got=100, fetch=(0, 100), clocks=cost(100, 20, 30))
    assert causes(loader([iterator([epoch([one])], 1)])) == {"fetch-cpu": 20, "fetch-io": 50, "cpu-wait": 30}


def test_collate_transfer_and_receiving_are_told_apart() -> None:
    one = batch(
        0, 0, asked=0, got=100, fetch=(0, 40), collate_ms=20, send_ms=25, read=ns(90), received=ns(97)
    )
    # 85 sent, 90 read, 97 unpickled, 100 handed over.
    found = causes(loader([iterator([epoch([one])], 1)]))
    assert found == {"fetch-io": 40, "collate": 20, "transfer": 32, "main": 8}


def test_a_batch_behind_another_in_its_worker_is_queued() -> None:
    first = batch(0, 0, asked=0, got=1, fetch=(0, 50))
    second = batch(1, 0, asked=10, got=90, fetch=(50, 90), index_sent=ns(5))
    life = loader([iterator([epoch([replace(first, got=ns(5)), second])], 1)], in_order=False)
    second_wait = attribute(life, timeline(life).end)[-2]
    assert second_wait.idx == 1
    assert second_wait.parts == {("queued", "fetch-io"): ns(40), ("fetch-io", ""): ns(40)}


def test_waiting_while_a_later_batch_is_ready_is_reorder() -> None:
    slow = batch(0, 0, asked=0, got=100, fetch=(0, 100))
    quick = batch(1, 1, asked=100, got=100, fetch=(0, 30), read=ns(30), received=ns(30))
    waits = attribute(loader([iterator([epoch([slow, quick])], 2)]), ns(100))
    assert waits[1].parts == {("fetch-io", ""): ns(30), ("reorder", "fetch-io"): ns(70)}


def test_no_reorder_where_the_order_is_free() -> None:
    slow = batch(0, 0, asked=0, got=100, fetch=(0, 100))
    quick = batch(1, 1, asked=100, got=100, fetch=(0, 30))
    assert "reorder" not in causes(loader([iterator([epoch([slow, quick])], 2)], in_order=False))


def test_a_worker_that_still_starts_is_startup() -> None:
    one = batch(0, 0, asked=0, got=100, fetch=(60, 100))
    life = iterator([epoch([one])], 1)
    life = replace(life, workers=(replace(life.workers[0], ready=ns(40), dataset_ready=ns(55)),))
    assert causes(loader([life])) == {"startup": 55, "dispatch": 5, "fetch-io": 40}


def test_loading_inline_is_main_and_says_what_it_did() -> None:
    one = batch(0, None, asked=0, got=100, fetch=(10, 90), clocks=cost(80, 60))
    life = loader([iterator([epoch([one])])])
    parts = total(attribute(life, ns(100)))
    assert parts == {
        ("dispatch", "sampler"): ns(10),
        ("main", "fetch-cpu"): ns(60),
        ("main", "fetch-io"): ns(20),
        ("main", ""): ns(10),
    }


def test_what_is_not_known_is_unknown_and_not_zero() -> None:
    bare = replace(
        batch(0, 0, asked=0, got=100, fetch=(0, 100)),
        index_received=None, fetch_begin=None, collate_begin=None, collate_end=None, put=None, fetch=None,
        pickle_begin=None, pickle_end=None, send_begin=None, send_end=None, received=ns(95), read=None,
    )  # fmt: skip
    assert causes(loader([iterator([epoch([bare])], 1)])) == {"unknown": 95, "main": 5}
    clockless = batch(0, 0, asked=0, got=100, fetch=(0, 100), clocks=cost(100, None, None))
    assert causes(loader([iterator([epoch([clockless])], 1)])) == {"unknown": 100}


def test_a_wait_that_never_ended_lasts_to_the_end_of_the_recording() -> None:
    hung = replace(
        batch(0, 0, asked=0, got=1, fetch=(10, 20)), got=None, collate_begin=None, collate_end=None, put=None,
        pickle_begin=None, pickle_end=None, send_begin=None, send_end=None, read=None, received=None, fetch=None,
    )  # fmt: skip
    life = loader([iterator([replace(epoch([hung]), end=None, exhausted=False, last_asked=None)], 1)])
    construction, wait = attribute(life, ns(1000))
    assert construction.ns == 0 and wait.ns == ns(1000)
    assert by_cause(wait.parts) == {"dispatch": ns(10), "unknown": ns(990)}


def test_construction_and_the_end_of_an_epoch_are_waits() -> None:
    one = batch(0, 0, asked=50, got=60, fetch=(50, 60), index_begin=ns(30), index_sent=ns(45))
    life = iterator([epoch([one], end=100, iterator_end=ns(50), last_asked=ns(70))], 1)
    life = replace(life, shutdown_begin=ns(75), shutdown_end=ns(95))
    life = replace(life, workers=(replace(life.workers[0], process_start=ns(5), process_started=ns(25)),))
    waits = attribute(loader([life]), ns(100))
    assert [(w.kind, w.phase, w.ns / 1e6) for w in waits] == [
        ("construction", "warm-up", 50),
        ("batch", "warm-up", 10),
        ("end", "end", 30),
    ]
    assert by_cause(waits[0].parts) == {"startup": ns(35), "dispatch": ns(15)}
    assert waits[2].parts == {("startup", "shutdown"): ns(20), ("main", ""): ns(10)}


@pytest.mark.parametrize("seed", range(30))
def test_parts_add_up_whatever_the_stamps(seed: int) -> None:
    """Stamps in any order, any of them missing: no nanosecond is lost or counted twice."""
    chance = random.Random(seed)
    names = ("index_begin", "index_sent", "index_received", "fetch_begin", "collate_begin", "collate_end", "put",
             "pickle_begin", "pickle_end", "send_begin", "send_end", "read", "received", "pin_begin", "pin_end")  # fmt: skip
    batches = []
    for idx in range(20):
        asked = chance.randrange(10**9)
        one = batch(idx, chance.choice((0, 1, None)), asked=0, got=0, fetch=(0, 0))
        stamps: dict[str, Any] = {name: chance.choice((None, chance.randrange(10**9))) for name in names}
        clocks = cost(chance.random(), chance.random(), chance.choice((None, chance.random())))
        batches.append(replace(one, **stamps, asked=asked, got=asked + chance.randrange(10**8), fetch=clocks))
    life = loader([iterator([epoch(batches)], chance.choice((0, 2)))])
    for wait in attribute(life, 10**9):
        assert sum(wait.parts.values()) == wait.ns
        assert all(part > 0 for part in wait.parts.values())


def test_phases_are_kept_apart() -> None:
    life = loader([iterator([steady(20, 10, 1, workers=2)], 2)])
    phases = [wait.phase for wait in attribute(life, 10**12) if wait.kind == "batch"]
    assert phases == ["warm-up"] * 2 + ["head-start"] * 2 + ["steady"] * 16
