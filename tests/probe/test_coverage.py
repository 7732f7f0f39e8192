"""Every way of loading data is seen from end to end, and yields what it yields without the probe."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dlcheck.diagnosis.timeline import Batch, LoaderLife
from dlcheck.probe import procfs

from .conftest import PROGRAMS, Outcome, plain, prober

FORKED = (
    "inline",
    "workers",
    "iterable_inline",
    "iterable_workers",
    "unbatched",
    "unbatched_iterable",
    "fetched",
    "batch_sampler",
    "persistent",
    "out_of_order",
    "overriding",
    "several_iterators",
    "nested",
    "abandoned",
    "in_thread",
    "warned",
)
STARTED = ("spawned", "forkserver")
LOADERS = str(PROGRAMS / "loaders.py")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return prober(tmp_path_factory.mktemp("coverage"))(LOADERS, *FORKED, *STARTED)


def batches(loader: LoaderLife) -> list[Batch]:
    return [
        batch
        for iterator in loader.iterators
        for epoch in iterator.epochs
        for batch in epoch.batches
        if batch.got is not None
    ]


@pytest.mark.slow
def test_output_is_that_of_the_plain_run(seen: Outcome) -> None:
    without = plain(LOADERS, *FORKED, *STARTED)
    assert (seen.stdout, seen.stderr, seen.exit_code) == (without.stdout, without.stderr, without.returncode)
    assert f"UserWarning', '{LOADERS}'" in seen.stdout
    assert seen.timeline.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "count", "samples"),
    [
        ("inline", 6, 4),
        ("workers", 6, 4),
        ("iterable_inline", 6, 4),
        ("iterable_workers", 6, 4),
        ("unbatched", 24, None),
        ("unbatched_iterable", 24, None),
        ("fetched", 6, 4),
        ("batch_sampler", 4, 6),
        ("persistent", 18, 4),
        ("out_of_order", 6, 4),
        ("overriding", 6, 4),
        ("several_iterators", 12, 4),
        ("in_thread", 6, 4),
        ("spawned", 6, 4),
        ("forkserver", 6, 4),
        ("warned", 4, 1),
    ],
)
def test_every_batch_is_seen_with_every_stage(seen: Outcome, function: str, count: int, samples: int) -> None:
    loader = seen.loader(function)
    got = batches(loader)
    assert len(got) == count
    assert {batch.samples for batch in got} == {samples}
    inline = loader.settings["num_workers"] == 0
    for batch in got:
        assert_in_order(batch, inline)
    if not inline:
        # Where a worker ended before it said that its last batch was sent, that is taken from when it was read.
        unsaid = [batch for batch in got if batch.send_end == batch.read]
        assert len(unsaid) <= sum(len(iterator.workers) for iterator in loader.iterators)
        assert {worker.worker for it in loader.iterators for worker in it.workers} == {
            batch.worker for batch in got
        }


def assert_in_order(batch: Batch, inline: bool) -> None:
    """Every stage was seen, and none begins before the one before it."""
    made = (batch.fetch_begin, batch.collate_begin, batch.collate_end)
    if inline:
        stages: tuple[int | None, ...] = (batch.asked, *made, batch.got)
    else:
        sent = (batch.put, batch.pickle_begin, batch.pickle_end, batch.send_begin, batch.send_end)
        stages = (batch.index_begin, batch.index_sent, batch.index_received, *made, *sent[:4])
        assert batch.send_end is not None and batch.send_begin is not None
        assert batch.read is not None and batch.send_begin <= batch.read
        assert batch.asked is not None and batch.received is not None and batch.got is not None
        assert batch.read <= batch.received <= batch.got and batch.asked <= batch.got
    known = [stage for stage in stages if stage is not None]
    # The index is read while its sender is still on its way out of ``put``.
    ordered = known if inline else [known[0], *known[2:]]
    assert len(known) == len(stages)
    assert all(before <= after for before, after in pairwise(ordered)), batch
    for cost in (batch.fetch, batch.collate):
        assert cost is not None and cost.cpu_ns is not None and cost.cpu_ns >= 0
        assert cost.cpu_ns <= cost.wall_ns + 20_000_000


@pytest.mark.slow
def test_batches_that_workers_divide_among_themselves_have_fingerprints(seen: Outcome) -> None:
    contents = [batch.content for batch in batches(seen.loader("iterable_workers"))]
    assert None not in contents and len(set(contents)) == len(contents)
    for function in ("iterable_inline", "workers"):
        assert {batch.content for batch in batches(seen.loader(function))} == {None}


@pytest.mark.slow
def test_epochs_of_persistent_workers(seen: Outcome) -> None:
    (iterator,) = seen.loader("persistent").iterators
    assert [(epoch.number, len(epoch.batches), epoch.exhausted) for epoch in iterator.epochs] == [
        (number, 6, True) for number in range(3)
    ]
    assert all(batch.epoch == epoch.number for epoch in iterator.epochs for batch in epoch.batches)
    assert len(iterator.workers) == 2
    assert all(before.end <= after.begin for before, after in pairwise(iterator.epochs) if before.end)


@pytest.mark.slow
def test_iterators_epochs_and_threads(seen: Outcome) -> None:
    assert len(seen.loader("several_iterators").iterators) == 2
    abandoned = seen.loader("abandoned").iterators[0].epochs[0]
    assert not abandoned.exhausted and abandoned.end is not None
    assert sum(batch.got is not None for batch in abandoned.batches) == 1
    (thread,) = seen.loader("in_thread").iterators[0].threads
    assert thread != seen.loader("in_thread").pid
    nested = [loader for loader in seen.timeline.loaders if loader.created_at.function == "nested"]
    assert [len(loader.iterators) for loader in nested] == [1, 2]


@pytest.mark.slow
def test_description_of_a_loader(seen: Outcome) -> None:
    loader = seen.loader("workers")
    lines = (PROGRAMS / "loaders.py").read_text().splitlines()
    assert loader.created_at.file == LOADERS
    assert "worker_init_fn=init" in lines[loader.created_at.line - 1]
    assert loader.dataset == "Squares"
    assert loader.dataset_at is not None
    assert lines[loader.dataset_at.line - 1].startswith("class Squares")
    assert loader.items_at is not None and loader.items_at.function == "Squares.__getitem__"
    assert lines[loader.items_at.line - 1].strip().startswith("def __getitem__")
    wanted = {
        "num_workers": 2,
        "batch_size": 4,
        "prefetch_factor": 2,
        "in_order": True,
        "persistent_workers": False,
        "pin_memory": False,
        "pinning": False,
        "start_method": "fork",
        "iterable": False,
        "dataset_length": 24,
        "length": 6,
        "worker_init_fn": "init",
        "sampler": "torch.utils.data.sampler.RandomSampler",
    }
    assert {name: loader.settings[name] for name in wanted} == wanted
    assert seen.loader("spawned").settings["start_method"] == "spawn"
    assert seen.loader("iterable_workers").settings["iterable"] is True
    assert seen.loader("overriding").settings["class"] == "Wrapped"
    assert seen.timeline.environment["torch"]


@pytest.mark.slow
def test_life_of_the_workers(seen: Outcome) -> None:
    for function in ("workers", "spawned", "forkserver"):
        for worker in seen.loader(function).iterators[0].workers:
            moments = (worker.process_start, worker.ready, worker.dataset_ready, worker.ended)
            assert None not in moments
            assert list(moments) == sorted(moments)  # type: ignore[type-var]
            assert worker.last_stage == "ended" and worker.exit_signal is None
    for worker in seen.loader("workers").iterators[0].workers:
        assert worker.init_begin is not None and worker.init_end is not None
        assert worker.init_begin <= worker.init_end


@pytest.mark.slow
def test_nothing_is_left_running(seen: Outcome) -> None:
    pids = {w.pid for loader in seen.timeline.loaders for it in loader.iterators for w in it.workers}
    assert pids and not any(procfs.read_stat(pid) for pid in pids)


@pytest.mark.slow
def test_counters_are_sampled(seen: Outcome) -> None:
    trainer = seen.timeline.loaders[0].pid
    own = [sample for sample in seen.timeline.processes if sample.pid == trainer]
    assert own and all(sample.rss > 0 for sample in own)
    assert any(sample.uss for sample in own)
    assert [sample.cpu_s for sample in own] == sorted(sample.cpu_s for sample in own)
    assert seen.timeline.machine and all(sample.mem_available > 0 for sample in seen.timeline.machine)
