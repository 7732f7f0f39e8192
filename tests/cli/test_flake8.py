"""The plugin in the real flake8."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "import itertools\n\nfrom torch.utils.data import DataLoader\n\n\n"
CYCLE = "def {}(d):\n    return itertools.cycle(DataLoader(d)){}\n\n\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLCHECK_CACHE_DIR", str(tmp_path / "cache"))
    Path("dlcheck.toml").touch()


def flake8(*arguments: str, given: str | None = None) -> list[str]:
    command = [sys.executable, "-m", "flake8", "--isolated", "--select", "DLC,F", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def places(lines: list[str]) -> list[str]:
    return [" ".join(line.split()[:2]) for line in lines]


def test_findings_beside_those_of_flake8() -> None:
    source = (
        HEAD
        + CYCLE.format("a", "")
        + CYCLE.format("b", "  # noqa: DLC503")
        + CYCLE.format("c", "  # dlcheck: ignore[DLC503] so")
    )
    Path("a.py").write_text(source + "import os\n")
    assert places(flake8("a.py")) == ["a.py:7:12: DLC503", "a.py:18:1: F401"]
    assert places(flake8("--extend-ignore", "DLC5", "a.py")) == ["a.py:18:1: F401"]
    Path("dlcheck.toml").write_text('ignore = ["DLC503"]\n')
    assert places(flake8("a.py")) == ["a.py:18:1: F401"]


def test_other_files_are_evidence() -> None:
    Path("loaders.py").write_text(
        "from torch.utils.data import DataLoader\n\n\ndef make(d):\n    return DataLoader(d)\n"
    )
    Path("train.py").write_text(
        "import itertools\nfrom loaders import make\n\nx = itertools.cycle(make([1]))\n"
    )
    assert places(flake8("train.py")) == ["train.py:4:5: DLC503"]


def test_stdin() -> None:
    source = HEAD + CYCLE.format("a", "")
    assert places(flake8("-", given=source)) == ["stdin:7:12: DLC503"]
    assert places(flake8("--stdin-display-name", "new.py", "-", given=source)) == ["new.py:7:12: DLC503"]


def test_bad_settings() -> None:
    Path("dlcheck.toml").write_text("selct = []\n")
    Path("a.py").write_text(HEAD)
    (line,) = [line for line in flake8("a.py") if "DLC000" in line]
    assert "dlcheck.toml:1: there is no setting 'selct'" in line
