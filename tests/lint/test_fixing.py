"""Fixes: the finding is gone, the file parses, layout and comments stay, and a second run changes nothing."""

from __future__ import annotations

import ast
import re
import stat
import textwrap
from pathlib import Path

import pytest
from rule_examples import examples

from dlcheck.cli.main import main
from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.fixing import fix_all
from dlcheck.lint.registry import all_rules
from dlcheck.lint.rule import Rule

_EXAMPLES = [
    pytest.param(r, e, id=f"{r.code}-{n}") for r in all_rules() for n, e in enumerate(examples(r, "found"), 1)
]


def _lay_out(example: str, folder: Path) -> None:
    text = textwrap.dedent(example).strip("\n") + "\n"
    pieces = re.split(r"^# file: (\S+)\n", text, flags=re.MULTILINE)
    files = dict(zip(pieces[1::2], pieces[2::2], strict=True)) if len(pieces) > 1 else {"example.py": text}
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


@pytest.mark.parametrize(("rule", "example"), _EXAMPLES)
def test_a_fixed_finding_is_gone_and_the_rest_is_untouched(rule: Rule, example: str, tmp_path: Path) -> None:
    _lay_out(example, tmp_path)

    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([tmp_path], tmp_path, select=(rule.code,), low_confidence=True, overlay=overlay)

    before = check({})
    fixed = fix_all(check, unsafe=True)
    assert not fixed.problems
    assert not [f for f in fixed.result.findings if f.fix is not None]
    assert len(fixed.result.findings) <= len(before.findings) - fixed.count
    for old, new in fixed.changes.values():
        ast.parse(new)
        assert re.findall(rb"#[^\n]*", old) == re.findall(rb"#[^\n]*", new)


def test_layout_line_ends_and_permissions_stay(tmp_path: Path) -> None:
    source = (
        "import torch\r\nfrom torch.utils.data import DataLoader\r\n\r\ndef main(data):\r\n"
        "    loader = DataLoader(  # über\r\n        data,\r\n        num_workers=2,  # two\r\n    )\r\n"
        "    for x in loader:\r\n        x.cuda()\r\n"
    )
    path = tmp_path / "train.py"
    path.write_bytes(source.encode())
    path.chmod(0o750)
    assert main(["check", "--fix", str(path)]) == 0
    added = "        pin_memory=torch.cuda.is_available(),  # two\r\n"
    expected = source.replace("        num_workers=2,  # two\r\n", "        num_workers=2,\r\n" + added)
    expected = expected.replace("x.cuda()", "x.cuda(non_blocking=True)")
    assert _without_comments(path.read_bytes().decode()) == _without_comments(expected)
    assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["train.py"]


def _without_comments(text: str) -> str:
    return re.sub(r"[ \t]*#[^\r\n]*", "", text)


def test_diff_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.py"
    source = "from torch.utils.data import DataLoader\nl = DataLoader([1], num_workers=2)\nfor x in l:\n    x.cuda()\n"
    path.write_text(source)
    assert main(["check", "--diff", str(path)]) == 1
    assert "+l = DataLoader([1], num_workers=2, pin_memory=True)" in capsys.readouterr().out
    assert path.read_text() == source
