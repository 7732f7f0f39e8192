"""``dlcheck report`` in all its formats, and the page that ``dlcheck run`` writes."""

from __future__ import annotations

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
    assert "class Slow" in kept and "class Slow" not in page
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


def test_run_writes_the_page_too(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("", encoding="utf-8")
    done = dlcheck("run", "--no-stacks", "--output", "rec", "--html", "page.html", "nothing.py", cwd=tmp_path)
    assert done.returncode == 0 and "Page with charts: page.html" in done.stderr
    assert "No DataLoader was iterated" in (tmp_path / "page.html").read_text(encoding="utf-8")
