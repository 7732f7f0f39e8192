"""The hooks with the real pre-commit: installed from this source by pre-commit itself, run on commits of a repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

DATA = """\
import h5py
from torch.utils.data import Dataset


class Features(Dataset):
    def __init__(self, path):
        self.path = path

    def __getitem__(self, index):
        with h5py.File(self.path) as file:
            return file["x"][index]
"""
TRAIN = """\
from torch.utils.data import DataLoader
from data import Features


def train(model):
    loader = DataLoader(Features("x.h5"), batch_size=8, shuffle=True, num_workers=4)
    for epoch in range(9):
        for x in loader:
            model(x.cuda()).backward()
"""
CONFIG = """\
repos:
  - repo: {repository}
    rev: {revision}
    hooks:
      - id: {hook}
"""


class Shell:
    """Runs commands in a folder, with a home of pre-commit's own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PRE_COMMIT_HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PRE_COMMIT_COLOR": "never",
            "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org",
        }  # fmt: skip

    def __call__(self, *command: str, status: int | None = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        assert status is None or done.returncode == status, f"{command}\n{output}"
        return output


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pre-commit keeps what it installs, once for all tests."""
    return tmp_path_factory.mktemp("pre-commit")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, home: Path) -> tuple[Path, str]:
    """A repository of this source as it stands, and its commit."""
    folder = tmp_path_factory.mktemp("source")
    shell = Shell(folder, home)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    for name in ("dlcheck", "rules"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shell("git", "init", "--quiet")
    shell("git", "add", "--all", "--force")
    shell("git", "commit", "--quiet", "--message", "source")
    return folder, shell("git", "rev-parse", "HEAD").strip()


def project(folder: Path, home: Path, source: tuple[Path, str], hook: str) -> Shell:
    """A project with the hook installed, and its data set committed."""
    shell = Shell(folder, home)
    repository, revision = source
    (folder / ".pre-commit-config.yaml").write_text(
        CONFIG.format(repository=repository, revision=revision, hook=hook)
    )
    (folder / "data.py").write_text(DATA)
    shell("git", "init", "--quiet")
    shell("git", "add", "--all")
    shell("git", "commit", "--quiet", "--message", "data")
    shell(sys.executable, "-m", "pre_commit", "install")
    return shell


def test_check_hook(tmp_path: Path, home: Path, source: tuple[Path, str]) -> None:
    shell = project(tmp_path, home, source, "dlcheck")
    (tmp_path / "train.py").write_text(TRAIN)
    shell("git", "add", "train.py")
    output = shell("git", "commit", "--message", "train", status=1)
    # The file alone is given. That its loader's items come from disk stands in the other one, whose own fault is old.
    assert "train.py:6:14: DLC205" in output
    assert "data.py:" not in output.replace("see data.py:", "")

    (tmp_path / "train.py").write_text("print('nothing about data')\n")
    shell("git", "add", "train.py")
    assert "Passed" in shell("git", "commit", "--message", "nothing")
    (tmp_path / "notes.txt").write_text("DataLoader\n")
    shell("git", "add", "notes.txt")
    assert "Skipped" in shell("git", "commit", "--message", "notes")

    output = shell(sys.executable, "-m", "pre_commit", "run", "--all-files", status=1)
    assert "data.py:10:14: DLC102" in output
    (tmp_path / "dlcheck.toml").write_text('exclude = ["data.py"]\n')
    shell("git", "add", "dlcheck.toml")
    shell(sys.executable, "-m", "pre_commit", "run", "--all-files")


def test_fix_hook(tmp_path: Path, home: Path, source: tuple[Path, str]) -> None:
    shell = project(tmp_path, home, source, "dlcheck-fix")
    path = tmp_path / "train.py"
    path.write_text(TRAIN.replace("num_workers=4", "num_workers=4, persistent_workers=True"))
    shell("git", "add", "train.py")
    output = shell("git", "commit", "--message", "train", status=1)
    assert "files were modified by this hook" in output
    assert "pin_memory=" in path.read_text()
    shell("git", "add", "train.py")
    assert "Passed" in shell("git", "commit", "--message", "train")


def test_the_environment_of_the_hook_holds_no_torch(
    tmp_path: Path, home: Path, source: tuple[Path, str]
) -> None:
    project(tmp_path, home, source, "dlcheck")(
        "git", "commit", "--allow-empty", "--message", "x", status=None
    )
    (python,) = home.glob("repo*/py_env-*/bin/python")
    shell = Shell(tmp_path, home)
    shell(str(python), "-c", "import dlcheck.rules")
    shell(str(python), "-c", "import torch", status=1)
