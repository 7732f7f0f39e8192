"""How long the pre-commit hook takes, in the real pre-commit, on a shipped project: after a change, and without one.

    python benchmarks/hook.py [--runs 5]

pre-commit itself says how long its hook took. The cache is warm: the hook has run before, as it has in daily use.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "fixtures" / "jpeg_classification" / "faulty"
_CONFIG = """\
repos:
  - repo: local
    hooks:
      - id: dlcheck
        name: dlcheck
        entry: {python} -m dlcheck check --force-exclude
        language: system
        types_or: [python, jupyter]
        require_serial: true
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "project")
        shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
        (folder / ".pre-commit-config.yaml").write_text(_CONFIG.format(python=sys.executable))
        (folder / "pyproject.toml").touch()
        own = {"PRE_COMMIT_HOME": f"{home}/pre-commit", "DLCHECK_CACHE_DIR": f"{home}/cache"}

        def run(*command: str) -> str:
            done = subprocess.run(
                command, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False
            )
            return done.stdout

        def hook() -> float:
            found = re.search(
                r"duration: ([\d.]+)s", run(sys.executable, "-m", "pre_commit", "run", "--verbose")
            )
            if found is None:
                sys.exit("pre-commit ran no hook")
            return float(found.group(1))

        def changed(number: int) -> float:
            with (folder / "dataset.py").open("a") as file:
                file.write(f"# {number}\n")
            run("git", "add", "--all")
            return hook()

        run("git", "init", "--quiet")
        changed(0)
        times = {
            "after a change": [changed(n) for n in range(1, runs + 1)],
            "without one": [hook() for _ in range(runs)],
        }
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}; one of 6 files is given"
    )
    for what, seconds in times.items():
        print(
            f"{what:<15} median {statistics.median(seconds):.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
