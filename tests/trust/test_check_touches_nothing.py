"""``dlcheck check`` runs nothing that it reads, stays inside the project, and writes nothing but its cache."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GOOD = (
    "from torch.utils.data import DataLoader\nl = DataLoader([1], num_workers=2)\nfor x in l:\n    x.cuda()\n"
)
TRAP = "import os, torch\nopen(os.environ['TRAP'], 'w').close()\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose every module says when it is run, and which shadows modules that a checker needs."""
    root = tmp_path / "project"
    root.mkdir()
    names = "sitecustomize usercustomize conftest setup torch json ast yaml libcst rich dlcheck re typing helper".split()
    for name in names:
        (root / f"{name}.py").write_text(TRAP)
    (root / "train.py").write_text(f"import helper, torch, json\n{GOOD}")
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return root


def check(folder: Path, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    trap = {"TRAP": str(home.parent / "trapped"), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("DLCHECK", "XDG", "PYTHON"))
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "dlcheck", "check", "--output-format", "concise", *arguments]
        if sys.version_info >= (3, 11)
        else [
            str(Path(sys.executable).with_name("dlcheck")),
            "check",
            "--output-format",
            "concise",
            *arguments,
        ],
        cwd=folder,
        env={**kept, **trap, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_nothing_is_run_and_nothing_written(project: Path, home: Path) -> None:
    before = files(project)
    for arguments in ((".",), ("train.py",), ("--no-cache", "."), ("--diff", "--unsafe-fixes", ".")):
        done = check(project, home, *arguments)
        assert "Traceback" not in done.stderr and done.returncode in (0, 1), done.stderr
    assert "DLC201" in check(project, home, ".").stdout
    assert files(project) == before
    assert not (home.parent / "trapped").exists()
    assert {path.relative_to(home).parts[0] for path in home.rglob("*")} <= {"cache"}


def test_links_out_of_the_project_and_in_circles(project: Path, home: Path) -> None:
    outside = home.parent / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text(GOOD)
    (project / "away").symlink_to(outside)
    (project / "secret_link.py").symlink_to(outside / "secret.py")
    (project / "circle").symlink_to(project)
    (project / "nowhere.py").symlink_to(project / "missing.py")
    done = check(project, home, ".")
    assert done.returncode == 1 and "train.py" in done.stdout
    assert "secret" not in done.stdout and "circle" not in done.stdout
    check(project, home, "--fix", "--unsafe-fixes", ".")
    assert (outside / "secret.py").read_text() == GOOD


def test_what_is_no_file(project: Path, home: Path) -> None:
    os.mkfifo(project / "pipe.py")
    (project / "folder.py").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(project)  # the path of a socket is short
        listener.bind("socket.py")
    finally:
        os.chdir(here)
    try:
        done = check(project, home, ".")
    finally:
        listener.close()
    assert done.returncode == 1 and "train.py" in done.stdout and "Traceback" not in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def test_cache_on_a_full_disk(project: Path, home: Path, full_disk: Path) -> None:
    expected = check(project, home, "--no-cache", ".").stdout
    for _ in range(2):
        done = check(project, home, ".", DLCHECK_CACHE_DIR=str(full_disk))
        assert done.stdout == expected and "Traceback" not in done.stderr


def test_cache_that_many_use_at_once(project: Path, home: Path, tmp_path: Path) -> None:
    expected = check(project, home, "--no-cache", ".").stdout
    cache = str(tmp_path / "shared")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: check(project, home, ".", DLCHECK_CACHE_DIR=cache), range(8)))
    assert {one.stdout for one in done} == {expected}
    assert check(project, home, ".", DLCHECK_CACHE_DIR=cache).stdout == expected
