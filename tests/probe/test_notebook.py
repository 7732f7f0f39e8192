"""``with dlcheck.probe() as p: ...`` in a process that runs already."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlcheck.diagnosis.recording import load

from .conftest import PROGRAMS, Probe, plain

NOTEBOOK = str(PROGRAMS / "notebook.py")


def test_import_costs_nothing() -> None:
    code = "import sys, dlcheck; print([name for name in sys.modules if name.startswith('dlcheck.')])"
    done = plain("-c", code)
    assert done.stdout == "[]\n"


def test_what_it_is_not() -> None:
    done = plain("-c", "import dlcheck; print(callable(dlcheck.probe)); dlcheck.nothing")
    assert done.stdout == "True\n"
    assert "module 'dlcheck' has no attribute 'nothing'" in done.stderr


@pytest.mark.slow
def test_block_is_recorded_and_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    done = plain(NOTEBOOK, "block", str(tmp_path))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "4324",
        "4324",
        "None",
        "True",
        "True []",
        "0 [6, 6]",
        "True",
        "6",
    ]
    assert (tmp_path / "report.html").stat().st_size > 10_000
    timeline = load(tmp_path)
    assert {loader.settings["start_method"] for loader in timeline.loaders} == {"fork", "spawn"}
    for loader in timeline.loaders:
        assert all(b.fetch is not None and b.send_end for b in loader.iterators[0].epochs[0].batches)
    assert timeline.processes and timeline.overhead["monitor_cpu_s"] > 0


@pytest.mark.slow
def test_workers_that_were_there_before_are_left_alone_and_said(tmp_path: Path) -> None:
    done = plain(NOTEBOOK, "persistent", str(tmp_path))
    assert done.stderr == ""
    first, second, note, third = done.stdout.splitlines()
    assert [first, second, third] == ["6", "6", "6"]
    assert "started before the probe" in note


@pytest.mark.slow
def test_each_block_has_a_recording_of_its_own(tmp_path: Path) -> None:
    done = plain(NOTEBOOK, "twice", str(tmp_path))
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["6 4", "[4, 6]", "6 4", "[4]", "6"]


@pytest.mark.slow
def test_error_passes(tmp_path: Path) -> None:
    done = plain(NOTEBOOK, "failing", str(tmp_path))
    assert (done.stdout, done.stderr) == ("of the user's own 1\n", "")


@pytest.mark.slow
def test_end_of_a_killed_process_is_recorded(tmp_path: Path) -> None:
    done = plain(NOTEBOOK, "killed", str(tmp_path))
    assert done.returncode == -9
    for _ in range(300):
        if "end" in json.loads((tmp_path / "recording.json").read_text()):
            break
        time.sleep(0.1)
    timeline = load(tmp_path)
    assert timeline.exit_code is None and timeline.end > timeline.begin
    assert len(timeline.loaders[0].iterators[0].epochs[0].batches) == 6


@pytest.mark.slow
def test_within_dlcheck_run_its_recording_is_used(probe: Probe, tmp_path: Path) -> None:
    seen = probe(NOTEBOOK, "failing", str(tmp_path / "unused"))
    assert seen.stdout == "of the user's own None\n"
    assert not (tmp_path / "unused").exists()


@pytest.mark.slow
def test_cells_of_a_notebook_are_named(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    script = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import dlcheck; from torch.utils.data import DataLoader", store_history=True)
shell.run_cell("loader = DataLoader(range(24), batch_size=4)\\nwith dlcheck.probe(sys.argv[1]) as p:\\n    n = len(list(loader))"
    .replace("sys.argv[1]", repr(sys.argv[1])), store_history=True)
shell.run_cell("p.report()", store_history=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "In[2]:3" in done.stdout, done.stdout + done.stderr
