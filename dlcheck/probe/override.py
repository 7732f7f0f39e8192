"""Changes arguments of loaders from outside, where ``dlcheck run --set`` asks for it, and nothing else.

A change that the loader cannot take (a batch size where the program has its own batch sampler, an argument that
this torch does not know) is left out, and said in the recording.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcheck.probe import describe, journal
from dlcheck.probe.neutral import unseen
from dlcheck.probe.patches import replace

ENV_SET = "DLCHECK_SET"
"""JSON: ``{"changes": {argument: value}, "loader": [file, line]}``, or null for every loader."""

ARGUMENTS = (
    "num_workers",
    "prefetch_factor",
    "persistent_workers",
    "pin_memory",
    "in_order",
    "batch_size",
    "timeout",
    "multiprocessing_context",
)
"""What can be changed without changing what the dataset, the sampler or the collate function do."""

# What torch accepts with workers only, and what it wants without.
_WITH_WORKERS: dict[str, Any] = {
    "prefetch_factor": None,
    "persistent_workers": False,
    "timeout": 0,
    "multiprocessing_context": None,
}


def wanted() -> dict[str, Any] | None:
    """What this run is to change, if anything."""
    text = os.environ.get(ENV_SET)
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) and value.get("changes") else None


def patch(cls: Any) -> None:
    """Let ``cls`` (DataLoader, or one that stands for it) be made with the arguments that are wanted."""
    want = wanted()
    if want is None:
        return
    original: Callable[..., None] = cls.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            arguments = _changed(signature, want, self, args, kwargs)
        except Exception as error:
            journal.trouble("override", error)
            arguments = None
        if arguments is None:
            original(self, *args, **kwargs)
        else:
            original(self, **arguments)

    replace(cls, "__init__", unseen(__init__))


def _changed(
    signature: inspect.Signature, want: dict[str, Any], loader: Any, args: Any, kwargs: Any
) -> dict[str, Any] | None:
    sites = describe.sites()
    if not is_at(want.get("loader"), sites):
        return None
    bound = signature.bind(loader, *args, **kwargs)
    arguments = {
        name: value for name, value in bound.arguments.items() if name != next(iter(signature.parameters))
    }
    before, left_out = dict(arguments), {}
    for name, value in want["changes"].items():
        reason = _refusal(name, signature, arguments, want["changes"])
        if reason:
            left_out[name] = reason
        else:
            arguments[name] = value
    if not arguments.get("num_workers"):
        arguments |= {name: value for name, value in _WITH_WORKERS.items() if arguments.get(name)}
    changes = {name: value for name, value in arguments.items() if before.get(name) is not value}
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    journal.say(
        "override",
        site=sites[0],
        changes={name: [before.get(name, defaults.get(name)), value] for name, value in changes.items()},
        left_out=left_out,
    )
    return arguments


def _refusal(
    name: str, signature: inspect.Signature, arguments: dict[str, Any], changes: dict[str, Any]
) -> str:
    """Why a change is left out; "" where it is not."""
    if name not in signature.parameters:
        return "this version of torch does not know it"
    if name == "batch_size" and arguments.get("batch_sampler") is not None:
        return "the program has a batch sampler of its own"
    if name in _WITH_WORKERS and not changes.get("num_workers", arguments.get("num_workers")):
        return "there are no workers"
    return ""


def is_at(place: Any, sites: list[tuple[str, int, str]]) -> bool:
    """Whether a loader that is made at ``sites`` (the line, and those that led there) is the one that is meant.

    ``place``: [end of a path, line], or None for every loader.
    """
    if place is None:
        return True
    wanted_path, line = Path(place[0]).parts, place[1]
    return any(
        number == line and Path(file).parts[-len(wanted_path) :] == wanted_path for file, number, _ in sites
    )
