"""The cache: findings are those of a check without it, whatever is in it, and nothing but its own values is made from it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.cache import Cache

DATA = """\
import h5py
from torch.utils.data import Dataset

class Volumes(Dataset):
    def __init__(self, path):
        self.path = path
    def __getitem__(self, index):
        return h5py.File({path})["x"][index]
"""
TRAIN = """\
from torch.utils.data import DataLoader
from data import Volumes

def main():
    loader = DataLoader(Volumes("a.h5"), num_workers=4)
    for batch in loader:
        batch.cuda()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    (root / "data.py").write_text(DATA.replace("{path}", "self.path"))
    (root / "train.py").write_text(TRAIN)
    for path in root.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))  # long settled
    return root


def _check(project: Path, folder: Path, *names: str) -> CheckResult:
    paths = [project / name for name in names] or [project]
    return check_paths(paths, cached=True, cache_dir=folder)


def _found(result: CheckResult) -> list[tuple[str, str]]:
    return [(finding.rule, Path(finding.place.file).name) for finding in result.findings]


def test_the_same_is_found_with_and_without(project: Path, tmp_path: Path) -> None:
    plain = check_paths([project])
    assert [rule for rule, _ in _found(plain)] == ["DLC102", "DLC201"]
    for _ in range(3):
        assert _check(project, tmp_path / "cache") == plain
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_file_is_read_again(project: Path, tmp_path: Path) -> None:
    _check(project, tmp_path / "cache")
    (project / "data.py").write_text(DATA.replace("{path}", "str(index)"))
    assert [rule for rule, _ in _found(_check(project, tmp_path / "cache"))] == ["DLC106", "DLC201"]


def test_a_change_in_another_file_counts(project: Path, tmp_path: Path) -> None:
    assert _found(_check(project, tmp_path / "cache", "train.py")) == [("DLC201", "train.py")]
    (project / "train.py").write_text(TRAIN.replace("batch.cuda()", "print(batch)"))
    assert _found(_check(project, tmp_path / "cache", "data.py")) == [("DLC102", "data.py")]
    assert _found(_check(project, tmp_path / "cache", "train.py")) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x05nonsense", pickle.dumps({"version": "other"}), pickle.dumps(print)]
)
def test_a_damaged_cache_is_no_cache(project: Path, tmp_path: Path, content: bytes) -> None:
    plain = _check(project, tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(content)
    assert _check(project, tmp_path / "cache") == plain


def test_nothing_but_the_checkers_own_values_is_made(project: Path, tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "planted"),))

    _check(project, tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(pickle.dumps({"version": Planted()}))
    _check(project, tmp_path / "cache")
    assert not (tmp_path / "planted").exists()


def test_a_folder_that_cannot_be_made_does_no_harm(project: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(_check(project, tmp_path / "cache").findings) == 2


def test_a_file_that_is_still_young_is_not_remembered_by_its_time(project: Path, tmp_path: Path) -> None:
    path = project / "train.py"
    path.write_text(TRAIN)
    cache = Cache(project, tmp_path / "cache")
    _check(project, tmp_path / "cache")
    cache = Cache(project, tmp_path / "cache")
    assert cache.summary("train.py", path.stat()) is None
    assert cache.summary("data.py", (project / "data.py").stat()) is not None


def test_it_is_the_same_cache_whether_or_not_the_rules_are_imported_yet() -> None:
    digest = "from dlcheck.lint.cache import tool_digest; print(tool_digest())"
    codes = [digest, f"import dlcheck.rules; {digest}"]
    said = {
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
        for code in codes
    }
    assert len(said) == 1
