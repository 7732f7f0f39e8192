"""Suppressions: what a comment counts for, what is said about it, and how it is mended, added and removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlcheck.cli.main import main
from dlcheck.config.resolve import Resolver
from dlcheck.lint.api import CheckResult
from dlcheck.lint.checker import check
from dlcheck.lint.directives import find_directives, statement_lines

HEAD = "import itertools\nfrom torch.utils.data import DataLoader\n\n\n"


def checked(source: str, folder: Path, **settings: object) -> CheckResult:
    (folder / "train.py").write_text(source)
    layer = {key.replace("_", "-"): value for key, value in settings.items()}
    return check([folder / "train.py"], Resolver([layer], isolated=True), root=folder)


def found(result: CheckResult) -> list[tuple[str, int]]:
    return [(finding.rule, finding.place.line) for finding in result.findings]


HIDING = {
    "at the end of the line": "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503] so",
    "beside other comments": "c = itertools.cycle(DataLoader(d))  # type: ignore  # dlcheck:ignore[DLC503]  # why",
    "by name": "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[cycled-loader] so",
    "in small letters": "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[dlc503]",
    "every rule": "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore",
    "behind the statement": "c = itertools.cycle(\n    DataLoader(\n        d\n    )\n)  # dlcheck: ignore[DLC503]",
    "within the statement": "c = itertools.cycle(\n    # dlcheck: ignore[DLC503]\n    DataLoader(d)\n)",
    "on the line above": "# dlcheck: ignore[DLC503] so\n# and so\nc = itertools.cycle(DataLoader(d))",
    "for the file": "c = itertools.cycle(DataLoader(d))\n\n# dlcheck: ignore-file[DLC503]",
    "noqa": "c = itertools.cycle(DataLoader(d))  # noqa: DLC503",
    "noqa among others": "c = itertools.cycle(DataLoader(d))  # NOQA:E501, DLC503",
    "bare noqa": "c = itertools.cycle(DataLoader(d))  # noqa",
    "flake8 noqa": "# flake8: noqa: DLC503\nc = itertools.cycle(DataLoader(d))",
    "the head of a loop": "for x in itertools.cycle(DataLoader(d)):  # dlcheck: ignore[DLC503]\n    print(x)",
    "above a decorated function": (
        "# dlcheck: ignore[DLC503]\n@g\ndef f(\n    x=itertools.cycle(DataLoader(d)),\n):\n    pass"
    ),
}


@pytest.mark.parametrize("source", HIDING.values(), ids=HIDING.keys())
def test_hides(source: str, tmp_path: Path) -> None:
    plain = re.sub(r"#.*", "", source)
    assert "DLC503" in {rule for rule, _ in found(checked(HEAD + plain + "\n", tmp_path))}
    result = checked(HEAD + source + "\n", tmp_path)
    assert "DLC503" not in {rule for rule, _ in found(result)}
    assert "DLC001" not in {rule for rule, _ in found(result)}
    assert result.hidden["suppressed"] == 1


NOT_HIDING = {
    "another code": "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC501]",
    "another line": "c = itertools.cycle(DataLoader(d))\nx = 1  # dlcheck: ignore[DLC503]",
    "an empty line between": "# dlcheck: ignore[DLC503]\n\nc = itertools.cycle(DataLoader(d))",
    "the body, not the head": "for x in y:  # dlcheck: ignore[DLC503]\n    c = itertools.cycle(DataLoader(d))",
    "text": 'c = itertools.cycle(DataLoader(d)), "# dlcheck: ignore[DLC503]"',
    "other noqa": "c = itertools.cycle(DataLoader(d))  # noqa: E501",
}


@pytest.mark.parametrize("source", NOT_HIDING.values(), ids=NOT_HIDING.keys())
def test_does_not_hide(source: str, tmp_path: Path) -> None:
    assert "DLC503" in {rule for rule, _ in found(checked(HEAD + source + "\n", tmp_path))}


def test_a_suppression_of_a_rule_that_is_left_out_is_used(tmp_path: Path) -> None:
    source = HEAD + "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503]\n"
    assert found(checked(source, tmp_path, ignore=("DLC5",))) == []
    assert found(checked(source, tmp_path, select=("DLC0",))) == []


def test_a_finding_of_low_confidence_uses_a_suppression(tmp_path: Path) -> None:
    source = (
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n\n\n"
        "def train(x, workers, model):\n"
        "    loader = DataLoader(x, num_workers=workers)\n"
        "    for epoch in range(9):\n"
        "        for batch in loader:\n"
        "            model(batch)\n"
    )
    low = [f for f in checked(source, tmp_path, min_confidence="low").findings if f.confidence == "low"]
    assert low and not checked(source, tmp_path).findings
    line = low[0].place.line - 1
    lines = source.splitlines()
    lines[line] += f"  # dlcheck: ignore[{low[0].rule}] not sure"
    assert found(checked("\n".join(lines) + "\n", tmp_path)) == []


def test_what_is_unused_or_misspelt_is_said_and_mended(tmp_path: Path) -> None:
    source = HEAD + (
        "a = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503, DLC102] kept  # noqa: E501,DLC201\n"
        "b = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC5O3] typo\n"
        "# dlcheck: ignore[DLC201]\n"
        "c = itertools.cycle(DataLoader(d))  # dlcheck: disable=DLC503\n"
        "def f():\n"
        "    # dlcheck: ignore[DLC777]\n"
        "    return 1  # dlcheck: ignore\n"
    )
    lines = source.splitlines()
    result = checked(source, tmp_path)
    remarks = [(rule, line - HEAD.count("\n")) for rule, line in found(result) if rule < "DLC1"]
    assert remarks == [
        ("DLC001", 1), ("DLC001", 1), ("DLC002", 2), ("DLC001", 3), ("DLC002", 4), ("DLC002", 6), ("DLC001", 7),
    ]  # fmt: skip
    assert main(["check", "--isolated", "--no-cache", "--fix", "--quiet", str(tmp_path / "train.py")]) == 0
    after = (tmp_path / "train.py").read_text().splitlines()
    lines = lines[: HEAD.count("\n")]
    assert after == [
        *lines,
        "a = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503] kept  # noqa: E501",
        "b = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503] typo",
        "c = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503]",
        "def f():",
        "    return 1",
    ]


def test_an_unused_noqa_is_said_in_a_file_without_findings(tmp_path: Path) -> None:
    assert found(checked("import os  # noqa: F401,DLC503\n", tmp_path)) == [("DLC001", 1)]
    assert found(checked("import os  # noqa: F401\n", tmp_path)) == []


def test_reasons_are_asked_for(tmp_path: Path) -> None:
    source = HEAD + "a = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC503]\n"
    assert found(checked(source, tmp_path)) == []
    assert found(checked(source, tmp_path, require_reason=True)) == [("DLC003", 5)]
    assert found(checked(source.replace("503]", "503] one batch"), tmp_path, require_reason=True)) == []


def test_add_ignores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = HEAD + (
        "a = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC102] kept\n"
        'b = f("""\n""", itertools.cycle(DataLoader(d)), """\n""")\n'
        "c = itertools.cycle( \\\n    DataLoader(d))\n"
        "e = itertools.cycle(\r\n    DataLoader(d))\r\n"
    )
    path = tmp_path / "train.py"
    path.write_bytes(b"\xef\xbb\xbf" + source.encode())
    command = ["check", "--isolated", "--no-cache", "--ignore", "DLC001", str(path)]
    assert main([*command, "--add-ignores", "known since\n2024"]) == 0
    assert "Suppressed 4 findings in 1 file." in capsys.readouterr().err
    assert path.read_bytes().decode() == "\ufeff" + HEAD + (
        "a = itertools.cycle(DataLoader(d))  # dlcheck: ignore[DLC102, DLC503] kept\n"
        'b = f("""\n""", itertools.cycle(DataLoader(d)), """\n""")  # dlcheck: ignore[DLC503] known since 2024\n'
        "c = itertools.cycle( \\\n    DataLoader(d))  # dlcheck: ignore[DLC503] known since 2024\n"
        "e = itertools.cycle(  # dlcheck: ignore[DLC503] known since 2024\r\n    DataLoader(d))\r\n"
    )
    assert main(command) == 0


def test_every_added_comment_covers_its_line() -> None:
    source = b"x = (1,\n  f\"\"\"{\n y}\n\"\"\", '''\n''', 2)\nif x: \\\n  y = 1\n@a\ndef f(): return 1\n"
    lines = statement_lines(source)
    texts = source.decode().splitlines()
    for number in lines.free:
        commented = [*texts[: number - 1], texts[number - 1] + "  # dlcheck: ignore[DLC503]", *texts[number:]]
        compile("\n".join(commented), "x", "exec")
        (directive,) = find_directives("\n".join(commented).encode())
        assert directive.covers(number)
    assert set(lines.last.values()) <= lines.free
