"""The baseline: what is known is not reported, wherever it moves; what is new is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlcheck.cli.main import main

HEAD = "import itertools\nfrom torch.utils.data import DataLoader\n\n\n"
CYCLE = "c = itertools.cycle(DataLoader(d))\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text('[tool.dlcheck]\nbaseline = "known.json"\n')
    Path("a.py").write_text(HEAD + CYCLE * 2)
    assert check("--write-baseline") == 0
    capsys.readouterr()


def check(*arguments: str) -> int:
    return main(["check", "--no-cache", "--quiet", "--output-format", "concise", *arguments])


def test_known_findings_are_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == 0
    assert main(["check", "--no-cache"]) == 0
    assert "No findings in 1 file. Not shown: 2 findings known to the baseline." in capsys.readouterr().out


def test_they_may_move() -> None:
    Path("a.py").write_text(
        "# one\n# two\n" + HEAD + "x = 1\n" + CYCLE.replace("cycle(", "cycle( ").replace("( ", "(") * 2
    )
    assert check() == 0
    Path("a.py").rename("b.py")
    assert check() == 0


def test_as_many_are_known_as_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.py").write_text(HEAD + CYCLE * 3)
    assert check() == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_same_line_in_another_file_is_new() -> None:
    Path("b.py").write_text(HEAD + CYCLE)
    assert check() == 1


def test_a_changed_line_is_new() -> None:
    Path("a.py").write_text(HEAD + CYCLE + CYCLE.replace("(d)", "(e)"))
    assert check() == 1


def test_the_file_is_stable_and_small() -> None:
    content = json.loads(Path("known.json").read_text())
    entry = {"rule": "DLC503", "file": "a.py", "text": CYCLE.strip(), "count": 2}
    assert content == {"schema": "dlcheck.baseline/1", "findings": [entry]}
    before = Path("known.json").read_bytes()
    assert check("--write-baseline") == 0
    assert Path("known.json").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": "dlcheck.baseline/1"}', '{"schema": "dlcheck.baseline/1", "findings": [1]}'],
)
def test_a_damaged_file(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("known.json").write_text(content)
    assert check() == 2
    assert "known.json: is " in capsys.readouterr().err


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("known.json").unlink()
    assert check() == 2
    assert (
        capsys.readouterr().err
        == "dlcheck: known.json: No such file or directory; --write-baseline makes one\n"
    )
    assert check("--baseline", "other.json", "--write-baseline") == 0
    assert check("--baseline", "other.json") == 0
