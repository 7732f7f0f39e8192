"""Runs that fail: the failure is what it is without the probe, and the recording says what happened."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from dlcheck.diagnosis.recording import load
from dlcheck.probe.roster import Roster

from .conftest import PROGRAMS, Probe, launcher_command, plain

TROUBLES = str(PROGRAMS / "troubles.py")


def line_of(text: str) -> int:
    lines = (PROGRAMS / "troubles.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def without_probe_frames(text: str) -> str:
    """A traceback without the frame of a wrapper that still runs, which cannot be hidden, and process ids."""
    frame = r'^  File "[^"\n]*dlcheck/probe/[^"\n]*", line \d+, in .*\n(?:    .*\n)*'
    text = re.sub(frame, "", text, flags=re.MULTILINE)
    return re.sub(r"\b\d{3,}\b", "PID", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "workers"), [("fail", 2), ("fail", 0), ("stream", 1), ("stream", 0), ("init", 1)]
)
def test_errors_of_the_dataset_are_those_of_the_plain_run(probe: Probe, way: str, workers: int) -> None:
    seen, without = probe(TROUBLES, way, str(workers)), plain(TROUBLES, way, str(workers))
    assert seen.exit_code == without.returncode == 1
    assert seen.stdout == without.stdout
    assert without_probe_frames(seen.stderr) == without_probe_frames(without.stderr)
    # Only the wrapper of ``__next__`` is left in sight, and none in what a worker sends as text.
    assert seen.stderr.count("dlcheck") <= 1
    if way == "fail":
        (incident,) = seen.timeline.incidents
        assert incident.kind == "dataset-error"
        for part in ("KeyError", "no such image", "batch 5", "dataset index 21"):
            assert part in incident.detail
        assert incident.stack[-1].line == line_of('raise KeyError("no such image")')
        (epoch,) = seen.timeline.loaders[0].iterators[0].epochs
        assert [batch.idx for batch in epoch.batches if batch.failed] == [5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "expected"), [("kill", "was killed by SIGKILL"), ("leave", "exited with status 3")]
)
def test_worker_that_dies(probe: Probe, way: str, expected: str) -> None:
    seen, without = probe(TROUBLES, way, "2"), plain(TROUBLES, way, "2")
    assert seen.exit_code == without.returncode == 1
    # Not the text: on a busy machine CPython itself, torch alone, now and then garbles it ("lost sys.stderr").
    (incident,) = [incident for incident in seen.timeline.incidents if incident.kind == "worker-killed"]
    assert expected in incident.detail
    assert "while fetching batch 5, dataset index 21" in incident.detail
    worker = seen.timeline.loaders[0].iterators[0].workers[1]
    assert (worker.pid, worker.last_stage, worker.last_idx) == (incident.pid, "fetch", 5)
    assert worker.exit_signal == (signal.SIGKILL if way == "kill" else None)


@pytest.mark.slow
def test_timeout_of_the_loader(probe: Probe) -> None:
    seen = probe(TROUBLES, "timeout", "2")
    assert seen.exit_code == 1
    assert "hang" in {incident.kind for incident in seen.timeline.incidents}


@pytest.mark.slow
def test_batch_that_cannot_be_sent_and_hangs_the_loop(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    with subprocess.Popen(
        launcher_command(recording, TROUBLES, "unpicklable", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stderr is not None
        while "PicklingError" not in (line := launcher.stderr.readline()) and "Can't pickle" not in line:
            assert line
        launcher.send_signal(signal.SIGTERM)
        launcher.stderr.read()
        assert launcher.wait(60) == -signal.SIGTERM
    timeline = load(recording)
    incident = timeline.incidents[0]
    assert incident.kind == "unpicklable-batch"
    assert "Batch 0 never arrives" in incident.detail


@pytest.mark.slow
def test_hang_in_a_worker_is_found_with_its_line_and_cleared_up(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    with subprocess.Popen(
        launcher_command(recording, TROUBLES, "hang", "2", stacks=True),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as launcher:
        looks = recording / "stacks"
        try:
            for _ in range(600):
                if looks.is_dir() and any(looks.glob("hang-*.json")):
                    break
                launcher.poll()
                subprocess.run(["sleep", "0.1"], check=True)
            roster = Roster(recording)
            roster.update()
            launcher.send_signal(signal.SIGTERM)
            assert launcher.wait(60) == -signal.SIGTERM
        finally:
            launcher.kill()
    # The worker that sleeps in the dataset would have stayed.
    assert roster.workers and not any(worker.is_running() for worker in roster.workers)
    timeline = load(recording)
    (hang,) = [incident for incident in timeline.incidents if incident.kind == "hang"]
    assert hang.stack[-1].line == line_of("time.sleep(600)")
    assert hang.pid in {worker.pid for worker in roster.workers}
    assert any("outlived" in note for note in timeline.notes)
    waiting = [b for b in timeline.loaders[0].iterators[0].epochs[0].batches if b.asked and b.got is None]
    assert [batch.idx for batch in waiting] == [5]


@pytest.mark.slow
def test_interrupt_reaches_the_program_once_and_its_status_comes_back(tmp_path: Path) -> None:
    with subprocess.Popen(
        launcher_command(tmp_path / "recording", TROUBLES, "interrupted", "2"),
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "8\n"
        launcher.send_signal(signal.SIGINT)
        assert launcher.stdout.read() == "interrupted\n"
        assert launcher.wait(60) == 7
    assert load(tmp_path / "recording").exit_code == 7
