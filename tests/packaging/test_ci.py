"""The GitHub action and the examples for CI: checked by the ecosystem's own linters, and their scripts run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION, GITHUB, GITLAB = (
    ROOT / "action.yml",
    ROOT / "examples" / "ci" / "github.yml",
    ROOT / "examples" / "ci" / "gitlab.yml",
)
BIN = Path(sys.executable).parent
FAULTY = "import itertools\nfrom torch.utils.data import DataLoader\n\nx = itertools.cycle(DataLoader([1]))\n"


def run(*command: str | Path, status: int = 0, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("file", "options"),
    [
        (ACTION, ["--builtin-schema", "vendor.github-actions"]),
        (GITHUB, ["--builtin-schema", "vendor.github-workflows"]),
        (GITLAB, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_schemas(file: Path, options: list[str], tmp_path: Path) -> None:
    run(BIN / "check-jsonschema", *options, file)
    broken = tmp_path / file.name
    broken.write_text(
        file.read_text()
        .replace("description:", "descrption:")
        .replace("stage:", "stages:")
        .replace("runs-on:", "run-on:")
    )
    run(BIN / "check-jsonschema", *options, broken, status=1)


def test_hooks_for_pre_commit() -> None:
    run(sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")


def test_security(tmp_path: Path) -> None:
    """zizmor, offline. What is used is pinned to a release; to a commit is the choice of those who use it."""
    workflow = tmp_path / ".github" / "workflows" / "dlcheck.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(GITHUB.read_text())
    (tmp_path / "action.yml").write_text(ACTION.read_text())
    settings = tmp_path / "zizmor.yml"
    settings.write_text("rules:\n  unpinned-uses:\n    config:\n      policies:\n        '*': ref-pin\n")
    run(BIN / "zizmor", "--offline", "--config", settings, tmp_path / "action.yml", workflow)


def scripts() -> dict[str, str]:
    """The shell scripts of the action and of the example for GitLab."""
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    found = {step["name"]: step["run"] for step in steps if "run" in step}
    job = yaml.safe_load(GITLAB.read_text())["dlcheck"]
    return found | {"GitLab": "\n".join([*job["before_script"], *job["script"]])}


@pytest.mark.parametrize("name", scripts())
def test_shellcheck(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script.sh"
    path.write_text(f"#!/bin/bash\nset -eo pipefail\n{scripts()[name]}")
    run(BIN / "shellcheck", "--severity", "info", path)


class Job:
    """A checkout in a runner, with a pull request that introduces a fault. ``gh`` notes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.temp = folder / "temp"
        for path in (self.work, self.temp, folder / "bin"):
            path.mkdir()
        gh = folder / "bin" / "gh"
        gh.write_text(
            '#!/bin/bash\necho "$@" >> "$CALLS"\n'
            'if [[ "$*" == *--jq* ]]; then echo "$EXISTING"; elif [ -n "$REFUSED" ]; then exit 1; fi\n'
        )
        gh.chmod(0o755)
        self.calls = folder / "calls"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PATH": f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.temp), "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_REPOSITORY": "o/r", "CALLS": str(self.calls),
            "PATHS": ".", "BASE": "main", "RECORDING": "", "FAIL_ON": "never", "NUMBER": "7", "EXISTING": "", "REFUSED": "",
            "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org",
        }  # fmt: skip
        origin = folder / "origin"
        origin.mkdir()
        (origin / "a.py").write_text("x = 1\n")
        self.shell("git init -q -b main; git add .; git commit -qm one", origin)
        self.shell(f"git clone -q {origin} .; git switch -qc work", self.work)
        (self.work / "b.py").write_text(FAULTY)
        self.shell("git add .; git commit -qm two", self.work)

    def shell(self, script: str, folder: Path | None = None, status: int = 0, **environment: str) -> str:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return run(*command, cwd=folder or self.work, env={**self.environment, **environment}, status=status)

    def step(self, name: str, status: int = 0, **environment: str) -> str:
        return self.shell(scripts()[name], status=status, **environment)

    def outputs(self) -> dict[str, str]:
        lines = Path(self.environment["GITHUB_OUTPUT"]).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_check_step(job: Job) -> None:
    job.step("Check", PATHS="a.py b.py")
    assert '"DLC503"' in Path(job.outputs()["file"]).read_text()


@pytest.mark.parametrize(("fail_on", "status"), [("never", "0"), ("error", "1")])
def test_review_step(job: Job, fail_on: str, status: str) -> None:
    job.step("Review", FAIL_ON=fail_on)
    assert job.outputs()["status"] == status
    text = Path(job.outputs()["file"]).read_text()
    assert text.startswith("<!-- dlcheck -->\n## dlcheck: 1 finding introduced, 0 cured\n")
    assert Path(job.environment["GITHUB_STEP_SUMMARY"]).read_text() == text
    job.step("Verdict", STATUS=status, status=int(status))


def test_review_step_with_wrong_settings(job: Job) -> None:
    (job.work / "dlcheck.toml").write_text("selct = []\n")
    job.step("Review", status=2)


def test_comment_step(job: Job) -> None:
    job.step("Comment", FILE="review.md")
    job.step("Comment", FILE="review.md", EXISTING="41\n42")
    calls = [line for line in job.calls.read_text().splitlines() if "--method" in line]
    assert calls == [
        "api --silent --method POST repos/o/r/issues/7/comments --field body=@review.md",
        "api --silent --method PATCH repos/o/r/issues/comments/42 --field body=@review.md",
    ]
    assert "may not comment here" in job.step("Comment", FILE="review.md", REFUSED="1")


def test_gitlab_script(job: Job) -> None:
    script = "\n".join(yaml.safe_load(GITLAB.read_text())["dlcheck"]["script"])
    job.shell(script, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main", DLCHECK_TOKEN="", status=1)
    names = {"gl-code-quality-report.json", "dlcheck.sarif", "dlcheck-review.md"}
    assert names <= {path.name for path in job.work.iterdir()}
