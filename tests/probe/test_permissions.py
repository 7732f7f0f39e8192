"""The right to trace: what is done to have it, and what is said where it is missing."""

from __future__ import annotations

import ctypes
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlcheck.probe import fallback, journal, pyspy
from dlcheck.probe.fallback import MARKER

DENIED = "Error: Permission denied (os error 13)"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without containers and without Yama, as seen by an ordinary user."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(pyspy, "_CONTAINER_MARKS", (str(tmp_path / "container"),))
    monkeypatch.setattr(pyspy.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(fallback, "_YAMA", tmp_path / "scope")
    return tmp_path


@pytest.mark.parametrize(
    ("scope", "remedy"),
    [
        ("1\n", "sysctl kernel.yama.ptrace_scope=0"),
        ("2\n", "sysctl kernel.yama.ptrace_scope=0"),
        ("3\n", "start the system with kernel.yama.ptrace_scope=0"),
        ("", "run as root"),
    ],
)
def test_remedy_of_a_user(machine: Path, scope: str, remedy: str) -> None:
    (machine / "scope").write_text(scope)
    assert f"(remedy: {remedy}" in pyspy._explain(DENIED)


def test_remedy_in_containers(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "container").touch()
    assert "(remedy: start the container with --cap-add SYS_PTRACE)" in pyspy._explain(DENIED)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert "(remedy: add SYS_PTRACE to the container's securityContext.capabilities)" in pyspy._explain(
        DENIED
    )


def test_root_is_not_told_to_be_root(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspy.os, "geteuid", lambda: 0)
    explained = pyspy._explain(DENIED)
    assert "run as root" not in explained and "the capability SYS_PTRACE" in explained


@pytest.mark.parametrize(("scope", "asked"), [("1\n", 1), ("0\n", 0), ("2\n", 0), (None, 0)])
def test_yama_is_asked_to_let_siblings_trace(
    machine: Path, monkeypatch: pytest.MonkeyPatch, scope: str | None, asked: int
) -> None:
    """py-spy is no ancestor of the training: under ptrace_scope=1 each process must allow it (prctl(2))."""
    if scope is not None:
        (machine / "scope").write_text(scope)
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *args: calls.append(args)))
    fallback.allow_tracing()
    assert len(calls) == asked
    for call in calls:
        assert call[0] == int.from_bytes(b"Yama", "big")
        assert isinstance(call[1], ctypes.c_ulong) and call[1].value == ctypes.c_ulong(-1).value


def test_worker_samples_itself_only_where_it_is_asked_to_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(journal, "_recording", str(tmp_path))
    monkeypatch.setattr(
        fallback.threading, "Thread", lambda **kwargs: SimpleNamespace(start=lambda: started.append(kwargs))
    )
    monkeypatch.setattr(journal, "events", lambda: object())
    assert not fallback.start_if_wanted()
    (tmp_path / MARKER).touch()
    assert fallback.start_if_wanted() and len(started) == 1
    monkeypatch.setattr(journal, "events", lambda: None)
    assert not fallback.start_if_wanted()


def test_samples_become_rarer_as_their_file_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that runs for days fills no disk: each further half megabyte lasts twice as long as the one before."""
    (tmp_path / "stacks").mkdir()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 400:
            raise OSError("enough")

    monkeypatch.setattr(journal, "_recording", str(tmp_path))
    monkeypatch.setattr(fallback, "_BYTES_AT_A_RATE", 20_000)
    monkeypatch.setattr(fallback.time, "sleep", sleep)
    fallback._sample(fallback.threading.get_ident(), fallback.threading.get_native_id())
    assert waits == sorted(waits) and waits[0] == pytest.approx(0.1)
    assert {round(after / before) for before, after in pairwise(waits)} == {1, 2}
    (file,) = (tmp_path / "stacks").iterdir()
    days_s = sum(waits)
    assert days_s > 3600 and file.stat().st_size < 2_000_000
