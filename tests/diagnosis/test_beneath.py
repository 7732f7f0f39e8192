"""What lies beneath a wait: all stages of the batch, helpers of the worker, what is done once, locks, the GIL."""

from __future__ import annotations

from dataclasses import replace

from building import MS, batch, cost, epoch, iterator, loader, ns, restarted, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.helpers import with_helpers
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.diagnosis.openings import with_openings
from dlcheck.diagnosis.timeline import Epoch, LoaderLife, MachineSample, ProcessSample, Site, StackSample

WORKERS = (110, 111)
READ = Site("/project/data.py", 12, "Data.read")
LOCK = Site("/usr/lib/python3.11/multiprocessing/synchronize.py", 95, "SemLock.__enter__")


def of(life: LoaderLife, *, cores: int = 8, **more: object) -> LoaderDiagnosis:
    """The diagnosis of a run of one loader on an idle machine."""
    run = timeline(life, **more)
    machine = tuple(MachineSample(n * 10**9, 0.1 * n, 10**10) for n in range(10))
    environment = run.environment | {"affinity": cores, "cpu_count": cores}
    return diagnose(replace(run, machine=machine, environment=environment)).loaders[0]


def half_hidden(fetch_ms: float, collate_ms: float) -> Epoch:
    """Two workers in turn: the loop asks for each batch when it is half made."""
    whole = fetch_ms + collate_ms
    batches = []
    for idx in range(60):
        begin = idx * whole / 2
        made = batch(
            idx, idx % 2, asked=begin + whole / 2 + 1, got=begin + whole, fetch=(begin, begin + fetch_ms),
            clocks=cost(fetch_ms), collate_ms=collate_ms,
        )  # fmt: skip
        batches.append(made)
    return epoch(batches, end=31 * whole)


def test_a_stage_that_is_over_when_the_loop_asks_is_blamed_for_its_part() -> None:
    found = of(loader([iterator([half_hidden(60, 40)], 2)]))
    # On the critical path lies the collating alone; but fetching costs more.
    assert found.causes_s["collate"] > found.causes_s["fetch-io"]
    assert found.verdict == "fetch-io" and "collate" in dict(found.also)
    assert of(loader([iterator([half_hidden(40, 60)], 2)])).verdict == "collate"


def opened_anew(first_ms: float, second_ms: float = 5) -> LoaderLife:
    """Epochs of 20 batches; each worker is new, and its first batches take long."""
    iterators = []
    for number, life in enumerate(restarted(5)):
        begin = 1000 * number + 20
        made = steady(20, 5, 20, begin=begin, slow={0: first_ms, 1: second_ms})
        made = replace(made, begin=ns(begin), iterator_begin=ns(begin - 20), iterator_end=ns(begin))
        worker = replace(life.workers[0], process_started=ns(begin), ready=ns(begin), dataset_ready=ns(begin))
        iterators.append(replace(life, epochs=(made,), workers=(worker,)))
    return with_openings(loader(iterators))


def test_what_each_new_worker_does_once_is_a_part_of_its_start() -> None:
    found = of(opened_anew(300))
    assert found.verdict == "startup"
    assert found.details_s["startup: first batch"] > 4 * 0.28
    persistent = next(p for p in found.predictions if p.change == {"persistent_workers": True})
    assert persistent.speedup > 1.3


def test_slow_items_at_the_beginning_are_not() -> None:
    found = of(opened_anew(300, 280))
    assert "startup: first batch" not in found.details_s and found.verdict == "fetch-io"


def counted(
    cpu: float, children: float, queued: float, threads: int = 3, affinity: str = "ff"
) -> tuple[ProcessSample, ...]:
    """Counters of two workers, twice a second: cores used by threads and by children, and waited for."""
    return tuple(
        ProcessSample(
            n * 500 * MS, pid, cpu * n / 2, 10**8, threads=threads, children_cpu_s=children * n / 2,
            queued_s=queued * n / 2, affinity=affinity,
        )
        for pid in WORKERS
        for n in range(8)
    )  # fmt: skip


def fetching(cpu_share: float, queued_share: float = 0.0) -> LoaderLife:
    """Two workers that fetch all the time, 50 ms a batch."""
    made = steady(160, 50, 2, workers=2)
    clocks = cost(50, 50 * cpu_share, 50 * queued_share)
    return loader(
        [iterator([replace(made, batches=tuple(replace(b, fetch=clocks) for b in made.batches))], 2)]
    )


def test_children_that_compute_make_it_no_io() -> None:
    samples = counted(0.05, 0.9, 0.05)
    life = with_helpers(fetching(0.05), samples)
    found = of(life, cores=2, processes=samples)
    assert found.verdict == "fetch-cpu"
    # Both cores are taken by the children.
    assert not any("num_workers" in advice.change for advice in found.advice)
    assert of(with_helpers(fetching(0.05), counted(0.08, 0.0, 0.05)), cores=2).verdict == "fetch-io"


def test_pools_of_threads_are_oversubscribed() -> None:
    samples = counted(0.9, 0.0, 3.0, threads=11)
    found = of(with_helpers(fetching(0.3, 0.3), samples), cores=2, processes=samples)
    assert found.verdict == "oversubscribed" and "11 threads" in found.sentence
    assert "one thread" in found.advice[0].text
    assert not any("num_workers" in advice.change for advice in found.advice)


def test_workers_that_are_bound_to_one_core() -> None:
    samples = counted(0.5, 0.0, 0.5, affinity="1")
    found = of(fetching(0.5, 0.5), cores=2, processes=samples)
    assert found.verdict == "oversubscribed" and "sched_setaffinity" in found.advice[0].text
    assert of(fetching(1.0), cores=2, processes=counted(1.0, 0.0, 0.0, affinity="3")).verdict == "fetch-cpu"


def test_no_more_workers_where_they_wait_for_one_lock() -> None:
    frames = ((READ, LOCK), (READ,))
    stacks = tuple(
        StackSample(ns(100 * n + 5), WORKERS[n % 2], "MainThread", False, frames[n % 2], 10 * MS)
        for n in range(40)
    )
    found = of(fetching(0.02), stacks=stacks)
    assert found.verdict == "fetch-io" and "a lock that they share" in found.sentence
    assert not any("num_workers" in advice.change for advice in found.advice)
    assert any("Hold the lock" in advice.text for advice in found.advice)
    free = of(fetching(0.02), stacks=tuple(replace(s, frames=(READ,)) for s in stacks))
    assert free.advice[0].change.get("num_workers")


def test_what_workers_sleep_in_is_named() -> None:
    samples = tuple(replace(s, state="S", channel="hrtimer_nanosleep") for s in counted(0.05, 0.0, 0.0))
    assert "held up in the dataset by a sleep" in of(fetching(0.05), processes=samples).sentence
    # A futex is a lock, a timed wait or the GIL.
    samples = tuple(replace(s, channel="futex_wait_queue") for s in samples)
    assert "a disk, the network, a lock or a sleep" in of(fetching(0.05), processes=samples).sentence


def test_a_thread_that_keeps_the_gil() -> None:
    def unpickled(other_cpu: float) -> LoaderDiagnosis:
        batches = [
            replace(
                batch(n, 0, asked=60 * n, got=60 * n + 50, fetch=(60 * n - 60, 60 * n - 55)),
                read=ns(60 * n + 1), received=ns(60 * n + 50), wait_other_cpu_ns=ns(50 * other_cpu), pipe_bytes=500,
            )
            for n in range(1, 60)
        ]  # fmt: skip
        return of(loader([iterator([epoch(batches, end=3600)], 1)]))

    assert unpickled(0.9).verdict == "main-gil"
    assert unpickled(0.02).verdict != "main-gil"
