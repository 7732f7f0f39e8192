"""Whatever the files hold: no traceback, a documented exit status, and the rest is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcheck.cli.main import main

pytestmark = pytest.mark.slow

GOOD = (
    "from torch.utils.data import DataLoader\nl = DataLoader([1], num_workers=2)\nfor x in l:\n    x.cuda()\n"
)
READER = b"""\
import torch, yaml
settings = yaml.safe_load(open("cfg.yaml"))
torch.utils.data.DataLoader([1], num_workers=settings["n"])
"""
STATUSES = (0, 1, 2)

bounded = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.sampled_from(
    "import torch DataLoader ( ) [ ] { } : = , . @ def class for in if else lambda yield async await match case with as "
    "* ** -> := f' \" \\ # \n \t \r \x00 \x0c \ufeff é 𝒙 1 1e999 None self dlcheck: ignore[DLC201] noqa".split(
        " "
    )
)
code = st.one_of(
    st.lists(words, max_size=40).map(" ".join).map(str.encode),
    st.binary(max_size=400),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Check a folder that also holds a file with a finding; returns what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLCHECK_DEBUG", raising=False)

    def run(name: str, content: bytes, *options: str, statuses: tuple[int, ...] = STATUSES) -> str:
        (tmp_path / "good.py").write_text(GOOD)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        status = main(["check", "--no-cache", "--output-format", "concise", *options, "."])
        printed = capsys.readouterr()
        assert status in statuses
        assert "Traceback" not in printed.err and "internal error" not in printed.err, printed.err
        return printed.out + printed.err

    return run


@bounded
@given(content=code)
def test_any_bytes_as_a_module(check: Callable[..., str], content: bytes) -> None:
    # A hint that only a file with torch in it is parsed: so that each is.
    assert "good.py:2" in check("bad.py", b"import torch\n" + content, statuses=(1,))


@bounded
@given(content=code, document=values)
def test_any_notebook(check: Callable[..., str], content: bytes, document: object) -> None:
    cell = {
        "cell_type": "code",
        "source": content.decode("utf-8", "replace"),
        "outputs": [],
        "metadata": document,
    }
    whole = {"cells": [cell, document], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    for text in (json.dumps(whole).encode(), json.dumps(document).encode(), content):
        assert "good.py:2" in check("bad.ipynb", text, statuses=(1,))


@bounded
@given(content=code, document=values)
def test_any_settings_file_that_code_reads(
    check: Callable[..., str], content: bytes, document: object
) -> None:
    check("reader.py", READER)
    for text in (content, json.dumps(document).encode(), json.dumps({"n": document}).encode()):
        assert "good.py:2" in check("cfg.yaml", text, statuses=(1,))


@bounded
@given(
    content=code,
    key=st.sampled_from(["select", "ignore", "exclude", "per-file-ignores", "target-python", "x"]),
    value=values,
)
def test_any_configuration(check: Callable[..., str], content: bytes, key: str, value: object) -> None:
    for text in (content, f"[tool.dlcheck]\n{key} = {json.dumps(value)}\n".encode("utf-8", "replace")):
        printed = check("pyproject.toml", text)
        assert printed  # what is wrong, or what was found


@bounded
@given(content=code, document=values)
def test_any_baseline(check: Callable[..., str], content: bytes, document: object) -> None:
    for text in (content, json.dumps(document).encode(), json.dumps({"findings": document}).encode()):
        assert check("known.json", text, "--baseline", "known.json")


@bounded
@given(comment=st.lists(words, max_size=12).map(" ".join))
def test_any_comment_of_suppression(check: Callable[..., str], comment: str) -> None:
    line = GOOD.splitlines()
    line[3] += "  # dlcheck: " + comment.replace("\n", " ").replace("\r", " ").replace("\x0c", " ").replace(
        "\x00", " "
    )
    check("suppressed.py", "\n".join(line).encode("utf-8", "surrogatepass"))
