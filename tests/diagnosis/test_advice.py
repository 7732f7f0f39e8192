"""What is advised, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from building import MS, batch, cost, epoch, iterator, loader, ns, restarted, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.handover import named_tensors
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.timeline import Epoch, LoaderLife, MachineSample, ProcessSample, Site, StackSample


def diagnosis(life: LoaderLife) -> LoaderDiagnosis:
    return diagnose(timeline(life)).loaders[0]


def uneven(service_ms: float, step_ms: float) -> LoaderLife:
    """An iterable dataset of which worker 0 makes all batches but four."""
    made = list(steady(60, service_ms, step_ms, 1, cpu_share=0.9).batches)
    made = [replace(b, worker=1) if b.idx in (1, 3, 5, 7) else b for b in made]
    return loader([iterator([epoch(made)], workers=2)], iterable=True)


def test_unequal_shares_of_a_loop_that_waits_come_first() -> None:
    found = diagnosis(uneven(50, 5))
    assert found.verdict == "imbalance" and "56 and 4 batches" in found.sentence
    assert "equal part" in found.advice[0].text


def test_unequal_shares_of_a_loop_that_does_not_wait_are_no_fault() -> None:
    found = diagnosis(uneven(5, 50))
    assert (found.verdict, found.also) == ("healthy", ())


@pytest.mark.parametrize(
    ("pipe_bytes", "tensors"),
    # Lists of tensors, and of dicts of them, pickled by torch 2.13.
    [(347, 1), (415, 2), (817, 8), (860, 8), (2425, 31), (2601, 33), (17689, 249), (19233, 271)],
)
def test_the_number_of_tensors_is_told_from_their_names(pipe_bytes: int, tensors: int) -> None:
    assert named_tensors(pipe_bytes) == tensors


def test_a_line_that_was_seen_is_advised_before_one_that_is_only_where_to_look() -> None:
    # Fetching takes longer than any line of collate, and was never sampled.
    made = [
        batch(
            i,
            0,
            asked=20 * i,
            got=20 * i + 18,
            fetch=(20 * i - 1, 20 * i + 8),
            clocks=cost(9, 9),
            collate_ms=10,
        )
        for i in range(1, 60)
    ]
    stacks = tuple(
        StackSample(
            ns(20 * i + 9 + n), 110, "MainThread", False, (Site("/project/data.py", 20 + n, "pad"),), MS
        )
        for i in range(1, 20)
        for n in range(9)
    )
    life = loader([iterator([epoch(made)], workers=1)])
    found = diagnose(timeline(life, stacks=stacks)).loaders[0]
    assert found.culprits[0].samples == 0
    assert any("data.py:2" in advice.text and advice.prediction for advice in found.advice) or any(
        p.change.get("times_faster") for p in found.predictions
    )


def with_memory(made: Epoch, private_mb: list[float], rss_mb: list[float]) -> LoaderDiagnosis:
    """A run of which worker 110's memory was read once a second."""
    samples = tuple(
        ProcessSample(n * 1_000_000_000, 110, n / 10, int(r * 1e6), private_dirty=int(p * 1e6))
        for n, (p, r) in enumerate(zip(private_mb, rss_mb, strict=True))
    )
    machine = tuple(MachineSample(n * 1_000_000_000, n / 10, 10**9) for n in range(len(private_mb)))
    life = loader([iterator([made], workers=1)], start_method="fork")
    return diagnose(timeline(life, processes=samples, machine=machine)).loaders[0]


def test_what_a_worker_reads_for_its_first_batch_is_no_growth() -> None:
    slow = steady(200, 5, 30, slow={0: 4500})
    memory = [20, 40, 60, 80, 100, 105, 105, 105, 105]
    assert with_memory(slow, memory, [m + 200 for m in memory]).verdict == "healthy"
    assert with_memory(steady(300, 5, 30), memory, [300] * 9).verdict == "memory-growth"


def test_memory_that_grows_is_no_reason_to_change_a_loop_that_does_not_wait() -> None:
    found = with_memory(steady(300, 5, 30), [20, 60, 95, 120, 140, 160, 175, 185, 190], [400] * 9)
    assert found.verdict == "memory-growth"
    assert [dict(advice.change) for advice in found.advice] == [{}]


def test_a_run_that_ended_while_workers_started_says_so() -> None:
    begun = Epoch(0, 0, 0, ns(30_000), ns(30_000), False, (), last_asked=None)
    life = loader([iterator([begun], 1)])
    found = diagnose(replace(timeline(life), end=ns(30_000))).loaders[0]
    assert found.verdict == "startup" and "No batch came" in found.sentence


def beside(other_cpu_ms: float) -> LoaderDiagnosis:
    """A loop that waits 14 ms for batches that are ready, while another thread is on the CPU."""
    made = [
        replace(
            batch(i, 0, asked=20 * i, got=20 * i + 14, fetch=(20 * i - 15, 20 * i - 10)),
            wait_other_cpu_ns=ns(other_cpu_ms),
        )
        for i in range(1, 60)
    ]
    stacks = tuple(
        StackSample(
            ns(20 * i + n), 1, "Thread-1", n >= 10, (Site("/project/board.py", 20 + n // 10, "draw"),), MS
        )
        for i in range(1, 20)
        for n in range(20)
    )
    return diagnose(timeline(loader([iterator([epoch(made)], workers=1)]), stacks=stacks)).loaders[0]


def test_what_a_busy_thread_computes_while_the_loop_waits_is_to_blame() -> None:
    found = beside(13)
    assert found.verdict == "main-gil" and "board.py:20 (draw)" in found.sentence
    assert [(c.site.line, c.stage, c.samples) for c in found.culprits[:1]] == [(20, "thread", 190)]
    assert "Move other Python work" in found.advice[0].text
    # It would have the GIL of a loop that loads itself all the more.
    assert all(p.change != {"num_workers": 0} for p in found.predictions)
    assert any(p.change == {"num_workers": 0} for p in beside(0.5).predictions)
    assert all(culprit.stage != "thread" for culprit in beside(0.5).culprits)


def prepared(init_ms: float) -> LoaderDiagnosis:
    """Workers that are started in every epoch, and prepare themselves for some part of the 500 ms that takes."""
    lives = []
    for life in restarted(6):
        (worker,) = life.workers
        init = ns(500 - init_ms) + life.epochs[0].begin
        worker = replace(worker, process_started=init, init_begin=init, init_end=worker.ready, ready=init)
        made = replace(life.epochs[0], iterator_end=init)
        batches = [replace(b, asked=init) if b.idx == 0 else b for b in made.batches]
        lives.append(replace(life, workers=(worker,), epochs=(replace(made, batches=tuple(batches)),)))
    stacks = tuple(
        StackSample(
            life.workers[0].init_begin + n * MS,
            life.workers[0].pid,
            "MainThread",
            False,
            (Site("/project/data.py", 7, "prepare"),),
            MS,
        )
        for life in lives
        for n in range(int(init_ms) - 1)
        if life.workers[0].init_begin is not None
    )
    return diagnose(timeline(loader(lives), stacks=stacks)).loaders[0]


def test_what_workers_do_in_worker_init_fn_is_named() -> None:
    found = prepared(400)
    assert found.verdict == "startup"
    assert "most of it in worker_init_fn, 100 % of that at data.py:7 (prepare)" in found.sentence
    assert (found.culprits[0].stage, found.culprits[0].site.line) == ("worker_init_fn", 7)


def test_a_loop_without_workers_does_not_prepare_itself() -> None:
    def is_advised(found: LoaderDiagnosis) -> bool:
        return any(advice.change == {"num_workers": 0} for advice in found.advice)

    assert is_advised(prepared(10)) and not is_advised(prepared(400))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_more_workers_for_an_iterable_dataset_must_divide_it(workers: int) -> None:
    made = steady(60, 50, 5, max(1, workers))
    if not workers:
        made = epoch(
            [batch(i, None, asked=60 * i, got=60 * i + 50, fetch=(60 * i, 60 * i + 50)) for i in range(60)]
        )
    for iterable in (True, False):
        found = diagnosis(loader([iterator([made], workers)], iterable=iterable))
        (more,) = [advice.text for advice in found.advice if list(advice.change) == ["num_workers"]]
        assert ("get_worker_info" in more) == (iterable and workers < 2)


def slept(cpu_ms: float) -> LoaderDiagnosis:
    """Fetches that take 50 ms without others, who take cores for another 30 of each, on a machine that is full."""
    made = steady(60, 80, 5, 1)
    made = replace(made, batches=tuple(replace(b, fetch=cost(80, cpu_ms, 30)) for b in made.batches))
    times = [n * 1_000_000_000 for n in range(7)]
    return diagnose(
        replace(
            timeline(
                loader([iterator([made], workers=1)]),
                processes=tuple(ProcessSample(t, 110, 0.1 * t / 1e9, 10**8) for t in times),
                machine=tuple(MachineSample(t, 2.0 * t / 1e9, 10**10) for t in times),
            ),
            environment={"affinity": 2, "cpu_count": 2, "cpu_quota": None, "directory": "/project"},
        )
    ).loaders[0]


def test_others_on_the_machine_do_not_make_a_sleep_computing() -> None:
    assert (slept(2).verdict, [name for name, _ in slept(2).also if name == "fetch-cpu"]) == ("fetch-io", [])
    assert slept(49).verdict == "fetch-cpu"


@pytest.mark.parametrize(
    ("size_bytes", "others", "said"), [(50_000_000, 1.8, False), (4_000, 1.8, True), (50_000_000, 0.0, True)]
)
def test_large_tensors_are_not_computed_by_a_pool_of_threads_without_cores(
    size_bytes: int, others: float, said: bool
) -> None:
    made = steady(60, 50, 5, 1, cpu_share=0.3)
    made = replace(made, batches=tuple(replace(b, size_bytes=size_bytes) for b in made.batches))
    times = [n * 1_000_000_000 for n in range(4)]
    found = diagnose(
        replace(
            timeline(
                loader([iterator([made], workers=1)]),
                processes=tuple(ProcessSample(t, 1, 0.2 * t / 1e9, 10**8) for t in times),
                machine=tuple(MachineSample(t, (0.2 + others) * t / 1e9, 10**10) for t in times),
            ),
            environment={"affinity": 2, "cpu_count": 2, "cpu_quota": None, "directory": "/project"},
        )
    ).loaders[0]
    assert any(p.change == {"num_workers": 0} for p in found.predictions) == said


def test_a_run_that_was_stopped_while_it_waited_is_not_judged_by_the_rest() -> None:
    made = steady(10, 20, 5, 1, cpu_share=0.9)
    begin = made.end or 0
    last = replace(
        batch(10, 0, asked=0, got=0, fetch=(0, 0)),
        index_sent=begin,
        index_received=begin,
        fetch_begin=begin,
        collate_begin=None,
        collate_end=None,
        put=None,
        pickle_begin=None,
        pickle_end=None,
        send_begin=None,
        send_end=None,
        read=None,
        received=None,
        asked=begin,
        got=None,
        fetch=None,
        collate=None,
    )
    whole = replace(
        made, batches=(*made.batches, last), exhausted=False, end=begin + ns(8000), last_asked=None
    )
    found = diagnosis(loader([iterator([whole], workers=1)]))
    assert found.verdict == "unknown"
    assert "ended while the loop waited for batch 10, for 8.0 s" in found.sentence
