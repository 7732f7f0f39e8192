"""What causes, states and verdicts mean, in words for a person."""

from __future__ import annotations

CAUSES = {
    "startup": "its worker was still being started",
    "queued": "it was behind other batches in its worker",
    "dispatch": "its indices had not been drawn or sent yet",
    "fetch-cpu": "its samples were being made, on the CPU",
    "fetch-io": "its samples were being read, and the worker was blocked (disk, network, lock, sleep)",
    "cpu-wait": "its worker was ready to run and waited for a core",
    "collate": "it was being collated",
    "transfer": "it was on its way: pickled, sent, received",
    "pin-memory": "it was in the pin-memory thread",
    "reorder": "later batches were ready and waited for this one, for the order's sake",
    "main": "the loop's own process was busy with it",
    "unknown": "no record says what happened to it",
}
"""What was going on while the loop waited: completes "the loop waited because ..."."""

WAIT_KINDS = {
    "construction": "The loop waited for the iterator to be made, or reset for a new epoch.",
    "end": "The loop asked for a batch and met the end of the epoch.",
    "shutdown": "The loop waited for the workers to be shut down.",
}
"""Waits that are not for a batch."""

LABELS = {
    "step": "training step",
    "startup": "starting workers",
    "queued": "queued in a worker",
    "dispatch": "sampler",
    "fetch-cpu": "dataset: computing",
    "fetch-io": "dataset: blocked",
    "cpu-wait": "no core free",
    "collate": "collate",
    "transfer": "worker to loop",
    "pin-memory": "pin memory",
    "reorder": "behind a slow batch",
    "main": "training process",
    "unknown": "not known",
    "other": "other",
}
"""Parts of a loop's time, as short labels: its steps, and its waits by cause."""


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {noun}{'s' * (count != 1)}"
