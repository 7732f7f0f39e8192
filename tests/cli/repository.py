"""Git repositories for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

_GIT = (
    "git",
    "-c",
    "user.name=T",
    "-c",
    "user.email=t@example.org",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "core.hooksPath=/dev/null",
)


class Repository:
    """A repository in a folder, with a first commit of some files."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(files)
        self.commit("first")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_GIT, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    def write(self, files: dict[str, str]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
