"""Puts the hooks in place, when torch's loader (or torchdata's) has been imported."""

from __future__ import annotations

import functools
import multiprocessing.process
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcheck.probe import consumer, describe, fallback, journal, override, pinning, replaying, stopping
from dlcheck.probe.neutral import unseen
from dlcheck.probe.patches import replace
from dlcheck.probe.stages import timed_create_fetcher
from dlcheck.probe.worker import patch_bootstrap, timed_worker_loop

TORCH = "torch.utils.data.dataloader"
TORCHDATA = "torchdata.stateful_dataloader.stateful_dataloader"

_RANK_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "SLURM_PROCID",
)


def install(module: Any, recording: str) -> None:
    """Hook the loader classes of ``module``, one of TORCH and TORCHDATA, which has just been executed.

    A hook point that this version lacks is noted in the recording, and the others are used all the same.
    """
    journal.start(recording)
    if module.__name__ == TORCH:
        _introduce()
        fallback.allow_tracing()
        steps: dict[str, Callable[[], None]] = {
            "next": lambda: consumer.patch_next(module._BaseDataLoaderIter),
            "replay next": lambda: replaying.patch_next(module._BaseDataLoaderIter),
            "replay": lambda: replaying.patch_loader(module.DataLoader),
            "stop": lambda: stopping.patch(module._BaseDataLoaderIter),
            "single": lambda: consumer.patch_single_process(module._SingleProcessDataLoaderIter),
            "multi": lambda: consumer.patch_multiprocess(module._MultiProcessingDataLoaderIter),
            "create_fetcher": lambda: _patch_create_fetcher(module._DatasetKind),
            "worker_loop": lambda: _patch_worker_loop(module._utils.worker),
            "pin": lambda: pinning.patch(module._utils.pin_memory),
            "start": lambda: consumer.patch_process_start(multiprocessing.process.BaseProcess),
            "bootstrap": lambda: patch_bootstrap(multiprocessing.process.BaseProcess),
            "created": lambda: _patch_created(module.DataLoader),
            "override": lambda: override.patch(module.DataLoader),
        }
    else:
        steps = {
            "stateful single": lambda: consumer.patch_single_process(
                module._StatefulSingleProcessDataLoaderIter
            ),
            "stateful multi": lambda: consumer.patch_multiprocess(
                module._StatefulMultiProcessingDataLoaderIter
            ),
            "stateful override": lambda: override.patch(module.StatefulDataLoader),
            "stateful replay": lambda: replaying.patch_loader(module.StatefulDataLoader),
            "stateful worker_loop": lambda: _patch_worker_loop(
                module, sys.modules[module._worker_loop.__module__]
            ),
        }
    for name, step in steps.items():
        try:
            step()
        except Exception as error:
            journal.trouble(name, error)


def _introduce() -> None:
    torch = sys.modules.get("torch")
    journal.say(
        "process",
        pid=os.getpid(),
        parent=os.getppid(),
        ticks=consumer.start_ticks(os.getpid()),
        python=sys.version.split()[0],
        executable=sys.executable,
        torch=getattr(torch, "__version__", None),
        ranks={name: os.environ[name] for name in _RANK_VARIABLES if name in os.environ},
        main=getattr(sys.modules.get("__main__"), "__file__", None),
        directory=str(Path.cwd()),
    )


def _patch_create_fetcher(kind: Any) -> None:
    replace(kind, "create_fetcher", staticmethod(timed_create_fetcher(kind.create_fetcher)))


def _patch_worker_loop(*modules: Any) -> None:
    wrapped = timed_worker_loop(modules[0]._worker_loop)
    for module in modules:
        replace(module, "_worker_loop", wrapped)


def _patch_created(cls: Any) -> None:
    # The last call of the constructor; the constructor itself keeps its signature for those who inspect it.
    original = cls.check_worker_number_rationality

    @functools.wraps(original)
    def check_worker_number_rationality(self: Any) -> Any:
        try:
            describe.created(self)
        except Exception as error:
            journal.trouble("created", error)
        return original(self)

    replace(cls, "check_worker_number_rationality", unseen(check_worker_number_rationality))
