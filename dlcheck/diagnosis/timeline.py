"""The life of every batch of a recorded run, as plain values.

Every time is CLOCK_MONOTONIC in nanoseconds, which all processes of one host share. ``None`` means *not known*:
a signal that was not recorded is not a zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Site:
    """A line of source code."""

    file: str
    line: int
    function: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage cost the thread that ran it: wall = cpu + runqueue + blocked."""

    wall_ns: int
    cpu_ns: int | None = None
    runqueue_ns: int | None = None

    @property
    def blocked_ns(self) -> int | None:
        if self.cpu_ns is None:
            return None
        return max(0, self.wall_ns - self.cpu_ns - (self.runqueue_ns or 0))


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of one iterator, with every stage that was seen (``None``: not seen).

    In the process that trains: ``index_begin``/``index_sent`` (drawing the indices from the sampler, handing them to
    the index queue), ``asked``/``got`` (the loop's call of ``next``), ``received`` (read and unpickled), ``pin_begin``/
    ``pin_end``. In the worker: ``index_received``, ``fetch_begin``, ``collate_begin``, ``collate_end``, ``put``; in its feeder
    thread ``pickle_begin``, ``pickle_end``, ``send_begin`` (write lock held), ``send_end``. With ``num_workers=0`` the
    fetch and collate stamps are those of the training process itself. ``read``: read from the pipe, not yet unpickled;
    ``pipe_bytes``: how much that was (a tensor in shared memory is only named there). ``wait_other_cpu_ns``:
    CPU that threads other than the loop's used in the process that trains, between ``asked`` and ``got``;
    ``wait_queued_ns``: how long the loop's thread waited for a core meanwhile. ``step_cpu_ns``: CPU that all
    threads of the process used between the last batch and ``asked``; ``step_queued_ns`` as for the wait.
    ``pickle_cpu_ns``, ``pickle_queued_ns``: of the feeder thread, between ``pickle_begin`` and ``pickle_end``.
    ``opening_ns``: the part of the fetch that its worker does once, at its first batch (``openings``). ``content``: a
    fingerprint, which batches of the same content share; only of some batches of iterable datasets.
    """

    idx: int
    worker: int | None
    epoch: int
    index_begin: int | None = None
    index_sent: int | None = None
    index_received: int | None = None
    fetch_begin: int | None = None
    collate_begin: int | None = None
    collate_end: int | None = None
    put: int | None = None
    pickle_begin: int | None = None
    pickle_end: int | None = None
    send_begin: int | None = None
    send_end: int | None = None
    received: int | None = None
    pin_begin: int | None = None
    pin_end: int | None = None
    asked: int | None = None
    got: int | None = None
    samples: int | None = None
    size_bytes: int | None = None
    fetch: Cost | None = None
    collate: Cost | None = None
    consumer_thread: int | None = None
    failed: bool = False
    read: int | None = None
    pipe_bytes: int | None = None
    wait_other_cpu_ns: int | None = None
    wait_queued_ns: int | None = None
    step_cpu_ns: int | None = None
    step_queued_ns: int | None = None
    pickle_cpu_ns: int | None = None
    pickle_queued_ns: int | None = None
    opening_ns: int = 0
    content: int | None = None

    @property
    def usual_fetch(self) -> Cost | None:
        """The fetch without what its worker did only once."""
        cost = self.fetch
        if cost is None or not self.opening_ns or cost.wall_ns <= 0:
            return cost
        left = 1 - min(self.opening_ns, cost.wall_ns) / cost.wall_ns
        cpu, queued = cost.cpu_ns, cost.runqueue_ns
        return Cost(
            int(left * cost.wall_ns),
            None if cpu is None else int(left * cpu),
            None if queued is None else int(left * queued),
        )


@dataclass(frozen=True, slots=True)
class WorkerLife:
    """One worker process of one iterator. ``ready``: its loop began; ``init_begin``/``init_end``: its ``worker_init_fn``.
    ``start_cpu_ns``: CPU that it had used when it was ready; ``start_queued_ns``: how long its first thread had waited
    for a core by then.
    """

    worker: int
    pid: int
    process_start: int | None = None
    process_started: int | None = None
    ready: int | None = None
    init_begin: int | None = None
    init_end: int | None = None
    dataset_ready: int | None = None
    ended: int | None = None
    last_stage: str = ""
    last_idx: int | None = None
    exit_signal: int | None = None
    exit_code: int | None = None
    start_cpu_ns: int | None = None
    start_queued_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass of a loop over an iterator: from the request for it to its end, or to where it was abandoned.

    ``last_asked``: the call of ``next`` that was answered by the end and not by a batch.
    """

    number: int
    begin: int
    iterator_begin: int | None
    iterator_end: int | None
    end: int | None
    exhausted: bool
    batches: tuple[Batch, ...]
    last_asked: int | None = None


@dataclass(frozen=True, slots=True)
class IteratorLife:
    """One iterator of a loader: several epochs when workers persist, else one."""

    serial: int
    pid: int
    threads: tuple[int, ...]
    workers: tuple[WorkerLife, ...]
    epochs: tuple[Epoch, ...]
    shutdown_begin: int | None = None
    shutdown_end: int | None = None


@dataclass(frozen=True, slots=True)
class SlowSample:
    """One of the slowest samples of a loader. ``index``: of the dataset, where it is known; ``idx``: its batch."""

    t: int
    pid: int
    worker: int | None
    idx: int
    index: int | None
    duration_ns: int


@dataclass(frozen=True, slots=True)
class SampleTimes:
    """How long single samples took, where they cost enough to be timed. Quantiles are within 12 %."""

    timed: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    slowest: tuple[SlowSample, ...]


@dataclass(frozen=True, slots=True)
class Helpers:
    """What helps the workers of one loader, in ns per ns for which a worker was busy, on average over all.

    ``cpu``: CPU that other threads and children used; ``queued``: how long other threads waited for a core;
    ``own``: CPU of the workers' own threads; ``threads``: how many threads a worker process has. ``hidden``: the part
    of the time for which fetches were blocked that helpers account for; ``computing``: CPU of the workers' own threads
    with that part of it that was CPU.
    """

    cpu: float
    queued: float
    own: float
    threads: int
    hidden: float
    computing: float

    @property
    def runnable(self) -> float:
        """Threads of a busy worker that have a core or wait for one."""
        return self.own + self.cpu + self.queued

    @property
    def cores(self) -> float:
        """Cores that a worker uses while it computes."""
        return max(1.0, (self.own + self.cpu) / self.computing) if self.computing else 1.0

    @property
    def are_threads(self) -> bool:
        """Whether they are threads that work at the same time, rather than children that work one by one."""
        return self.runnable > 1.5


@dataclass(frozen=True, slots=True)
class LoaderLife:
    """One ``DataLoader`` object of one training process.

    ``settings`` holds num_workers, batch_size, prefetch_factor, in_order, persistent_workers, pin_memory (asked for),
    pinning (in effect), start_method, drop_last, timeout, sampler, batch_sampler, collate_fn, worker_init_fn,
    iterable, length (batches) and dataset_length where they are known. ``made``: how many objects it was: one line
    that makes a loader for every epoch makes one loader. ``helpers``: what computes for its workers beside them.
    ``dataset_at``, ``items_at``: the class of its dataset, and the method of that which makes items.
    """

    key: str
    pid: int
    rank: int | None
    created_at: Site
    dataset: str
    dataset_at: Site | None
    settings: dict[str, Any]
    iterators: tuple[IteratorLife, ...]
    samples: SampleTimes | None = None
    made: int = 1
    helpers: Helpers | None = None
    items_at: Site | None = None


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """What the operating system says of one process at one moment. Sizes in bytes, times in seconds.

    ``children_cpu_s``: of children that have ended; ``queued_s``: how long all of its threads have waited for a core;
    ``channel``: the function of the kernel that its first thread sleeps in, such as "futex_wait_queue", "" where it
    does not sleep or that is not told. ``affinity``: the cores on which it may run, as a hexadecimal mask.
    """

    t: int
    pid: int
    cpu_s: float
    rss: int
    uss: int | None = None
    pss: int | None = None
    private_dirty: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    threads: int | None = None
    fds: int | None = None
    ctx_voluntary: int | None = None
    ctx_involuntary: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    state: str = ""
    children_cpu_s: float | None = None
    queued_s: float | None = None
    channel: str = ""
    affinity: str = ""


@dataclass(frozen=True, slots=True)
class MachineSample:
    """What the host and the control group say at one moment. ``cpu_normal_s``: the part of ``cpu_busy_s`` that programs
    without a lowered priority used, outside the kernel.
    """

    t: int
    cpu_busy_s: float
    mem_available: int
    shm_free: int | None = None
    shm_total: int | None = None
    cgroup_throttled_s: float | None = None
    cgroup_oom_kills: int | None = None
    cpu_normal_s: float | None = None


@dataclass(frozen=True, slots=True)
class StackSample:
    """One thread's stack at one moment, innermost frame last.

    ``idle``: it was not on a core. ``stage``: "fetch" or "collate" where the stack itself says so, else "".
    """

    t: int
    pid: int
    thread: str
    idle: bool
    frames: tuple[Site, ...]
    weight_ns: int
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong: a worker killed, a hang, an error raised by the dataset."""

    kind: str
    t: int
    pid: int
    detail: str
    stack: tuple[Site, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that a recording says, in order of time. ``environment`` is documented in ``dlcheck.probe.recording``."""

    begin: int
    end: int
    command: tuple[str, ...]
    exit_code: int | None
    environment: dict[str, Any]
    loaders: tuple[LoaderLife, ...]
    processes: tuple[ProcessSample, ...] = ()
    machine: tuple[MachineSample, ...] = ()
    stacks: tuple[StackSample, ...] = ()
    incidents: tuple[Incident, ...] = ()
    notes: tuple[str, ...] = ()
    overhead: dict[str, Any] = field(default_factory=dict)
