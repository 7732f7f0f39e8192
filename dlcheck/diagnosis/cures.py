"""What to change in the code for each verdict, where no setting of the loader does it."""

from __future__ import annotations

from statistics import median

from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.handover import named_tensors
from dlcheck.diagnosis.units import amount

# Pickled content, rather than the names of tensors in shared memory.
_PICKLED_BYTES = 65_536
# From here on their number is what makes them costly.
_MANY_TENSORS = 20
# From here on copying takes longer than all else about handing over (some ms).
_HEAVY_BYTES = 8_000_000

FATAL = frozenset(
    ("hang", "worker-killed", "shared-memory-full", "dataset-error", "shared-across-threads", "duplicates")
)
"""Verdicts whose cure comes before any gain in speed."""

_CURES = {
    "pin-memory": (
        "Set pin_memory=False for this loader, or send fewer and smaller tensors: pinning costs more than it"
        " saves here."
    ),
    "dispatch": (
        "Make the sampler cheaper: draw the indices of a whole epoch at once, as a tensor, instead of computing"
        " them for each batch. It runs in the training process."
    ),
    "main-gil": (
        "Move other Python work (threads, callbacks, logging) out of the training process: while it runs, the"
        " loop cannot take batches that are ready."
    ),
    "straggler": (
        "Make the slowest items cheaper (smaller files, a time limit, work done beforehand), or put items of"
        " like cost into one batch."
    ),
    "memory-growth": (
        "Keep the samples in one NumPy array, tensor or Arrow table instead of a list or dict of Python"
        " objects, and limit the size of caches in the dataset."
    ),
    "imbalance": (
        "Give each worker an equal part of the data: shards of like size, at least one per worker, or items"
        " dealt out in turn."
    ),
    "duplicates": (
        "Divide the dataset among the workers: in __iter__, ask torch.utils.data.get_worker_info() and yield"
        " only this worker's part."
    ),
    "shared-across-threads": (
        "Give each thread its own DataLoader, or read it in one thread and pass the batches on in a queue."
    ),
    "worker-killed": (
        "If the kernel ended it for want of memory, use fewer workers or a smaller prefetch_factor. If it"
        " crashed, run with num_workers=0 to see where."
    ),
    "shared-memory-full": (
        "Give the container more shared memory (docker run --shm-size=8g, or --ipc=host), or send less: fewer"
        " workers, a smaller prefetch_factor, smaller batches."
    ),
    "hang": (
        "Look at the line where it stands. Set timeout= on the DataLoader, so that a stuck worker raises an"
        " error instead of waiting for ever."
    ),
    "hang, not looked at": (
        "Let it stand for longer: dlcheck looks after 10 s, and a minute, where it stands (or ask"
        " `py-spy dump --pid` of the process that is named above). Set timeout= on the DataLoader, so that a stuck worker"
        " raises an error instead of waiting for ever."
    ),
    "hang at a lock": (
        "Look at the line where it stands. If a thread of the training process held that lock when the workers"
        " were forked, it stays locked in them for ever: start such threads later, or pass"
        " multiprocessing_context='forkserver'."
    ),
    "unpicklable-batch": (
        "Return only what can be pickled from the dataset and collate_fn: no lambdas, open files, locks or"
        " generators."
    ),
    "dataset-error": "Mend or leave out the sample that raises the error: its index is named above.",
    "startup": (
        "Make starting a worker cheaper: each of them does again what worker_init_fn and the pickling of the"
        " dataset ask for."
    ),
}

_COMPUTE_LESS = (
    "Compute less for each item: do before training what is the same in every epoch (decoding, resizing,"
    " parsing), and read no more than is used."
)
_LAST_RESORTS = {
    "fetch-cpu": _COMPUTE_LESS,
    "main-process": _COMPUTE_LESS,
    "fetch-io": (
        "Wait less for each item: read larger pieces, from nearer storage, and what is the same in every epoch"
        " only once."
    ),
    "collate": (
        "Do less in collate_fn: what concerns one sample belongs into the dataset, or before training; what is left"
        " should join arrays or tensors as a whole, not value by value."
    ),
}


def last_resort(verdict: str) -> str | None:
    """What to change where no setting of the loader helps, and no line stands out."""
    return _LAST_RESORTS.get(verdict)


def cure(evidence: Evidence, verdict: str) -> str | None:
    """What to change in the code where ``verdict`` holds; None where there is no general answer."""
    if verdict == "transfer":
        return _transfer(evidence)
    if verdict == "hang":
        return _CURES[_kind_of_hang(evidence)]
    if verdict == "collate" and str(evidence.loader.settings.get("collate_fn") or "").endswith(
        ".default_collate"
    ):
        # It does little else than copy.
        return _heavy(evidence)
    if verdict == "fetch-io" and evidence.shares_a_lock:
        return (
            "Hold the lock that the workers share for less, or give each worker a handle of its own, so that none is"
            " needed."
        )
    if verdict == "oversubscribed":
        return _oversubscribed(evidence)
    return _CURES.get(verdict)


def _kind_of_hang(evidence: Evidence) -> str:
    if any(incident.kind == "unpicklable-batch" for incident in evidence.incidents):
        return "unpicklable-batch"
    if not any(incident.stack for incident in evidence.incidents):
        return "hang, not looked at"
    waits_for_lock = any(incident.detail.endswith("waits for a lock") for incident in evidence.incidents)
    forked = evidence.workers and evidence.loader.settings.get("start_method") == "fork"
    return "hang at a lock" if waits_for_lock and forked else "hang"


def _oversubscribed(evidence: Evidence) -> str | None:
    helpers = evidence.loader.helpers
    if evidence.are_bound:
        return (
            "Let the workers use all cores: something (a library that was imported, taskset, worker_init_fn) has bound"
            " them. In worker_init_fn: os.sched_setaffinity(0, range(os.cpu_count()))."
        )
    if helpers is not None and helpers.are_threads:
        return (
            f"Let each worker use one thread instead of {helpers.threads}: torch.set_num_threads(1),"
            " cv2.setNumThreads(0) and the like in worker_init_fn, or OMP_NUM_THREADS=1 in the environment."
        )
    return None


def _transfer(evidence: Evidence) -> str:
    sizes = [
        b.pipe_bytes for i in evidence.loader.iterators for e in i.epochs for b in e.batches if b.pipe_bytes
    ]
    size = median(sizes) if sizes else 0
    if size >= _PICKLED_BYTES:
        return (
            f"Return tensors from the dataset and let collate stack them. Tensors go through shared memory;"
            f" NumPy arrays, strings and other objects are pickled, here {amount(size)} for each batch."
        )
    tensors = named_tensors(size)
    if tensors > _MANY_TENSORS:
        return (
            f"Put fewer tensors into a batch: some {tensors} are sent one by one. Stack them into a few in"
            " collate_fn."
        )
    return _heavy(evidence) or (
        "Use larger batches, or load without workers where loading is cheap: the cost of taking a batch from a"
        " worker hardly depends on its size."
    )


def _heavy(evidence: Evidence) -> str | None:
    """What to do about batches whose bytes take long to copy."""
    size = evidence.batch_bytes
    if size < _HEAVY_BYTES:
        return None
    return (
        f"Send less: each batch of {amount(size)} is copied to shared memory. Use a smaller dtype (uint8,"
        " float16) or crop in the dataset, and convert in the training process."
    )
