"""The recording: the directory that a probed run leaves, and its format. Shared by writers and reader.

    recording.json           the manifest: format version, command, environment, exit code, begin and end
    events/PID-T.bin         the events of one process: 32-byte records in a memory-mapped file
    events/PID-T.jsonl       the same process in words: loaders, workers started, errors, trouble of the probe
    samples/processes.jsonl  what the operating system said of each process, one JSON array per sample
    samples/machine.jsonl    the same of the host and the control group
    stacks/window-*.json     a window of py-spy with idle threads: see ``dlcheck.probe.chrometrace.compact``
    stacks/active-*.json     a window without idle threads: samples by innermost line
    stacks/inside-*.jsonl    samples that a worker took of itself: see ``dlcheck.probe.fallback``
    stacks/hang-*.json       one look at a loop that waits: see ``dlcheck.probe.hangs``
    sample-inside            present when workers are to sample their own stacks
    full                     present when the size limit is reached: new processes record nothing
    spare                    room for the manifest and the report, should the disk be full when the run ends

PID-T is the process id and the CLOCK_MONOTONIC nanosecond at which the file was opened, so that a process id
that the system hands out twice does not mix two processes. Every time is CLOCK_MONOTONIC in nanoseconds.

**Manifest.** ``environment`` holds host, platform, python, start_method (the default), cpu_count, affinity
(cores that may be used), cpu_quota (cores that the control group allows; None: all), nice (the priority),
cpu_shared_by (see ``environment.cpu_shared_by``), memory_total_bytes, memory_limit_bytes (of the control group),
shm_total_bytes. The reader adds what the first training process says of itself: python, torch, executable, main,
directory. ``overhead`` is what the launcher and its samplers cost, in seconds of CPU.

**Samples.** A process: t, pid, CPU s, RSS, USS, PSS, private dirty, bytes read, bytes written, threads,
descriptors, voluntary and involuntary context switches, minor and major faults, state. The machine: t, CPU s
that all cores were busy, memory available, /dev/shm free and total, seconds that the control group was
throttled, its OOM kills, CPU s that programs without a lowered priority (``nice``) used, outside the kernel.

**Event file.** The first page (4096 bytes) is a header, the rest are records; one of zeros was never written.

    header   0  a record of kind BEGIN: idx = format version, a = process id, b = MAGIC
            32  two u64, overwritten for each sample: dataset index + 1 (0: none), time at which it was begun
            64  two u64, overwritten for each batch: time of the last ``next`` asked, of the last one answered
            80  two u64: time at which the file could not grow (0: it could), error number
          2048  256 u64: histogram of the time per sample, see ``bucket``
    record   u32 kind | serial << 8, u32 idx, u64 t, u64 a, u64 b

``serial`` numbers the iterators of a training process from 1; it is 0 in a worker, which has one iterator
only. ``idx`` is the batch number within the epoch, as torch counts it. What ``a`` and ``b`` hold is said at
each kind. A file larger than MAX_PAGES overwrites its second half in turn: beginning and end of a long run
are kept.
"""

from __future__ import annotations

import struct

VERSION = 1
MAGIC = 0x646C636865636B31
UNKNOWN = 2**64 - 1
_NO_QUEUE = 2**32 - 1

ENV_RECORDING = "DLCHECK_RECORDING"

HANG_S = 10.0
"""A loop that has waited for one batch for this long is looked at, and is a hang if it never gets it."""

PAGE_BYTES = 4096
MAX_PAGES = 16384
RECORD = struct.Struct("<IIQQQ")
PAIR = struct.Struct("<QQ")
SAMPLE_OFFSET = 32
PROGRESS_OFFSET = 64
STUCK_OFFSET = 80
HISTOGRAM_OFFSET = 2048
HISTOGRAM_BUCKETS = 256

BEGIN = 1

# In the process that trains.
ITERATOR = 10  # construction begins: a = loader number, b = native thread id
ITERATOR_READY = 11  # constructed
EPOCH = 12  # the iterator is reset: a = 1 for the first epoch
EPOCH_READY = 13  # reset done: the first indices are sent
INDEX = 14  # t = index handed to the index queue, a = drawing it began, b = worker
ASK = 15  # the loop calls next: a = native thread id, b = cost of the step since GOT, see ``pack_cost``
RECEIVED = 16  # t = read and unpickled, a = bytes read from the pipe, b = time at which they were read
GOT = 17  # the loop gets its batch: a = asked, b = cost of the wait, see ``pack_cost``
STOP = 18  # next raised StopIteration
ERROR = 19  # next raised something else
SHUTDOWN = 20  # shutting the workers down begins
SHUTDOWN_DONE = 21
PIN = 22  # the pin-memory thread took the batch from the pipe, unpickled
PINNED = 23  # ... and hands it on

# Where a batch is made: in a worker, or with num_workers=0 in the process that trains.
READY = (
    40  # the worker's loop begins: a = worker (UNKNOWN: the loop is the program's own), b = parent process id
)
INIT = 41  # worker_init_fn begins
INIT_DONE = 42
DATASET_READY = (
    43  # the fetcher, and for iterable datasets the iterator, are made: a = time at which that began; b = cost of the
    # worker's process until now, see ``pack_cost``
)
RESUME = 44  # a new epoch begins for a persistent worker
FETCH = 45  # t = the fetch begins, a = the index was received
COLLATE = 46  # t = the fetch ended, a = its CPU ns, b = its run-queue ns
COLLATED = 47  # t = collate ended, a = its CPU ns, b = its run-queue ns
PUT = 48  # t = the batch is handed on, a = samples, b = size in bytes; UNKNOWN where not known
PICKLED = 49  # feeder thread: t = pickled, a = pickling began, b = its cost, see ``pack_cost``
SENT = 50  # feeder thread: t = written to the pipe, a = the write lock was held, b = bytes
FAILED = 51  # the fetch raised
SAMPLE = 52  # one of the slowest samples so far: t = its end, a = dataset index, b = nanoseconds
WORKER_END = 53  # the worker's loop returned
CONTENT = 54  # of some batches of an iterable dataset: a = fingerprint of what is in it, see ``payload.fingerprint``


def pack_cost(cpu_ns: int, queued_ns: int) -> int:
    """CPU time and run-queue delay in one field: microseconds, 32 bits each.

    Of a step, and of a worker's start: the CPU time of all threads of the process; of a wait: that of all but the
    loop's own thread; of pickling: that of the feeder thread. The run-queue delay is that of the loop's thread, the
    worker's first, and the feeder thread, or UNKNOWN. 0 stands for a cost that was not recorded.
    """
    queued = _NO_QUEUE if queued_ns == UNKNOWN else min(queued_ns // 1000, _NO_QUEUE - 1)
    return min(max(0, cpu_ns) // 1000 + 1, _NO_QUEUE) | queued << 32


def unpack_cost(packed: int) -> tuple[int | None, int | None]:
    """The inverse of ``pack_cost``, in ns; None where it is not known."""
    if not packed:
        return None, None
    queued = packed >> 32
    return ((packed & _NO_QUEUE) - 1) * 1000, None if queued == _NO_QUEUE else queued * 1000


def bucket(duration_ns: int) -> int:
    """Histogram bucket of a duration:

    four per power of two, so that a quantile read from it is within 12 %.
    """
    bits = duration_ns.bit_length()
    if bits < 3:
        return duration_ns
    return (bits << 2 | (duration_ns >> (bits - 3)) & 3) & 255


def bucket_midpoint_ns(number: int) -> int:
    """The duration in the middle of a histogram bucket, the inverse of ``bucket``."""
    if number < 12:
        return number & 3
    bits, quarter = number >> 2, number & 3
    return ((4 + quarter) << (bits - 3)) + (1 << (bits - 3)) // 2
