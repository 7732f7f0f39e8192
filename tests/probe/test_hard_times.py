"""Programs and machines that are hard on the probe: the training is what it is without it, and the report says what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from dlcheck.diagnosis import load_files
from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.timeline import Timeline
from dlcheck.probe import monitor, procfs, pyspy
from dlcheck.probe.afterwards import going_on
from dlcheck.probe.launch import python_command, run
from dlcheck.probe.recording import PAGE_BYTES
from dlcheck.probe.roster import Roster

from .conftest import PROGRAMS, launcher_command, plain

pytestmark = pytest.mark.slow

HARD = str(PROGRAMS / "hard.py")
LINES = (PROGRAMS / "hard.py").read_text().splitlines()


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if text in line)


def both(command: list[str | Path], *argv: str) -> subprocess.CompletedProcess[str]:
    """Run ``command``, beside a plain run of a way of the program, which gives the same. ``command`` adds no output."""
    with subprocess.Popen(
        [sys.executable, HARD, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as without:
        seen = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        output, errors = without.communicate(timeout=150)
    assert (seen.stdout, seen.stderr, seen.returncode) == (output, errors, without.returncode)
    assert without.returncode == 0
    return seen


def probed(directory: Path, *argv: str, stacks: bool = False, first: Sequence[str] = ()) -> Timeline:
    """The timeline of a run under the probe that gave what the plain one gives. ``first``: before the launcher."""
    recording = directory / "recording"
    both([*first, *launcher_command(recording, HARD, *argv, stacks=stacks)], *argv)
    return load(recording)


def batches_of(timeline: Timeline) -> int:
    """Batches that the loops got."""
    iterators = [iterator for loader in timeline.loaders for iterator in loader.iterators]
    epochs = [epoch for iterator in iterators for epoch in iterator.epochs]
    return sum(batch.got is not None for epoch in epochs for batch in epoch.batches)


def noted(timeline: Timeline, text: str) -> bool:
    return any(text in note for note in timeline.notes)


def test_disk_that_is_full(tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", disk], check=False).returncode:
        pytest.skip("a small file system of its own takes the right to mount one")
    script = 'mount -t tmpfs -o size=4m none "$0" || exit 9; d=$0; c=$1; shift; "$@"; s=$?; cp -r "$d" "$c"; exit $s'
    command = launcher_command(disk / "recording", HARD, "fills_the_disk")
    both(["unshare", "-m", "sh", "-c", script, disk, copy, *command], "fills_the_disk")
    timeline = load(copy / "recording")
    assert noted(timeline, "full")
    assert timeline.exit_code == 0
    assert batches_of(timeline) >= 200


def test_folder_of_the_recording_that_is_removed(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dlcheck",
        "run",
        "--output",
        str(tmp_path / "own"),
        HARD,
        "removes_the_folder",
    ]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (seen.stdout, seen.returncode) == (plain(HARD, "removes_the_folder").stdout, 0)
    (line,) = seen.stderr.splitlines()
    assert "no report" in line and "removed" in line


@pytest.mark.parametrize(
    ("kind", "count", "files"), [("inline", 2000, 2), ("persistent", 500, 3), ("restarted", 25, 28)]
)
def test_thousands_of_short_epochs(tmp_path: Path, kind: str, count: int, files: int) -> None:
    timeline = probed(tmp_path, "epochs", kind, str(count))
    assert batches_of(timeline) == 2 * (count + 1)
    assert len(list((tmp_path / "recording" / "events").iterdir())) == files
    # Some 60 bytes for each stage of a batch, and 16 KB for each process.
    assert size_of(tmp_path) < 1200 * batches_of(timeline) + 50_000 * files


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_many_batches_take_no_more_memory_and_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_files, "MAX_PAGES", 64)
    timeline = probed(tmp_path, "many_batches", "20000")
    assert noted(timeline, "wrote more events than are kept")
    assert size_of(tmp_path / "recording" / "events") < 64 * PAGE_BYTES + 10_000


def test_recording_that_has_reached_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_MOST_FILES", 8)
    result = run(python_command([HARD, "slow", "8"]), tmp_path / "recording", sample_stacks=False)
    timeline = load(result.recording)
    assert noted(timeline, "size limit")
    # The loop itself goes on being recorded.
    assert batches_of(timeline) == 8 * 25
    assert len(list((result.recording / "events").iterdir())) < 2 + 16


def test_64_workers(tmp_path: Path) -> None:
    timeline = probed(tmp_path, "many_workers")
    (iterator,) = timeline.loaders[0].iterators
    assert batches_of(timeline) == 64
    assert len({worker.pid for worker in iterator.workers}) == 64
    assert not any(procfs.read_stat(worker.pid) for worker in iterator.workers)


def test_program_that_becomes_a_daemon(tmp_path: Path) -> None:
    done = tmp_path / "done"
    command = launcher_command(tmp_path / "recording", HARD, "daemon", str(done))
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (tmp_path / "done.go").touch()
    assert (seen.stdout, seen.stderr, seen.returncode) == ("goes on\n", "", 0)
    assert noted(load(tmp_path / "recording"), "went on after the command had ended")
    for _ in range(600):
        if done.exists():
            break
        time.sleep(0.05)
    assert done.read_text() == "276"
    # What it loads is recorded, though the launcher is gone.
    loaders = load(tmp_path / "recording").loaders
    assert sorted(loader.settings["num_workers"] for loader in loaders) == [0, 2]


def test_program_that_forks_and_loads_in_its_children(tmp_path: Path) -> None:
    timeline = probed(tmp_path, "forks")
    assert timeline.notes == ()
    assert batches_of(timeline) == 6 * 4 + 3 * 2
    assert len({loader.pid for loader in timeline.loaders}) == 3


def test_program_that_replaces_parts_of_torch(tmp_path: Path) -> None:
    timeline = probed(tmp_path, "replaces")
    assert timeline.notes == ()
    seen = {LINES[loader.created_at.line - 1].split()[0]: loader for loader in timeline.loaders}
    expected = {
        "own_iterator",
        "wrapped_loop",
        "loop_forked",
        "loop_spawned",
        "patched_iter",
        "patched_inline",
    }
    assert set(seen) == expected
    for name, loader in seen.items():
        (epoch,) = loader.iterators[0].epochs
        assert len(epoch.batches) == 6
        for batch in epoch.batches:
            assert batch.fetch is not None and batch.got is not None
            assert name == "patched_inline" or (batch.put is not None and batch.send_end is not None)
            if "loop" in name:
                assert batch.fetch.blocked_ns is not None and batch.fetch.blocked_ns > 30_000_000


def test_worker_that_hangs_and_outlives_its_killed_parent(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    with subprocess.Popen(
        launcher_command(recording, HARD, "hangs"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as launcher:
        roster = Roster(recording)
        for _ in range(600):
            roster.update()
            if any(worker_is_asleep(worker.pid) for worker in roster.workers):
                break
            time.sleep(0.05)
        (trainer,) = roster.trainers.values()
        os.kill(trainer.pid, signal.SIGKILL)
        assert launcher.wait(60) == -signal.SIGKILL
    assert len(roster.workers) == 2
    assert not any(worker.is_running() for worker in roster.workers)
    assert noted(load(recording), "outlived its training process: ended by dlcheck")


def test_worker_of_a_parent_that_was_killed_while_it_started_it(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    command = launcher_command(recording, HARD, "dies_forking")
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == -signal.SIGKILL
    assert not going_on(recording, ())
    assert noted(load(recording), "outlived its training process: ended by dlcheck")


def worker_is_asleep(pid: int) -> bool:
    return "nanosleep" in procfs.wait_channel(pid, None)


def lines_of_workers(timeline: Timeline) -> Counter[int]:
    """Samples of the workers by the innermost line of the program."""
    workers = {w.pid for life in timeline.loaders for it in life.iterators for w in it.workers}
    return Counter(
        site.line
        for sample in timeline.stacks
        if sample.pid in workers
        for site in sample.frames[-1:]
        if site.file == HARD
    )


def test_container_without_the_right_to_trace(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the numbers of the system calls are not known here")
    timeline = probed(tmp_path, "slow", "2", stacks=True, first=[sys.executable, str(PROGRAMS / "denied.py")])
    (note,) = [note for note in timeline.notes if "py-spy" in note]
    assert "may not trace" in note and "remedy" in note and "\n" not in note
    assert lines_of_workers(timeline).most_common(1)[0][0] == line_of("time.sleep(self.pause_s)")


def without_capability() -> list[str]:
    """The start of a command line that takes away the right to trace everything, where we have it."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    return ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]


def test_training_that_may_not_be_read(tmp_path: Path) -> None:
    """py-spy works here, but not on this process; that is found out while it runs."""
    if pyspy.try_out(pyspy.find() or "py-spy") is not None:
        pytest.skip("py-spy cannot be used on this machine")
    timeline = probed(tmp_path, "unreadable", stacks=True, first=without_capability())
    assert noted(timeline, "may not trace")
    assert lines_of_workers(timeline)[line_of("time.sleep(self.pause_s)")] > 0
    assert batches_of(timeline) == 75


def test_ordinary_user(tmp_path: Path) -> None:
    """Of root's rights, only that to read the files of this test is left."""
    if os.geteuid():
        pytest.skip("this test is run by an ordinary user: the others are what this one would be")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    rights = ["--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search"]
    rights += ["--bounding-set", "-all,+dac_read_search"]
    user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
    timeline = probed(tmp_path / "open", "slow", "2", stacks=True, first=["setpriv", *rights, *user])
    assert batches_of(timeline) == 50
    assert lines_of_workers(timeline)[line_of("time.sleep(self.pause_s)")] > 0
    inside = list((tmp_path / "open" / "recording" / "stacks").glob("inside-*"))
    assert noted(timeline, "py-spy") == bool(inside)
