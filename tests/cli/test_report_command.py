"""``dlcheck report`` in all its formats, and the page that ``dlcheck run`` writes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def dlcheck(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlcheck", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def test_html_goes_to_a_file_or_to_standard_output(recording: Path, tmp_path: Path) -> None:
    written = dlcheck("report", recording, "--format", "html", "--output", "page.html", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "")
    assert "written to page.html" in written.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "train.py:15" in page
    printed = dlcheck("report", recording, "--format", "html", cwd=tmp_path)
    assert printed.stdout == page and printed.stderr == ""


def test_the_report_of_a_recording_shows_no_file_that_was_not_kept(recording: Path, tmp_path: Path) -> None:
    kept = (recording / "excerpts.json").read_text(encoding="utf-8")
    (recording / "excerpts.json").write_text("[]", encoding="utf-8")
    try:
        page = dlcheck("report", recording, "--format", "html", cwd=tmp_path).stdout
    finally:
        (recording / "excerpts.json").write_text(kept, encoding="utf-8")
    assert "def __getitem__" in kept and "def __getitem__" not in page
    (recording / "excerpts.json").write_text("{", encoding="utf-8")
    try:
        damaged = dlcheck("report", recording, "--format", "html", cwd=tmp_path)
    finally:
        (recording / "excerpts.json").write_text(kept, encoding="utf-8")
    assert damaged.returncode == 0 and "no source lines are shown" in damaged.stdout


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(recording: Path, tmp_path: Path) -> None:
    done = dlcheck("report", recording, "--format", "html", "--output", "no/page.html", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    run = dlcheck("run", "--html", "no/page.html", "train.py", cwd=recording.parent)
    assert run.returncode == 2 and "--html: there is no folder" in run.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_goes_away(recording: Path, form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "dlcheck", "report", str(recording), "--format", form]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=100, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_run_writes_the_page_too(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("", encoding="utf-8")
    done = dlcheck("run", "--no-stacks", "--output", "rec", "--html", "page.html", "nothing.py", cwd=tmp_path)
    assert done.returncode == 0 and "Page with charts: page.html" in done.stderr
    assert "No DataLoader was iterated" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_condition_that_holds_is_status_3(recording: Path, tmp_path: Path) -> None:
    done = dlcheck("report", recording, "--fail-on", "wait_share > 0.001", cwd=tmp_path)
    assert done.returncode == 3 and "Loader" in done.stdout
    assert done.stderr.startswith("dlcheck: --fail-on wait_share > 0.001: ") and "train.py:15" in done.stderr
    kept = dlcheck(
        "report", recording, "--fail-on", "wait_share > 1", "--fail-on", "events > 0", cwd=tmp_path
    )
    assert (kept.returncode, kept.stderr) == (0, "")
    wrong = dlcheck("report", recording, "--fail-on", "speed > 1", cwd=tmp_path)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1


def test_run_fails_on_a_condition_only_where_the_command_did_not(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import sys; sys.exit(int(sys.argv[1]))", encoding="utf-8")
    words = ("run", "--no-stacks", "--quiet", "--fail-on", "verdict != healthy", "ends.py")
    held = dlcheck(*words, "0", cwd=tmp_path)
    assert held.returncode == 3 and "there is no such loader" in held.stderr
    assert dlcheck(*words, "7", cwd=tmp_path).returncode == 7
    wrong = dlcheck("run", "--fail-on", "wait_share", "ends.py", "0", cwd=tmp_path)
    assert wrong.returncode == 2 and "is not a condition" in wrong.stderr


@pytest.mark.parametrize("name", ["chrome", "speedscope", "collapsed", "openmetrics", "otlp", "json"])
def test_other_formats_of_a_real_recording(recording: Path, tmp_path: Path, name: str) -> None:
    printed = dlcheck("report", recording, "--format", name, cwd=tmp_path)
    assert (printed.returncode, printed.stderr) == (0, "")
    written = dlcheck("report", recording, "--format", name, "--output", "out.gz", cwd=tmp_path)
    assert written.returncode == 0
    with gzip.open(tmp_path / "out.gz", "rt", encoding="utf-8") as file:
        assert file.read() == printed.stdout
    if name not in ("collapsed", "openmetrics"):
        json.loads(printed.stdout)
