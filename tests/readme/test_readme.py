"""The README's outputs of commands that always say the same are what the commands say today."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dlcheck.cli.main import main

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"<!-- checked by tests/readme -->\n```console\n\$ dlcheck ([^\n]+)\n(.*?)```", README, re.DOTALL
)


def test_there_are_outputs_to_check() -> None:
    assert BLOCKS


@pytest.mark.parametrize(("command", "output"), BLOCKS)
def test_output(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    main(shlex.split(command))
    assert capsys.readouterr().out == output


def test_every_command_is_explained() -> None:
    for command in ("check", "run", "report", "explain", "rules"):
        assert f"dlcheck {command}" in README
