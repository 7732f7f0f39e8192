"""Each verdict from a timeline built by hand; and the decoys that must not be called a fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from building import MS, batch, cost, epoch, iterator, loader, ns, restarted, steady, timeline

from dlcheck.diagnosis.copies import copied_batches
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.timeline import (
    Epoch,
    Incident,
    LoaderLife,
    MachineSample,
    ProcessSample,
    Site,
    StackSample,
    Timeline,
)


def diagnosis(life: LoaderLife, **more: Any) -> LoaderDiagnosis:
    found = diagnose(timeline(life, **more)).loaders[0]
    assert sum(found.causes_s.values()) == pytest.approx(found.wait_s)
    assert sum(found.phases_s.values()) == pytest.approx(found.wait_s)
    return found


def also(found: LoaderDiagnosis) -> list[str]:
    return [name for name, _ in found.also]


def one_loader(made: Epoch, workers: int = 1, **settings: Any) -> LoaderLife:
    return loader([iterator([made], workers)], **settings)


def usage(
    cores: float, of: float = 8, seconds: int = 10, pid: int = 1, busy: float | None = None
) -> dict[str, Any]:
    """Counters: process ``pid`` uses ``cores``, the host ``busy``."""
    times = [n * 1_000_000_000 for n in range(seconds + 1)]
    whole = cores if busy is None else busy
    return {
        "processes": tuple(ProcessSample(t, pid, cores * t / 1e9, 10**8) for t in times),
        "machine": tuple(MachineSample(t, whole * t / 1e9, 10**10) for t in times),
    }


def test_a_loop_that_hardly_waits_is_healthy_and_left_alone() -> None:
    found = diagnosis(one_loader(steady(100, 10, 20, workers=2), 2))
    assert (found.verdict, also(found)) == ("healthy", [])
    assert [advice.change for advice in found.advice] == [{}]
    assert "Nothing" in found.advice[0].text


def test_a_slow_first_batch_is_no_fault() -> None:
    found = diagnosis(one_loader(steady(60, 10, 20, workers=2, slow={0: 2000, 1: 2000}), 2))
    assert (found.verdict, also(found)) == ("healthy", [])
    assert "once" in found.sentence


@pytest.mark.parametrize(("cpu_share", "verdict"), [(0.9, "fetch-cpu"), (0.1, "fetch-io")])
def test_a_slow_fetch_is_cpu_or_io_by_the_clocks(cpu_share: float, verdict: str) -> None:
    found = diagnosis(one_loader(steady(100, 50, 10, workers=2, cpu_share=cpu_share), 2), **usage(0.1))
    assert found.verdict == verdict
    assert "too-few-workers" in also(found)
    best = found.advice[0]
    assert best.change["num_workers"] > 2 and best.prediction is not None
    assert best.prediction.low <= best.prediction.speedup <= best.prediction.high


def test_no_more_workers_without_cores() -> None:
    made = one_loader(steady(100, 50, 10, workers=2, cpu_share=1.0), 2)
    run = timeline(made, **usage(0.1, of=2))
    found = diagnose(replace(run, environment=run.environment | {"cpu_quota": 2.0})).loaders[0]
    assert found.verdict == "fetch-cpu"
    assert not any("num_workers" in advice.change for advice in found.advice)
    assert "too-few-workers" not in also(found)


def test_collate_and_transfer_lead_by_their_own_name() -> None:
    for key, verdict in (("collate_ms", "collate"), ("send_ms", "transfer")):
        batches = [
            batch(i, 0, asked=100 * i, got=100 * i + 90, fetch=(100 * i, 100 * i + 10), **{key: 80.0})  # type: ignore[arg-type]
            for i in range(30)
        ]
        assert diagnosis(one_loader(epoch(batches, end=3000))).verdict == verdict


def test_no_workers_is_main_process() -> None:
    batches = [
        batch(i, None, asked=100 * i, got=100 * i + 60, fetch=(100 * i, 100 * i + 60), clocks=cost(60, 50))
        for i in range(30)
    ]
    found = diagnosis(one_loader(epoch(batches, end=3000), 0), **usage(0.6, seconds=3))
    assert found.verdict == "main-process"
    assert "fetch-cpu" in also(found)
    assert found.advice[0].change.get("num_workers")


def test_epochs_that_start_workers_again_are_startup() -> None:
    iterators = restarted(5)
    found = diagnosis(loader(iterators))
    assert found.verdict == "startup"
    assert {"persistent_workers": True} in [dict(advice.change) for advice in found.advice]


def test_a_few_slow_batches_are_stragglers_but_jitter_is_not() -> None:
    slow = dict.fromkeys(range(7, 100, 20), 800.0)
    found = diagnosis(one_loader(steady(100, 15, 20, workers=4, slow=slow), 4))
    assert found.verdict == "straggler"
    assert found.advice[0].change == {"in_order": False}
    uneven = {idx: 40.0 + 7 * (idx % 5) for idx in range(100)}
    assert diagnosis(one_loader(steady(100, 50, 5, workers=4, slow=uneven), 4)).verdict == "fetch-io"


def contended(workers: int, others: float) -> LoaderDiagnosis:
    """Batches of pure CPU work that wait for a core for three quarters of their time; the machine has two
    cores.
    """
    batches = [
        batch(i, i % workers, asked=50 * i, got=50 * i + 45, fetch=(50 * i - 50 * workers + 45, 50 * i + 45),
              clocks=cost(50 * workers, 12 * workers, 38 * workers))
        for i in range(40)
    ]  # fmt: skip
    run = timeline(one_loader(epoch(batches, end=2000), workers), **usage(0.1, seconds=2, busy=0.1 + others))
    return diagnose(replace(run, environment=run.environment | {"affinity": 2, "cpu_count": 2})).loaders[0]


def test_more_workers_than_cores_is_oversubscribed_and_load_by_others_is_not() -> None:
    assert contended(6, 0.0).verdict == "oversubscribed"
    assert contended(1, 1.8).verdict == "fetch-cpu"


def test_waits_for_cores_that_others_have_are_not_the_loaders_fault() -> None:
    # 2 ms of 20 are waited for, all of it for a core.
    batches = [
        batch(i, 0, asked=20 * i, got=20 * i + 2, fetch=(20 * i - 8, 20 * i + 2), clocks=cost(10, 1, 9))
        for i in range(1, 100)
    ]
    run = timeline(one_loader(epoch(batches, end=2000)), **usage(0.1, seconds=2, busy=7.9))
    found = diagnose(run).loaders[0]
    assert found.verdict == "healthy"
    assert "other programs" in found.sentence


def test_one_loader_in_two_threads() -> None:
    life = loader([replace(iterator([steady(40, 5, 10)], 1), threads=(1, 2))])
    assert diagnosis(life).verdict == "shared-across-threads"


def test_unequal_shares_of_an_iterable_dataset() -> None:
    batches = [
        batch(i, 0 if i < 50 else 1, asked=20 * i, got=20 * i + 10, fetch=(20 * i, 20 * i + 10))
        for i in range(60)
    ]
    found = diagnosis(one_loader(epoch(batches, end=1200), 2, iterable=True))
    assert found.verdict == "imbalance" and "50 and 10" in found.sentence


def stream(contents: list[tuple[int | None, int | None]]) -> LoaderLife:
    """A loader of an iterable dataset, whose two workers made batches of these contents in turn."""
    batches = [
        batch(2 * turn + worker, worker, asked=20 * turn, got=20 * turn + 1, fetch=(10 * turn, 10 * turn + 5))
        for turn in range(len(contents))
        for worker in range(2)
    ]
    known = [replace(made, content=contents[made.idx // 2][made.idx % 2]) for made in batches]
    return one_loader(epoch(known), 2, iterable=True)


@pytest.mark.parametrize(
    ("contents", "copied"),
    [
        ([(1, 1), (2, 2), (None, None), (3, 3)], 3),
        ([(1, 1), (2, 2), (3, 4)], 0),  # a head that is alike
        ([(5, 5), (5, 5), (5, 5)], 0),  # nothing but zeros
        ([(1, 1), (None, 2), (3, None)], 0),  # one batch may be alike by chance
        ([(None, None)] * 4, 0),
    ],
)
def test_workers_whose_batches_are_the_same_yield_duplicates(
    contents: list[tuple[int | None, int | None]], copied: int
) -> None:
    life = stream(contents)
    assert copied_batches(life) == copied
    found = diagnosis(life)
    assert (found.verdict == "duplicates") == bool(copied)
    assert not copied or f"{copied} batches of each were compared" in found.sentence


@pytest.mark.parametrize("kind", ["worker-killed", "hang", "dataset-error", "shared-memory-full"])
def test_an_incident_leads(kind: str) -> None:
    life = one_loader(steady(20, 50, 10))
    incident = Incident(kind, ns(100), 110, "worker 0 did it", (Site("/project/data.py", 9, "read"),))
    found = diagnosis(life, incidents=(incident,))
    assert found.verdict == kind
    assert "data.py:9" in found.sentence


def memory(private: list[float], rss: list[float]) -> Timeline:
    """A healthy run of which worker 110's memory (MB) was read once a second."""
    life = one_loader(steady(500, 5, 20), start_method="fork")
    samples = tuple(
        ProcessSample(n * 1_000_000_000, 110, n / 10, int(r * 1e6), private_dirty=int(p * 1e6))
        for n, (p, r) in enumerate(zip(private, rss, strict=True))
    )
    machine = tuple(MachineSample(n * 1_000_000_000, n / 10, 10**9) for n in range(len(private)))
    return timeline(life, processes=samples, machine=machine)


def test_private_memory_that_grows_under_a_steady_rss_is_copy_on_write() -> None:
    found = diagnose(memory([20, 60, 95, 120, 140], [400] * 5)).loaders[0]
    assert found.verdict == "memory-growth"
    assert "copied" in found.sentence and "400 MB in all" in found.sentence


@pytest.mark.parametrize(
    ("touched_mb", "verdict"),
    [
        ([0, 30, 60, 90, 120], "memory-growth"),
        ([0, 118, 119, 119, 120], "healthy"),  # filled at once
        ([0, 300, 600, 900, 1200], "healthy"),  # pages come and go: when it grew is not known
    ],
)
def test_pages_that_were_touched_tell_growth_from_a_step(touched_mb: list[int], verdict: str) -> None:
    run = memory([20, 0, 0, 0, 140], [400] * 5)
    samples = tuple(
        replace(s, private_dirty=s.private_dirty or None, minor_faults=1000 + mb * 10**6 // 4096)
        for s, mb in zip(run.processes, touched_mb, strict=True)
    )
    assert diagnose(replace(run, processes=samples)).loaders[0].verdict == verdict


def test_a_leak_has_a_time_to_the_limit() -> None:
    found = diagnose(memory([20, 60, 100, 140, 180], [200, 240, 280, 320, 360])).loaders[0]
    assert found.verdict == "memory-growth"
    assert "lasts for 25.0 s" in found.sentence


@pytest.mark.parametrize(
    ("private", "rss"),
    [
        ([20, 21, 22, 22, 22], [100, 300, 500, 700, 900]),  # page cache or a mapped file
        ([20, 80, 81, 81, 81], [100, 160, 161, 161, 161]),  # a buffer that is filled once
        ([20, 24, 26, 27, 28], [100, 104, 106, 107, 108]),  # settling in
    ],
)
def test_memory_that_does_not_run_away_is_no_fault(private: list[float], rss: list[float]) -> None:
    assert diagnose(memory(private, rss)).loaders[0].verdict == "healthy"


def test_missing_signals_are_not_zeros() -> None:
    made = [
        replace(b, fetch=cost(50, None, None), collate=None) for b in steady(40, 50, 5, workers=1).batches
    ]
    found = diagnosis(one_loader(epoch(made, end=2200)))
    assert found.verdict == "unknown"
    assert found.predictions == ()
    assert set(found.causes_s) <= {"unknown", "transfer", "main"}
    assert any("clocks" in note for note in found.notes)


def test_a_run_without_loaders_says_so() -> None:
    empty = diagnose(Timeline(0, 10, ("python",), 0, {}, ()))
    assert empty.loaders == () and "No DataLoader" in empty.notes[0]
    nothing = diagnose(timeline(loader([iterator([epoch([])])]))).loaders[0]
    assert nothing.verdict == "unknown"


def stacks(t_ms: float, count: int, *frames: Site) -> tuple[StackSample, ...]:
    return tuple(
        StackSample(ns(t_ms) + n * MS, 110, "MainThread", False, frames, 10 * MS) for n in range(count)
    )


LIBRARY = Site("/venv/lib/python3.11/site-packages/PIL/Image.py", 99, "Image.load")
DECODE = Site("/project/data.py", 12, "Data.decode")
CROP = Site("/project/data.py", 30, "crop")


def test_the_culprit_is_the_projects_innermost_line() -> None:
    life = one_loader(steady(100, 50, 10))
    samples = stacks(1012, 20, DECODE, LIBRARY) + stacks(1035, 10, CROP)
    # A service thread, and a worker that is idle, are never to blame.
    service = replace(samples[0], thread="QueueFeederThread")
    found = diagnosis(life, stacks=(*samples, *[service] * 50))
    assert [(c.site, round(c.share, 2), c.calls) for c in found.culprits] == [
        (DECODE, 0.67, "Image.load"),
        (CROP, 0.33, ""),
    ]
    assert found.culprits[0].wait_s == pytest.approx(2 / 3 * found.causes_s["fetch-io"], rel=0.01)


def test_no_single_line_leads_to_too_few_workers() -> None:
    life = one_loader(steady(100, 50, 10))
    lines = [Site("/project/data.py", line, "step") for line in (10, 11, 12, 13)]
    spread = tuple(s for n, line in enumerate(lines) for s in stacks(1001 + 10 * n, 8, line))
    found = diagnosis(life, stacks=spread, **usage(0.1))
    assert found.verdict == "too-few-workers"
    one = diagnosis(life, stacks=stacks(1001, 30, lines[0]), **usage(0.1))
    assert one.verdict == "fetch-io"
    assert "too-few-workers" in also(one)


def test_without_samples_the_dataset_is_named() -> None:
    found = diagnosis(one_loader(steady(100, 50, 10)))
    assert found.culprits[0].site == Site("/project/data.py", 9, "Data.__getitem__")
    assert found.culprits[0].samples == 0
