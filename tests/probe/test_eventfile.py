"""The event file: what is written is read again, whatever becomes of the process, the disk, or the file."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlcheck.diagnosis.load_files import read_processes
from dlcheck.diagnosis.recording import load
from dlcheck.probe import recording as k
from dlcheck.probe.eventfile import EventFile
from dlcheck.probe.space import Space


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "events").mkdir()
    return tmp_path


def make(directory: Path, pid: int = 7) -> EventFile:
    return EventFile(str(directory / "events" / f"{pid}-100.bin"), pid, 100)


def test_many_events_of_several_threads_are_read_in_order_of_time(directory: Path) -> None:
    file = make(directory)

    def append(n: int) -> None:
        for i in range(3000):
            file.append(k.ASK, n, i, 1000 * i + n, n)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (log,) = read_processes(directory, [])
    assert len(log.events) == 9000
    assert [event.t for event in log.events] == sorted(event.t for event in log.events)
    assert {(event.serial, event.a) for event in log.events} == {(1, 1), (2, 2), (3, 3)}


def test_killed_process_loses_nothing(directory: Path) -> None:
    child = os.fork()
    if child == 0:
        file = make(directory, os.getpid())
        for i in range(5000):
            file.append(k.FETCH, 0, i, i + 1)
        file.sample(41, 7)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (log,) = read_processes(directory, [])
    assert [event.idx for event in log.events] == list(range(5000))
    assert log.current_sample == (41, 7)


def test_long_run_keeps_its_beginning_and_its_end(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcheck.probe.eventfile.MAX_PAGES", 64)
    monkeypatch.setattr("dlcheck.diagnosis.load_files.MAX_PAGES", 64)
    file = make(directory)
    for i in range(60_000):
        file.append(k.FETCH, 0, i, i + 1)
    notes: list[str] = []
    (log,) = read_processes(directory, notes)
    idx = [event.idx for event in log.events]
    assert (directory / "events" / "7-100.bin").stat().st_size <= 66 * k.PAGE_BYTES
    assert idx[:1000] == list(range(1000)) and idx[-2000:] == list(range(58_000, 60_000))
    assert any("the middle of its run is missing" in note for note in notes)


def test_full_disk_drops_events_and_raises_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make(directory)

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dlcheck.probe.eventfile.os.pwrite", full)
    for i in range(1000):
        file.append(k.FETCH, 0, i, i + 1)
    assert file.stuck is not None
    notes: list[str] = []
    assert len(read_processes(directory, notes)[0].events) == 128
    assert any("No space left on device" in note for note in notes)


def test_last_question_before_the_disk_was_full_is_no_wait(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(directory)
    monkeypatch.setattr("dlcheck.probe.eventfile.os.pwrite", lambda fd, data, offset: len(data) // 2)
    for i in range(1000):
        if i % 3:
            file.append(k.INDEX, 1, i, 300 + 10 * i)
        file.append(k.ASK, 1, 0, 301 + 10 * i, 7)
        file.append(k.GOT, 1, i, 305 + 10 * i, 301 + 10 * i)
    (log,) = read_processes(directory, [])
    kinds = [event.kind for event in log.events]
    assert kinds.count(k.ASK) == kinds.count(k.GOT) > 10
    # What was written in vain was given back.
    assert (directory / "events" / "7-100.bin").stat().st_size == 2 * k.PAGE_BYTES


def test_room_is_kept_for_the_end_and_a_full_disk_is_noted(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space(directory)
    assert (directory / "spare").stat().st_size > 100_000 and space.trouble() is None
    space.release()
    assert not (directory / "spare").exists()
    monkeypatch.setattr(
        "dlcheck.probe.space.os.statvfs", lambda path: SimpleNamespace(f_bavail=3, f_frsize=4096)
    )
    assert "full" in (space.trouble() or "")
    Space(directory)
    assert not (directory / "spare").exists()


def test_removed_folder_is_noted(tmp_path: Path) -> None:
    space = Space(tmp_path / "gone")
    assert "removed" in (space.trouble() or "")
    space.release()


def test_descriptors_closed_by_the_program_do_no_harm(directory: Path) -> None:
    """A daemon closes every descriptor and opens its own under the same numbers."""
    child = os.fork()
    if child == 0:
        try:
            file = make(directory)
            os.closerange(3, 256)
            own = os.open(str(directory / "own"), os.O_RDWR | os.O_CREAT)
            os.write(own, b"mine")
            for i in range(5000):
                file.append(k.FETCH, 0, i, i + 1)
            os._exit(0 if os.pread(own, 8, 0) == b"mine" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(read_processes(directory, [])[0].events) == 5000


@pytest.mark.parametrize("duration", [0, 3, 4, 7, 8, 100, 12_345, 10**6, 10**9, 10**12])
def test_histogram_bucket_is_within_an_eighth(duration: int) -> None:
    middle = k.bucket_midpoint_ns(k.bucket(duration))
    assert abs(middle - duration) <= max(1, duration * 0.13)


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    changed = {
        "cut": data[: len(data) - 45],
        "stub": data[:100],
        "empty": b"",
        "noise": os.urandom(len(data)),
        "zeros": bytes(len(data)),
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["cut", "stub", "empty", "noise", "zeros"])
@pytest.mark.parametrize("name", ["7-100.bin", "7-100.jsonl"])
def test_damaged_files_are_noted_and_left_out(directory: Path, name: str, how: str) -> None:
    file = make(directory)
    file.append(k.ITERATOR, 1, 0, 200, 1, 7)
    for i in range(300):
        file.append(k.ASK, 1, 0, 300 + 10 * i, 7)
        file.append(k.GOT, 1, i, 305 + 10 * i, 300 + 10 * i)
    line = '{"kind": "loader", "t": 1, "number": 1, "site": ["a.py", 3, "main"], "dataset": "D"}\n'
    (directory / "events" / "7-100.jsonl").write_text(line * 3)
    (directory / "recording.json").write_text('{"version": 1}')
    damage(directory / "events" / name, how)
    timeline = load(directory)
    assert timeline.notes
    if name.endswith("jsonl"):
        (loader,) = timeline.loaders
        assert len(loader.iterators[0].epochs[0].batches) == 300


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path)
    (tmp_path / "recording.json").write_text('{"version": 99}')
    with pytest.raises(ValueError, match="99"):
        load(tmp_path)
    (tmp_path / "recording.json").write_text("{")
    assert any("recording.json" in note for note in load(tmp_path).notes)
