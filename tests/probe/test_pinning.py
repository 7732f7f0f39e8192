"""The pin-memory thread: the loop is torch's own, the copy that needs an accelerator is not."""

from __future__ import annotations

import queue
import threading
import types
from pathlib import Path

import pytest

from dlcheck.diagnosis.load_files import read_processes
from dlcheck.probe import journal, pinning
from dlcheck.probe.consumer import IteratorState
from dlcheck.probe.recording import PIN, PINNED


class WorkersQueue(queue.Queue[object]):
    """Stands for the result queue of an iterator, which hooks know by identity."""


def test_batches_are_stamped_on_their_way_through_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin_memory = pytest.importorskip("torch.utils.data._utils.pin_memory")
    (tmp_path / "events").mkdir()
    for name, value in (("_recording", str(tmp_path)), ("_off", False), ("_file", None), ("_stem", "")):
        monkeypatch.setattr(journal, name, value)
    module = types.SimpleNamespace(_pin_memory_loop=pin_memory._pin_memory_loop)
    pinning.patch(module)
    monkeypatch.setattr(pin_memory.torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(pin_memory, "pin_memory", lambda data, device: ("pinned", data))
    taken, handed_on, done = WorkersQueue(), queue.Queue[object](), threading.Event()
    state = IteratorState()
    pinning.states[taken] = state
    thread = threading.Thread(target=module._pin_memory_loop, args=(taken, handed_on, 0, done, None))
    thread.start()
    for idx in range(3):
        taken.put((idx, [idx]))
    assert [handed_on.get(timeout=30) for _ in range(3)] == [(idx, ("pinned", [idx])) for idx in range(3)]
    done.set()
    taken.put((None, None))
    thread.join()
    (log,) = read_processes(tmp_path, [])
    assert [(event.kind, event.serial, event.idx) for event in log.events] == [
        (kind, state.serial, idx) for idx in range(3) for kind in (PIN, PINNED)
    ]
