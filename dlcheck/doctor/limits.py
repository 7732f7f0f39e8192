"""Limits of the process: descriptors, the right to trace, how workers are started."""

from __future__ import annotations

import sys

from dlcheck.doctor.model import Remark

_TIGHT, _ROOMY = 1024, 4096


def descriptors(soft: int, hard: int) -> Remark:
    """The limit of open files. Shared tensors hold a descriptor each (the default of torch on Linux)."""
    found = f"{_count(soft)} (at most {_count(hard)})"
    means = "Each tensor that came through shared memory holds one while it lives, and each open file of a worker too."
    if 0 <= soft < _ROOMY:
        return Remark(
            "open files", "bad" if soft < _TIGHT else "note", found,
            means + " When they run out: \"Too many open files\", or \"received 0 items of ancdata\".",
            "ulimit -n 65536, or torch.multiprocessing.set_sharing_strategy(\"file_system\").",
        )  # fmt: skip
    return Remark("open files", "good", found, means)


def _count(limit: int) -> str:
    return "no limit" if limit < 0 or limit >= 1 << 31 else str(limit)


def tracing(trouble: str | None) -> Remark:
    """Whether stacks can be sampled from beside. ``trouble``: what py-spy's trial said, None where it worked."""
    if trouble is None:
        return Remark(
            "tracing", "good", "py-spy may look into processes", "`dlcheck run` can name the lines to blame."
        )
    found, _, remedy = trouble.partition(" (remedy: ")
    return Remark(
        "tracing", "note", found, "Lines are named from samples that workers take of themselves: fewer, and coarser.",
        remedy.rstrip(")"),
    )  # fmt: skip


def start_method(default: str, chosen: tuple[str, str] | None) -> Remark:
    """How workers are started: ``default`` of this Python, ``chosen`` by the script, with where it does."""
    method = chosen[0] if chosen is not None else default
    found = (
        f"{method} (at {chosen[1]})"
        if chosen is not None
        else f"{method}, the default of Python {_version()}"
    )
    means = {
        "fork": (
            "Workers start at once and share the parent's memory until it is written to; open files, locks and CUDA of the"
            " parent do not survive it."
        ),
        "spawn": (
            "Each worker starts a new interpreter, imports torch again (seconds) and gets the dataset pickled: keep it"
            " small, and set persistent_workers=True."
        ),
        "forkserver": (
            "Workers are forked from a clean process and get the dataset pickled: keep it small, and set"
            " persistent_workers=True."
        ),
    }.get(method, "")
    return Remark("start method", "good", found, means)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
