"""The shapes of what a recording says in words (``dlcheck.diagnosis.guard.prune``): what its readers rely on.

Any field may be null or missing, but those of ``NEEDED``. Fields that are not listed here are not relied on.
"""

from __future__ import annotations

from typing import Any

from dlcheck.diagnosis.guard import Number

COUNT = Number()
PID = Number(0, 1 << 32)
SECONDS = Number(0, 1e11, whole=False)
"""Also since 1970: 3,000 years."""
_NAMED = Number(-(1 << 31), (1 << 31) - 1)
"""Exit codes and priorities."""
WORKER = Number(0, 1 << 20)
SITE = [str, COUNT, str]

MANIFEST: dict[str, Any] = {
    "command": [str],
    "directory": str,
    **dict.fromkeys(("begin", "end"), COUNT),
    **dict.fromkeys(("begin_wall_s", "end_wall_s"), SECONDS),
    "exit_code": _NAMED,
    "notes": [str],
    "overrides": {"loader": [str, COUNT]},
    "overhead": {str: SECONDS},
    "attached": [
        {
            "trainer": PID,
            "workers": [PID],
            "started": [PID],
            "command": [str],
            "queued_s": {str: SECONDS},
            "waits": {str: (str, None)},
        }
    ],
    "environment": {
        **dict.fromkeys(("host", "platform", "python", "start_method", "cpu_shared_by", "main"), str),
        **dict.fromkeys(("cpu_count", "affinity"), Number(1, 1 << 20)),
        **dict.fromkeys(("memory_total_bytes", "memory_limit_bytes", "shm_total_bytes"), COUNT),
        "cpu_quota": Number(0, 1 << 20, whole=False),
        "nice": _NAMED,
    },
}
"""Of recording.json."""

_EXITS = [[WORKER, PID, (_NAMED, None)]]

LINES: dict[str, dict[str, Any]] = {
    "process": {
        "pid": PID,
        "ranks": {str: str},
        **dict.fromkeys(("python", "executable", "torch", "main", "directory"), str),
    },
    "loader": {
        "number": COUNT,
        "site": SITE,
        "via": [SITE],
        "dataset": str,
        "dataset_at": SITE,
        "items_at": SITE,
        "settings": {
            "num_workers": Number(0, 1024),
            "prefetch_factor": Number(0, 1024),
            **dict.fromkeys(("batch_size", "dataset_length", "length"), COUNT),
            **dict.fromkeys(("in_order", "persistent_workers", "pin_memory", "pinning"), bool),
            **dict.fromkeys(("iterable", "generator"), bool),
            **dict.fromkeys(("class", "start_method", "sampler", "batch_sampler"), str),
            **dict.fromkeys(("collate_fn", "worker_init_fn"), str),
        },
    },
    "worker": {**dict.fromkeys(("serial", "begun", "started"), COUNT), "worker": WORKER, "pid": PID},
    "worker-exits": {"serial": COUNT, "exits": _EXITS},
    "loader-error": {"serial": COUNT, "type": str, "message": str, "exits": _EXITS},
    "dataset-error": {"idx": COUNT, "sample": COUNT, "type": str, "message": str, "stack": [SITE]},
    "feeder-error": {"idx": COUNT, "type": str, "message": str},
    "override": {
        "site": SITE,
        "changes": {str: [(str, Number(-1e18, 1e18, whole=False), bool, None)] * 2},
        "left_out": {str: str},
    },
    "trouble": {"hook": str, "error": str},
    "replayed": {"number": COUNT, "steps_ns": [COUNT]},
}
"""Of events/*.jsonl, by kind."""

NEEDED = {
    "worker": ("pid", "worker"),
    "override": ("site", "changes", "left_out"),
    "worker-exits": ("exits",),
    "replayed": ("number", "steps_ns"),
}
"""What a line of a kind must have, beside its time."""

_THREAD = {"frames": [[str, COUNT, str]], "waits": str}
LOOK: dict[str, Any] = {"asked": COUNT, "trainer": PID, "dumps": {str: [_THREAD]}}
"""Of stacks/hang-*.json."""
