"""Writes recordings of jobs that nobody ran, in the format of real ones: many ranks that go in step, and one that is late.

Each rank has a loader with workers of its own. Its loop asks, gets, and takes a step that ends when every rank has
ended its own, as gradients are exchanged then. What a batch takes is drawn at random, always the same for the same
seed. The ranks lie on nodes: a recording for each, whose clock began at another time than that of the others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from dlcheck.probe import recording as k
from dlcheck.probe.eventfile import EventFile

MS = 1_000_000
_BEGUN_WALL_S = 1_700_000_000.0
_SITE = ["/job/train.py", 40, "main"]
_DATASET_AT, _ITEMS_AT = ["/job/data.py", 12, "Images"], ["/job/data.py", 20, "Images.__getitem__"]
_FRAMES = [
    ["/job/train.py", 44, "main"],
    ["/usr/lib/python3/site-packages/torch/utils/data/_utils/worker.py", 349, "_worker_loop"],
    ["/usr/lib/python3/site-packages/torch/utils/data/_utils/fetch.py", 52, "_MapDatasetFetcher.fetch"],
    ["/job/data.py", 21, "Images.__getitem__"],
    ["/job/data.py", 25, "decode"],
    ["/usr/lib/python3/site-packages/PIL/Image.py", 982, "Image.convert"],
    ["/usr/lib/python3/site-packages/torch/utils/data/_utils/collate.py", 398, "default_collate"],
]
_STACKS = [[0], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 6]]
# Seconds, and whether idle threads are in it (``dlcheck.probe.stacks``).
_WINDOWS = ((5, True), (3, False), (15, True), (5, False))
_LAST_WINDOWS = ((30, True), (8, False))
_SAMPLES_EVERY_S = 6.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job to simulate. Times in ms. ``late``: the rank whose batches take ``late_fetch`` instead of ``fetch``."""

    ranks: int = 64
    workers: int = 8
    steps: int = 10_000
    nodes: int = 1
    step: float = 100.0
    fetch: float = 500.0
    late: int = 5
    late_fetch: float = 950.0
    seed: int = 1


@dataclass
class _Rank:
    """One training process, its workers, and how far they are."""

    number: int
    pid: int
    offset: int
    main: EventFile
    workers: list[EventFile]
    fetch: Iterator[float]
    waking: Iterator[int]
    free: list[int]
    arrived: dict[int, tuple[int, int]] = field(default_factory=dict)


def write_recordings(folder: Path, job: Job) -> list[Path]:
    """Simulate ``job`` into ``folder``, a recording for each node, and return these."""
    recordings = [folder / f"node{number}" for number in range(job.nodes)]
    # The second between the beginnings is what the clocks of hosts differ in that were started at other times.
    offsets = [10**12 * (1 + 7 * number % 5) + number * 10**9 for number in range(job.nodes)]
    for recording in recordings:
        for name in ("events", "samples", "stacks"):
            (recording / name).mkdir(parents=True)
    ranks = [_start(recordings, offsets, job, number) for number in range(job.ranks)]
    end = _run(ranks, job)
    for number, recording in enumerate(recordings):
        own = [rank for rank in ranks if rank.offset == offsets[number]]
        _finish(recording, own, job, offsets[number], end)
    return recordings


def _start(recordings: Sequence[Path], offsets: Sequence[int], job: Job, number: int) -> _Rank:
    node = number * job.nodes // job.ranks
    local = number - -(-node * job.ranks // job.nodes)
    recording, offset, pid = recordings[node], offsets[node], 1000 + 20 * local
    begun = offset + 500 * MS
    draw = random.Random(f"{job.seed} {number}")
    middle = job.late_fetch if number == job.late else job.fetch
    times = [middle * draw.lognormvariate(0.0, 0.15) for _ in range(1009)]
    stem = recording / "events" / f"{pid}-{begun}"
    main = EventFile(f"{stem}.bin", pid, begun)
    lines = [
        {
            "kind": "process",
            "t": begun,
            "pid": pid,
            "parent": 999,
            "ticks": 100,
            "python": "3.12.3",
            "executable": "/usr/bin/python3",
            "torch": "2.13.0",
            "main": "/job/train.py",
            "directory": "/job",
            "ranks": {"RANK": str(number), "WORLD_SIZE": str(job.ranks), "LOCAL_RANK": str(local)},
        },
        _loader_line(job, begun),
    ]
    workers, free = [], []
    for worker in range(job.workers):
        own, started = pid + 1 + worker, begun + (20 + 30 * worker) * MS
        lines.append(
            {
                "kind": "worker",
                "t": started,
                "serial": 1,
                "worker": worker,
                "pid": own,
                "ticks": 100,
                "begun": started - 25 * MS,
                "started": started,
            }
        )
        ready = started + 40 * MS
        file = EventFile(str(recording / "events" / f"{own}-{ready}.bin"), own, ready)
        file.append(k.READY, 0, 0, ready, worker, pid)
        file.append(k.DATASET_READY, 0, 0, ready + 5 * MS, ready)
        workers.append(file)
        free.append(ready + 5 * MS)
    Path(f"{stem}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    main.append(k.ITERATOR, 1, 0, begun, 1, pid)
    main.append(k.EPOCH, 1, 0, begun + 300 * MS, 1)
    main.append(k.ITERATOR_READY, 1, 0, begun + 310 * MS)
    waking = cycle([draw.randrange(30_000, 200_000) for _ in range(991)])
    return _Rank(number, pid, offset, main, workers, cycle(times), waking, free)


def _loader_line(job: Job, begun: int) -> dict[str, Any]:
    settings = {
        "num_workers": job.workers,
        "batch_size": 32,
        "prefetch_factor": 2,
        "in_order": True,
        "persistent_workers": False,
        "pin_memory": False,
        "pinning": False,
        "drop_last": True,
        "iterable": False,
        "start_method": "fork",
        "sampler": "torch.utils.data.distributed.DistributedSampler",
        "collate_fn": "torch.utils.data._utils.collate.default_collate",
        "dataset_length": 32 * job.steps * job.ranks,
        "length": job.steps,
    }
    line = {"kind": "loader", "t": begun, "number": 1, "site": _SITE, "via": [], "dataset": "data.Images"}
    return line | {"dataset_at": _DATASET_AT, "items_at": _ITEMS_AT, "settings": settings}


def _run(ranks: Sequence[_Rank], job: Job) -> int:
    """All steps of all ranks; returns when the last one ended, since the beginning of the run."""
    draw = random.Random(job.seed)
    steps = cycle([int(job.step * MS * draw.uniform(0.97, 1.03)) for _ in range(997)])
    asked = 820 * MS
    for rank in ranks:
        for idx in range(min(job.steps, 2 * job.workers)):
            _send(rank, job, idx, rank.offset + 810 * MS + idx * 20_000)
    for number in range(job.steps):
        ended = [_step(rank, job, number, rank.offset + asked) - rank.offset + next(steps) for rank in ranks]
        asked = max(ended)
    for rank in ranks:
        last = rank.offset + asked
        rank.main.append(k.ASK, 1, 0, last, rank.pid, k.pack_cost(90 * MS, 0))
        rank.main.append(k.SHUTDOWN, 1, 0, last + MS // 10)
        rank.main.append(k.SHUTDOWN_DONE, 1, 0, last + 20 * MS)
        rank.main.append(k.STOP, 1, 0, last + 21 * MS, last)
        for worker in rank.workers:
            worker.append(k.WORKER_END, 0, 0, last + 10 * MS)
    return asked + 30 * MS


def _step(rank: _Rank, job: Job, idx: int, asked: int) -> int:
    """One rank gets one batch: returns when."""
    main = rank.main
    sent, size = rank.arrived.pop(idx)
    main.append(k.ASK, 1, 0, asked, rank.pid, k.pack_cost(90 * MS, 50_000) if idx else 0)
    read = max(asked, sent) + next(rank.waking)
    main.append(k.RECEIVED, 1, idx, read + 300_000, size, read)
    ahead = idx + 2 * job.workers
    if ahead < job.steps:
        _send(rank, job, ahead, read + 350_000)
    got = read + 400_000
    main.append(k.GOT, 1, idx, got, asked, k.pack_cost(100_000, 20_000))
    main.progress(asked, got)
    return got


def _send(rank: _Rank, job: Job, idx: int, t: int) -> None:
    """An index is sent, and its worker makes the batch as soon as it has made those before it."""
    number = idx % job.workers
    rank.main.append(k.INDEX, 1, idx, t, t - 15_000, number)
    worker = rank.workers[number]
    begin = max(t + 80_000, rank.free[number])
    fetched = begin + int(next(rank.fetch) * MS)
    took = fetched - begin
    collated = fetched + 3 * MS
    put = collated + 50_000
    worker.append(k.FETCH, 0, idx, begin, max(t + 60_000, begin - 20_000))
    worker.append(k.COLLATE, 0, idx, fetched, int(0.7 * took), int(0.01 * took))
    worker.append(k.COLLATED, 0, idx, collated, 2_900_000, 10_000)
    worker.append(k.PUT, 0, idx, put, 32, 32 * 150_528)
    worker.append(k.PICKLED, 0, idx, put + 400_000, put + 60_000)
    worker.append(k.SENT, 0, idx, put + 450_000, put + 410_000, 430)
    rank.free[number] = put + 20_000
    rank.arrived[idx] = (put + 450_000, 430)


def _finish(recording: Path, ranks: Sequence[_Rank], job: Job, offset: int, end: int) -> None:
    """Everything of a recording but the events: its manifest, what the system said, and stacks."""
    cores = 2 * job.workers * len(ranks)
    manifest = {
        "version": k.VERSION,
        "command": ["torchrun", "--nnodes", str(job.nodes), "train.py"],
        "directory": "/job",
        "begin": offset,
        "begin_wall_s": _BEGUN_WALL_S,
        "environment": {
            "host": recording.name,
            "platform": "Linux",
            "python": "3.12.3",
            "start_method": "fork",
            "cpu_count": cores,
            "affinity": cores,
            "cpu_quota": None,
            "memory_total_bytes": 10**12,
            "memory_limit_bytes": None,
            "shm_total_bytes": 5 * 10**11,
        },
        "end": offset + end,
        "end_wall_s": _BEGUN_WALL_S + end / 1e9,
        "exit_code": 0,
        "overhead": {"monitor_cpu_s": end / 1e11, "stacks_cpu_s": end / 1e11, "wall_s": end / 1e9},
        "notes": [],
    }
    (recording / "recording.json").write_text(json.dumps(manifest), encoding="utf-8")
    _write_samples(recording, ranks, job, offset, end)
    for rank in ranks:
        _write_windows(recording / "stacks", rank, job, offset, end)


def _write_samples(recording: Path, ranks: Sequence[_Rank], job: Job, offset: int, end: int) -> None:
    workers = min(1.0, job.fetch * 0.7 / (job.step * job.workers))
    with (
        (recording / "samples" / "processes.jsonl").open("w", encoding="utf-8") as processes,
        (recording / "samples" / "machine.jsonl").open("w", encoding="utf-8") as machine,
    ):
        busy = len(ranks) * (0.9 + job.workers * workers) + 0.2
        for tick in range(int(end / 1e9 / _SAMPLES_EVERY_S) + 1):
            seconds = 1.0 + tick * _SAMPLES_EVERY_S
            t = offset + int(seconds * 1e9)
            for rank in ranks:
                for number in range(job.workers + 1):
                    cpu_s = round(seconds * (workers if number else 0.9), 2)
                    memory = [400_000_000 + 1000 * tick, 90_000_000, 200_000_000, 80_000_000]
                    memory = memory if (tick + number) % (job.workers + 1) == 0 else [memory[0]] + [None] * 3
                    row = [t + number, rank.pid + number, cpu_s, *memory, 10**6 * tick, 0, 3, 20]
                    processes.write(json.dumps([*row, 10 * tick, tick, 1000, 0, "S"]) + "\n")
            row = [t + 50, round(busy * seconds, 2), 8 * 10**11, 4 * 10**11, 5 * 10**11, 0.0, 0]
            machine.write(json.dumps(row) + "\n")


def _write_windows(folder: Path, rank: _Rank, job: Job, offset: int, end: int) -> None:
    """Stacks of one training process and its workers, once a second."""
    draw = random.Random(rank.number)
    t, number = MS * 1000, 0
    while t < end:
        windows = _WINDOWS[number] if number < len(_WINDOWS) else _LAST_WINDOWS[number % 2]
        seconds, with_idle = windows
        until = min(end, t + seconds * 1000 * MS)
        table: dict[str, Any] = {
            "trainer": rank.pid,
            "rate": 1,
            "begin": offset + t,
            "end": offset + until,
        }
        if with_idle:
            samples = []
            for at in range(t, until, 1000 * MS):
                for process in range(job.workers + 1):
                    stack = draw.randrange(1, len(_STACKS)) if process else 0
                    pid = rank.pid + process
                    samples.append([offset + at + process * MS, pid, pid, 0, stack, 1000 * MS])
            table |= {"threads": ["MainThread"], "frames": _FRAMES, "stacks": _STACKS, "samples": samples}
        else:
            leaves = [[*_FRAMES[4], seconds * job.workers // 2], [*_FRAMES[5], seconds * job.workers // 2]]
            table |= {"leaves": leaves}
        name = f"{'window' if with_idle else 'active'}-{rank.pid}-{number}.json"
        (folder / name).write_text(json.dumps(table), encoding="utf-8")
        t, number = until, number + 1
