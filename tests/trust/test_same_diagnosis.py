"""The same recording gives the same report, byte for byte, wherever and however it is read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recordings import write_rich

pytestmark = pytest.mark.slow

_CODE = """
import sys
from dlcheck.cli.main import main
from dlcheck.diagnosis import fleet

# Whether several processes are worth their start is decided here, not by the size of the recording.
fleet._WORTH_BYTES = int(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""
_ALWAYS, _NEVER = "0", str(1 << 60)
SURROUNDINGS: dict[str, tuple[dict[str, str], str]] = {
    "hash seed": ({"PYTHONHASHSEED": "1"}, _NEVER),
    "other hash seed": ({"PYTHONHASHSEED": "4242"}, _NEVER),
    "time zone": ({"TZ": "Asia/Kolkata"}, _NEVER),
    "locale": ({"LC_ALL": "C", "LANG": "de_DE.UTF-8", "PYTHONUTF8": "0"}, _NEVER),
    "processes": ({"PYTHONHASHSEED": "7"}, _ALWAYS),
}


def read(recording: Path, form: str, environment: dict[str, str], worth: str, cwd: Path) -> bytes:
    output = cwd / "output"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _CODE,
            worth,
            "report",
            "--format",
            form,
            "--output",
            str(output),
            str(recording),
        ],
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "0", "TZ": "UTC", **environment},
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output.read_bytes()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rich(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_report_does_not_depend_on(surroundings: str, recording: Path, tmp_path: Path) -> None:
    environment, worth = SURROUNDINGS[surroundings]
    (tmp_path / "elsewhere").mkdir()
    expected = read(recording, "json", {}, _NEVER, tmp_path)
    assert read(recording, "json", environment, worth, tmp_path / "elsewhere") == expected


@pytest.mark.parametrize("form", ["html", "chrome", "text"])
def test_other_formats_do_not_either(form: str, recording: Path, tmp_path: Path) -> None:
    every = {name: value for environment, _ in SURROUNDINGS.values() for name, value in environment.items()}
    # Text is written with the characters that the locale has.
    every = every if form != "text" else {"PYTHONHASHSEED": "7", "TZ": "Asia/Kolkata"}
    assert read(recording, form, every, _ALWAYS, tmp_path) == read(recording, form, {}, _NEVER, tmp_path)


def test_the_order_and_the_dates_of_files_do_not_matter(recording: Path, tmp_path: Path) -> None:
    expected = read(recording, "json", {}, _NEVER, tmp_path)
    moved = recording.with_name("moved")
    recording.rename(moved)
    for path in sorted(moved.rglob("*"), reverse=True):
        if path.is_file():
            copy = recording / path.relative_to(moved)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
            os.utime(copy, (10**9, 10**9))
    assert read(recording, "json", {}, _NEVER, tmp_path) == expected


def test_a_comparison_is_the_same_too(recording: Path, tmp_path: Path) -> None:
    def compared(environment: dict[str, str]) -> bytes:
        command = [
            sys.executable,
            "-m",
            "dlcheck",
            "compare",
            str(recording),
            str(recording),
            "--format",
            "json",
        ]
        return subprocess.run(
            command, capture_output=True, env={**os.environ, **environment}, cwd=tmp_path, check=True
        ).stdout

    first = compared({"PYTHONHASHSEED": "0", "TZ": "UTC"})
    assert first and compared({"PYTHONHASHSEED": "99", "TZ": "Asia/Kolkata", "LC_ALL": "C"}) == first
