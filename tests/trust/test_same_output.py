"""The same tree gives the same bytes, whatever the order of files, the hash seed, the locale and the time zone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.lint.examples import files_of
from dlcheck.lint.registry import all_rules

pytestmark = pytest.mark.slow

FORMATS = ("full", "json", "sarif", "github")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An example of each rule, and files that import each other."""
    root = tmp_path_factory.mktemp("tree")
    for rule in all_rules():
        for name, text in files_of(rule.found[0]).items():
            path = root / rule.code.lower() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    (root / "setup.cfg").touch()
    return root


def output(tree: Path, form: str, *arguments: str, **environment: str) -> bytes:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dlcheck",
            "check",
            "--no-cache",
            "--output-format",
            form,
            *(arguments or ["."]),
        ],
        cwd=tree,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", FORMATS)
def test_hash_seed_locale_and_time_zone(tree: Path, form: str) -> None:
    expected = output(tree, form, PYTHONHASHSEED="0", LC_ALL="C.UTF-8", TZ="UTC")
    assert expected.count(b"DLC") > 40
    assert (
        output(tree, form, PYTHONHASHSEED="1", LC_ALL="C", PYTHONUTF8="1", TZ="Pacific/Auckland") == expected
    )
    assert (
        output(tree, form, PYTHONHASHSEED="12345", LC_ALL="POSIX", PYTHONUTF8="1", TZ="America/St_Johns")
        == expected
    )


def test_order_of_files(tree: Path) -> None:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.py"))
    expected = output(tree, "json", *names)
    for seed in range(3):
        random.Random(seed).shuffle(names)
        assert output(tree, "json", *names) == expected


def test_order_in_which_files_were_made(tree: Path, tmp_path: Path) -> None:
    """Folders list their files in the order in which they were made, on some file systems."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_file():
            copy = tmp_path / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert output(tmp_path, "json") == output(tree, "json")


def test_cache(tree: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlcheck", "check", "--output-format", "json", "."]
    environment = {**os.environ, "DLCHECK_CACHE_DIR": str(tmp_path)}
    expected = output(tree, "json")
    for _ in range(2):
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
        assert done.stdout == expected
