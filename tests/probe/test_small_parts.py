"""Sizes of batches, and what the probe holds open in the user's process."""

from __future__ import annotations

import collections
import fcntl
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dlcheck.diagnosis.recording import load
from dlcheck.probe import journal
from dlcheck.probe import recording as k
from dlcheck.probe.clocks import thread_clock
from dlcheck.probe.eventfile import EventFile
from dlcheck.probe.payload import fingerprint, payload_bytes
from dlcheck.probe.space import write_in_place

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")


class Overriding(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("a hook ran the user's code")


class Graph:
    def __init__(self) -> None:
        self.x = torch.zeros(3)
        self.parts = {"edges": torch.zeros(2, dtype=torch.int8)}
        self.me = self


def test_sizes_of_batches() -> None:
    assert payload_bytes([torch.zeros(3), {"a": "four", "b": (b"12", 7)}]) == 12 + 4 + 2
    assert payload_bytes(collections.UserDict(a=torch.zeros(1))) == 4
    assert payload_bytes(Graph()) == 12 + 2
    assert payload_bytes([1, 2.0, None]) == k.UNKNOWN
    assert payload_bytes([torch.zeros(1) for _ in range(1000)]) == k.UNKNOWN


def batch_of(value: float) -> list[Any]:
    """A batch of all that can be read, of which every part depends on ``value``."""
    return [
        torch.full((4, 5), value),
        torch.full((3,), value, dtype=torch.bfloat16, requires_grad=True),
        {"n": np.full(7, value), "scalar": np.float32(value), "label": int(value)},
        (str(value), str(value).encode(), value),
    ]


def test_batches_of_equal_content_share_a_fingerprint() -> None:
    assert fingerprint(batch_of(3.0)) == fingerprint(batch_of(3.0)) != k.UNKNOWN
    for part, other in zip(batch_of(3.0), batch_of(4.0), strict=True):
        assert fingerprint(part) != fingerprint(other)
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    late = torch.zeros(10_000)
    late[9_984] = 1
    assert fingerprint(late) != fingerprint(torch.zeros(10_000))


@pytest.mark.filterwarnings("ignore:.*quantize")
def test_what_cannot_be_read_has_no_fingerprint() -> None:
    unread = [
        torch.zeros(3).as_subclass(Overriding),
        torch.zeros(2, 3).T,
        torch.eye(3).to_sparse(),
        torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.quint8),
        torch.zeros(2, dtype=torch.complex64).conj(),
        np.array([object()]),
        object(),
    ]
    assert [fingerprint(value) for value in unread] == [k.UNKNOWN] * len(unread)
    assert fingerprint([unread, 1]) == fingerprint(1)


def test_code_of_tensor_subclasses_is_not_run() -> None:
    overriding = torch.zeros(3).as_subclass(Overriding)
    assert payload_bytes({"image": overriding}) == 12


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_clocks_of_ended_threads_hold_no_descriptors() -> None:
    before = descriptors()
    for _ in range(50):
        thread = threading.Thread(target=lambda: thread_clock().read())
        thread.start()
        thread.join()
    assert descriptors() < before + 5


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_long_recording_holds_few_descriptors(tmp_path: Path) -> None:
    before = descriptors()
    file = EventFile(str(tmp_path / "7-100.bin"), 7, 100)
    for i in range(300_000):
        file.append(k.FETCH, 0, i, i + 1)
    assert descriptors() - before < 20


def test_what_a_process_says_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may catch errors of its dataset for days."""
    (tmp_path / "events").mkdir()
    for name, value in (("_recording", str(tmp_path)), ("_off", False), ("_file", None), ("_stem", "")):
        monkeypatch.setattr(journal, name, value)
    monkeypatch.setattr(journal, "_MOST_SAID_BYTES", 10_000)
    for i in range(1000):
        journal.say("dataset-error", idx=i, message="no such image")
    (path,) = (tmp_path / "events").glob("*.jsonl")
    assert path.stat().st_size < 11_000
    notes = load(tmp_path).notes
    assert any("more than is kept" in note for note in notes)


def test_events_are_written_in_place_where_that_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ioctl(2) FS_IOC_GETFLAGS and FS_IOC_SETFLAGS; most file systems refuse the flag, and are left alone."""
    set_to: list[int] = []

    def ioctl(descriptor: int, request: int, value: bytes) -> bytes:
        if request == 0x40086602:
            set_to.append(int.from_bytes(value, sys.byteorder))
            raise OSError("not supported")
        return (0x10).to_bytes(len(value), sys.byteorder)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    before = descriptors()
    write_in_place(tmp_path)
    write_in_place(tmp_path / "nothing")
    assert set_to == [0x10 | 0x00800000]
    assert descriptors() == before
