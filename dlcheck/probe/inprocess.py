"""The probe in a process that runs already: hooks put in, and taken out again."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from dlcheck.probe import consumer, hooks, journal, patches
from dlcheck.probe.inject.sitecustomize import Finder
from dlcheck.probe.recording import ENV_RECORDING

_INJECT = Path(__file__).parent / "inject"
_finders: list[Finder] = []
_environment: dict[str, str | None] = {}


def is_attached() -> bool:
    """Whether this process is recorded already, by ``dlcheck run`` or by ``attach``."""
    return bool(journal.recording())


def attach(recording: Path) -> None:
    """Record this process from now on, and the workers that it starts.

    Imports torch's loader. Raises ImportError where there is no torch.
    """
    for name in (hooks.TORCH, hooks.TORCHDATA):
        module: Any = importlib.import_module(name) if name == hooks.TORCH else sys.modules.get(name)
        if module is not None:
            hooks.install(module, str(recording))
    finder = Finder(str(recording))  # torchdata may be imported later
    sys.meta_path.insert(0, finder)
    _finders.append(finder)
    # Workers that are new interpreters (spawn, forkserver) find the probe by these.
    path = os.environ.get("PYTHONPATH")
    for name, value in (
        (ENV_RECORDING, str(recording)),
        ("PYTHONPATH", os.pathsep.join(filter(None, (str(_INJECT), path)))),
    ):
        _environment[name] = os.environ.get(name)
        os.environ[name] = value


def detach() -> None:
    """End what ``attach`` began: this process is as it was."""
    patches.restore()
    consumer.forget_all()
    journal.stop()
    for finder in _finders:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    _finders.clear()
    for name, value in _environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _environment.clear()
