"""Between what the kernel divides the cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcheck.probe import environment
from dlcheck.probe.procfs import sample_machine


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("pod/box", ("pod/cpu.weight", "pod/box/cpu.weight"), "group"),
        # The group of a session without a weight: its processes are alike within the group of the user.
        ("user/session", ("user/cpu.weight",), "process"),
        ("cpu/docker", ("cpu/cpu.shares", "cpu/docker/cpu.shares"), "group"),
        ("cpu", ("cpu/cpu.shares",), None),
        ("", ("cgroup.controllers",), None),
    ],
)
def test_groups_come_before_sessions_and_these_before_processes(
    own: str, files: tuple[str, ...], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    monkeypatch.setattr(environment, "cgroup_path", lambda controller: tmp_path / own)
    found = environment.cpu_shared_by()
    if expected is None:
        switch = Path("/proc/sys/kernel/sched_autogroup_enabled")
        sessions = switch.exists() and switch.read_text().strip() == "1"
        expected = "session" if sessions else "process"
    assert found == expected


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc")
def test_what_programs_of_an_ordinary_priority_used_is_part_of_it_all() -> None:
    sample = sample_machine(None, None)
    assert sample is not None and 0 < sample[-1] <= sample[0]
