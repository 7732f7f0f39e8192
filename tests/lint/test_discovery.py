"""Which files are looked at: exclude, .gitignore with and without git, environments, links, files given by name."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from dlcheck.config.resolve import Resolver
from dlcheck.lint.checker import check, files_to_check

FILES = (
    "a.py", "b.txt", "nb.ipynb", "pkg/__init__.py", "pkg/gen_pb2.py", "pkg/sub/c.py", "data/cache/x.py", "env/agent.py",
    "third/lib/d.py", "build/lib/e.py", ".venv/lib/site.py", "my-python/lib/f.py", "old/keep.py", "old/drop.py",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    Path("my-python/pyvenv.cfg").write_text("home = /usr\n")
    return tmp_path


def listed(folder: Path, **settings: object) -> set[str]:
    (folder / "dlcheck.toml").touch()
    resolver = Resolver([{key.replace("_", "-"): value for key, value in settings.items()}])
    return {path.relative_to(folder).as_posix() for path in files_to_check([folder], resolver)}


USUAL = {
    "a.py", "nb.ipynb", "pkg/__init__.py", "pkg/gen_pb2.py", "pkg/sub/c.py", "data/cache/x.py", "env/agent.py",
    "third/lib/d.py", "old/keep.py", "old/drop.py",
}  # fmt: skip


def test_environments_and_built_files_are_passed_over(project: Path) -> None:
    assert listed(project) == USUAL


def test_exclude(project: Path) -> None:
    (project / "dlcheck.toml").write_text(
        'exclude = ["*_pb2.py", "third", "/pkg/sub/", "old/*", "!old/keep.py", "!build"]\n'
    )
    expected = USUAL - {"pkg/gen_pb2.py", "third/lib/d.py", "pkg/sub/c.py", "old/drop.py"} | {
        "build/lib/e.py"
    }
    assert listed(project) == expected
    named = [project / "pkg/sub/c.py", project / "a.py"]
    assert files_to_check(named, Resolver()) == named
    assert files_to_check(named, Resolver([{"force-exclude": True}])) == named[1:]


def test_exclude_counts_from_its_own_file(project: Path) -> None:
    (project / "pkg" / "dlcheck.toml").write_text('exclude = ["sub", "a.py"]\n')
    assert listed(project) == USUAL - {"pkg/sub/c.py"}


IGNORE = {".gitignore": "/data/\n*.ipynb\n# a comment\n\n", "old/.gitignore": "*.py\n!keep.py\n"}
LEFT = USUAL - {"data/cache/x.py", "nb.ipynb", "old/drop.py"}


@pytest.mark.parametrize("with_git", [True, False])
def test_gitignore(project: Path, with_git: bool) -> None:
    for name, content in IGNORE.items():
        Path(name).write_text(content)
    if with_git:
        subprocess.run(["git", "init", "--quiet"], check=True)
    assert listed(project) == LEFT
    assert listed(project, respect_gitignore=False) == USUAL
    # What is asked for by name is looked at.
    assert files_to_check([project / "data"], Resolver()) == [project / "data/cache/x.py"]


def test_tracked_files_are_not_ignored(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", "old/drop.py"], check=True)
    for name, content in IGNORE.items():
        Path(name).write_text(content)
    assert listed(project) == LEFT | {"old/drop.py"}
    Path("old/drop.py").unlink()
    assert listed(project) == LEFT


def test_a_hook_of_another_repository(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    for folder in (project, other):
        subprocess.run(["git", "init", "--quiet"], check=True, cwd=folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert listed(project) == USUAL


def test_links(project: Path) -> None:
    Path("linked.py").symlink_to("a.py")
    Path("broken.py").symlink_to("nowhere.py")
    Path("around").symlink_to(".", target_is_directory=True)
    files = listed(project)
    assert "linked.py" in files
    assert not any(name.startswith("around") for name in files)
    result = check([project], Resolver(), root=project)
    assert not result.errors
    named = check([project / "broken.py"], Resolver(), root=project)
    assert [e.message for e in named.errors] == ["No such file or directory"]


def test_a_file_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def deny(path: Path) -> bytes:
        if path.name == "a.py":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path)

    monkeypatch.setattr(
        Path, "read_bytes", deny
    )  # permissions do not stop the superuser, who may run the tests
    result = check([project], Resolver(), root=project)
    assert [(Path(e.file).name, e.message) for e in result.errors] == [("a.py", "Permission denied")]


def test_a_pipe_is_no_source(project: Path) -> None:
    os.mkfifo("pipe.py")
    assert "pipe.py" not in listed(project)


def test_the_rest_is_checked_beside_broken_files(project: Path) -> None:
    Path("a.py").write_text("import torch.utils.data\ndef f(:\n")
    Path("pkg/sub/c.py").write_bytes(b"import torch.utils.data\n\x00")
    Path("nb.ipynb").write_text("{not json: DataLoader")
    Path("env/agent.py").write_bytes(b"# -*- coding: nonsense -*-\nfrom torch.utils.data import DataLoader\n")
    Path("old/keep.py").write_text(
        "import itertools\nfrom torch.utils.data import DataLoader\nx = itertools.cycle(DataLoader([1]))\n"
    )
    result = check([project], Resolver(), root=project)
    assert [f.rule for f in result.findings] == ["DLC503"]
    assert {Path(e.file).name for e in result.errors} == {"a.py", "c.py", "nb.ipynb", "agent.py"}
