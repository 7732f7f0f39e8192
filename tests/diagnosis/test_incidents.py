"""What a recording says of a run that stood still or died: who, where, and why."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.load_files import Event, ProcessLog
from dlcheck.diagnosis.load_incidents import grouped, load_incidents
from dlcheck.diagnosis.load_loaders import load_loaders
from dlcheck.diagnosis.timeline import Incident, MachineSample, ProcessSample, Timeline
from dlcheck.probe import recording as k

TRAINER, WORKER = 1, 100
S = 10**9


def logs(
    asked: int = 0, got: int = 1, worker_says: list[dict[str, Any]] | None = None, exit_code: int = 0
) -> list[ProcessLog]:
    """A loop that got batch 0 from its only worker, and may wait for batch 1, which the worker is fetching."""
    trainer = ProcessLog(TRAINER, 0, asked_got=(asked, got))
    trainer.lines = [
        {"kind": "worker", "t": 1, "serial": 1, "worker": 0, "pid": WORKER, "begun": 2, "started": 3},
        {"kind": "loader", "t": 4, "number": 1, "site": ["/project/train.py", 9, "main"],
         "settings": {"num_workers": 1, "start_method": "fork"}},
        {"kind": "worker-exits", "t": 9 * S, "serial": 1, "exits": [[0, WORKER, exit_code]] if exit_code else []},
    ]  # fmt: skip
    trainer.events = [
        Event(k.ITERATOR, 1, 0, 1, 1, 7),
        Event(k.INDEX, 1, 0, 4, 4, 0),
        Event(k.INDEX, 1, 1, 5, 5, 0),
        Event(k.ITERATOR_READY, 1, 0, 6, 0, 0),
        Event(k.ASK, 1, 0, 7, 7, 0),
        Event(k.GOT, 1, 0, 30, 7, 0),
    ]
    if asked > got:
        trainer.events.append(Event(k.ASK, 1, 0, asked, 7, 0))
    worker = ProcessLog(WORKER, 3, current_sample=(11, 21), lines=worker_says or [])
    worker.events = [
        Event(k.READY, 0, 0, 4, 0, TRAINER),
        Event(k.DATASET_READY, 0, 0, 5, 5, 0),
        Event(k.FETCH, 0, 0, 8, 8, 0),
        Event(k.COLLATE, 0, 0, 9, 0, 0),
        Event(k.COLLATED, 0, 0, 10, 0, 0),
        Event(k.PUT, 0, 0, 11, 4, 16),
        Event(k.FETCH, 0, 1, 20, 12, 0),
    ]
    return [trainer, worker]


def incidents(
    folder: Path, of: list[ProcessLog], machine: tuple[MachineSample, ...] = (), rss: int = 0, fds: int = 0
) -> tuple[Incident, ...]:
    processes = (
        tuple(ProcessSample(S, pid, 1.0, rss, fds=fds) for pid in (TRAINER, WORKER)) if rss or fds else ()
    )
    notes: list[str] = []
    loaders = load_loaders(of, notes)
    return grouped(load_incidents(folder, of, loaders, (processes, machine), 100 * S, notes))


def look(folder: Path, waits: str, active: bool = False) -> None:
    frames = [
        ("/lib/torch/utils/data/_utils/worker.py", 300, "_worker_loop"),
        ("/lib/torch/utils/data/_utils/fetch.py", 50, "fetch"),
        ("/project/data.py", 12, "Data.read"),
    ]
    threads = [{"thread": "MainThread", "tid": WORKER, "active": active, "frames": frames, "waits": waits}]
    (folder / "stacks").mkdir()
    text = json.dumps({"t": 20 * S, "asked": 5 * S, "trainer": TRAINER, "dumps": {str(WORKER): threads}})
    (folder / "stacks" / "hang-1-1.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("waits", "active", "said"),
    [
        ("futex_do_wait", False, "waits for a lock"),
        ("hrtimer_nanosleep", False, "waits for a sleep"),
        ("nfs_wait_bit_killable", False, "waits for a network file system"),
        ("", True, "is on the CPU"),
    ],
)
def test_a_hang_names_the_worker_the_sample_the_line_and_what_it_waits_for(
    tmp_path: Path, waits: str, active: bool, said: str
) -> None:
    look(tmp_path, waits, active)
    (hang,) = incidents(tmp_path, logs(asked=5 * S, got=30))
    assert (hang.kind, hang.pid) == ("hang", WORKER)
    assert "waited 95.0 s for batch 1" in hang.detail
    assert f"worker 0 (process {WORKER}) is making it, dataset index 11, and {said}" in hang.detail
    assert (hang.stack[-1].file, hang.stack[-1].line) == ("/project/data.py", 12)


def test_a_hang_without_a_look_still_names_the_worker(tmp_path: Path) -> None:
    (hang,) = incidents(tmp_path, logs(asked=5 * S, got=30))
    assert hang.detail.endswith(f"worker 0 (process {WORKER}) is making it, dataset index 11")
    # A loop that was answered, or that waits for a moment only, does not hang.
    assert incidents(tmp_path, logs()) == ()
    assert incidents(tmp_path, logs(asked=95 * S, got=30)) == ()


def test_a_loop_that_was_stopped_and_took_long_to_end_is_no_hang(tmp_path: Path) -> None:
    of = logs(asked=5 * S, got=30)
    of[0].events.append(Event(k.ERROR, 1, 0, 6 * S, 5 * S, 0))
    assert incidents(tmp_path, of) == ()


def test_without_a_look_at_a_hang_the_advice_is_to_look(tmp_path: Path) -> None:
    of = logs(asked=5 * S, got=30)
    run = Timeline(0, 100 * S, (), None, {}, load_loaders(of, []), incidents=incidents(tmp_path, of))
    (advice,) = diagnose(run).loaders[0].advice
    assert "py-spy dump" in advice.text


def dropped(message: str) -> list[dict[str, Any]]:
    return [
        {"kind": "feeder-error", "t": 25, "idx": n, "type": "Error", "message": message} for n in (1, 2, 3)
    ]


def test_a_batch_that_cannot_be_sent_is_the_reason_of_the_hang(tmp_path: Path) -> None:
    (one,) = incidents(tmp_path, logs(5 * S, 30, dropped("cannot pickle 'generator' object")))
    assert one.kind == "unpicklable-batch"
    assert "Batch 1 never arrives: it cannot be pickled, and worker 0 has dropped it" in one.detail
    assert "and 2 more" in one.detail


def test_shared_memory_that_is_full_is_named_with_its_size(tmp_path: Path) -> None:
    machine = (MachineSample(S, 0.0, 10**9, shm_free=0, shm_total=64_000_000),)
    message = "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
    (sent,) = incidents(tmp_path, logs(5 * S, 30, dropped(message)), machine)
    assert sent.kind == "shared-memory-full"
    assert "shared memory (/dev/shm, 64 MB in all) is full" in sent.detail
    raised = [{"kind": "dataset-error", "t": 25, "idx": 1, "type": "RuntimeError", "message": message}]
    (made,) = incidents(tmp_path, logs(worker_says=raised), machine)
    assert made.kind == "shared-memory-full" and "batch 1 could not be put there" in made.detail


def test_a_killed_worker_says_what_killed_it(tmp_path: Path) -> None:
    killed = logs(exit_code=-signal.SIGKILL)
    (plain,) = incidents(tmp_path, killed)
    assert (
        plain.detail
        == "Worker 0 (process 100) was killed by SIGKILL while fetching batch 1, dataset index 11"
    )
    kills = tuple(MachineSample(n * S, 0.0, 10**9, cgroup_oom_kills=n) for n in range(2))
    (memory,) = incidents(tmp_path, killed, kills, rss=2_000_000_000)
    assert "out-of-memory killer), when it held 2.0 GB" in memory.detail
    full = (MachineSample(S, 0.0, 10**9, shm_free=1_000_000, shm_total=64_000_000),)
    (bus,) = incidents(tmp_path, logs(exit_code=-signal.SIGBUS), full)
    assert bus.kind == "shared-memory-full" and "SIGBUS" in bus.detail and "64 MB" in bus.detail
    roomy = (MachineSample(S, 0.0, 10**9, shm_free=60_000_000, shm_total=64_000_000),)
    assert incidents(tmp_path, logs(exit_code=-signal.SIGBUS), roomy)[0].kind == "worker-killed"


def test_too_many_open_files_are_named(tmp_path: Path) -> None:
    of = logs()
    line = {
        "kind": "loader-error",
        "t": 40,
        "serial": 1,
        "type": "RuntimeError",
        "message": "received 0 items of ancdata",
    }
    of[0].lines.append(line)
    (one,) = incidents(tmp_path, of, fds=1024)
    assert "Too many open files: the training process had 1024 of them" in one.detail


def test_the_advice_on_a_hang_is_about_the_hang(tmp_path: Path) -> None:
    look(tmp_path, "futex_do_wait")
    of = logs(asked=5 * S, got=30)
    loaders = load_loaders(of, [])
    run = Timeline(
        0, 100 * S, (), None, {"directory": "/project"}, loaders, incidents=incidents(tmp_path, of)
    )
    found = diagnose(run).loaders[0]
    assert found.verdict == "hang" and "data.py:12 (Data.read)" in found.sentence
    assert len(found.advice) == 1 and "forkserver" in found.advice[0].text
