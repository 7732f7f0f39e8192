"""``dlcheck run`` and ``dlcheck report``: usage, exit status, and that the command's own output is
untouched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def dlcheck(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlcheck", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "give a script"),
        (["run", "missing.py"], "no such script: missing.py"),
        (["run", "--", "no-such-command-here"], "no such command"),
        (["run", "--"], ""),
        (["run", "-m"], "-m needs"),
        (["run", "--output", "taken", "script.py"], "--output is a file"),
        (["report", "missing"], "is not a recording"),
        (["report", "taken"], "is not a recording"),
    ],
)
def test_bad_usage_is_one_clear_line(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    (tmp_path / "script.py").write_text("", encoding="utf-8")
    done = dlcheck(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_what_follows_the_script_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(
        "import sys; print(sys.argv); sys.exit(int(sys.argv[-1]))", encoding="utf-8"
    )
    done = dlcheck(
        "run", "--no-stacks", "--output", "rec", "show.py", "--output", "x", "--", "-m", "7", cwd=tmp_path
    )
    assert done.returncode == 7
    assert done.stdout == "['show.py', '--output', 'x', '--', '-m', '7']\n"
    assert "No DataLoader" in done.stderr
    assert json.loads((tmp_path / "rec" / "report.json").read_text(encoding="utf-8"))["exit_code"] == 7


def test_modules_commands_and_the_default_folder(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    for words in (["-m", "show", "-x"], ["--", sys.executable, "show.py", "-x"]):
        done = dlcheck("run", "--no-stacks", "--quiet", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "['-x']\n", "")
    runs = sorted((tmp_path / ".dlcheck" / "runs").iterdir())
    assert len(runs) == 2 and all((run / "report.json").exists() for run in runs)
    assert (tmp_path / ".dlcheck" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    again = dlcheck("report", str(runs[0]), "--format", "json", cwd=tmp_path)
    assert again.returncode == 0 and json.loads(again.stdout)["schema"] == "dlcheck.report/1"
    assert "No DataLoader" in dlcheck("report", str(runs[1]), cwd=tmp_path).stdout


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("", encoding="utf-8")
    words = ("run", "--no-stacks", "--quiet", "--output", "rec", "nothing.py")
    assert dlcheck(*words, cwd=tmp_path).returncode == 0
    second = dlcheck(*words, cwd=tmp_path)
    assert second.returncode == 2 and "another --output" in second.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_command_that_a_signal_ended_ends_us_by_the_same(tmp_path: Path) -> None:
    (tmp_path / "die.py").write_text("import os; os.kill(os.getpid(), 15)", encoding="utf-8")
    assert (
        dlcheck("run", "--no-stacks", "--quiet", "--output", "rec", "die.py", cwd=tmp_path).returncode == -15
    )
