"""What a command costs before and while it works: CPU seconds of `dlcheck`, and of peers, run in turns.

    python benchmarks/startup.py [--runs 9] [--tree DIR [--changed FILE] [--copies 1,4,16]]
                                 [--peer "ruff=ruff check --no-cache"]

The cases are `dlcheck --version`, a check of a file without torch imports, a check of a one-file script with
a loader, and a check of the given tree; each without a cache ("cold") and with one ("warm"). `--changed` names a file
of the tree that is changed before each run and then checked alone, as a hook does. `--copies` checks so many
copies of the tree at once. A peer's command is given the same file or tree as its last argument.
Commands are run in turns, so that a busy machine slows all of them alike; reported is the median and the
least CPU time of the command with its children, and the median wall time. A first run of our own, which fills
caches, is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PLAIN = """\
import json
import sys


def main() -> None:
    print(json.dumps(sys.argv))
"""

LOADER = """\
import torch
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return torch.tensor([index, index**2])


def main():
    device = torch.device("cuda")
    loader = DataLoader(Squares(), batch_size=32, shuffle=True, num_workers=4)
    for epoch in range(10):
        for batch in loader:
            batch.to(device).sum()


if __name__ == "__main__":
    main()
"""


@dataclass
class Case:
    """A command, and what its runs took."""

    name: str
    command: list[str]
    changed: Path | None = None
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    status: int = 0

    def run(self, folder: Path, number: int) -> None:
        if self.changed is not None:
            with self.changed.open("a", encoding="utf-8") as file:
                file.write(f"# {number}\n")
        begin = time.perf_counter()
        process = subprocess.Popen(
            self.command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        self.wall_s.append(time.perf_counter() - begin)
        self.cpu_s.append(usage.ru_utime + usage.ru_stime)
        self.peak_mb = max(self.peak_mb, usage.ru_maxrss / 1024)
        self.status = process.returncode = os.waitstatus_to_exitcode(status)


def cases(options: argparse.Namespace, folder: Path) -> list[Case]:
    checker, check = shlex.split(options.dlcheck), [*shlex.split(options.dlcheck), "check"]
    targets = {"no torch": folder / "one" / "plain.py", "one loader": folder / "two" / "loader.py"}
    for path, text in zip(targets.values(), (PLAIN, LOADER), strict=True):
        path.parent.mkdir()
        path.write_text(text)
    if options.tree is not None:
        for count in options.copies:
            name = "tree" if count == 1 else f"tree x {count}"
            targets[name] = folder / f"copies{count}"
            for number in range(count):
                ignored = shutil.ignore_patterns(".git")
                shutil.copytree(options.tree, targets[name] / f"copy{number}", ignore=ignored)
            (targets[name] / "setup.cfg").touch()
    made = [Case("dlcheck --version", [*checker, "--version"])]
    for target, path in targets.items():
        made.append(Case(f"dlcheck check, {target}, cold", [*check, "--no-cache", str(path)]))
        made.append(Case(f"dlcheck check, {target}, warm", [*check, str(path)]))
        for peer in options.peer:
            name, _, command = peer.partition("=")
            made.append(Case(f"{name}, {target}", [*shlex.split(command), str(path)]))
    if options.changed is not None and options.tree is not None:
        shutil.copytree(options.tree, folder / "changed", ignore=shutil.ignore_patterns(".git"))
        path = folder / "changed" / options.changed
        made.append(Case("dlcheck check, changed file, warm", [*check, str(path)], path))
    return made


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--tree", type=Path, help="a folder to check as a whole")
    parser.add_argument("--changed", metavar="FILE", help="a file of the tree, changed and checked alone")
    parser.add_argument(
        "--copies", type=_counts, default=[1], metavar="N,N", help="check so many copies of the tree"
    )
    parser.add_argument("--dlcheck", default=f"{sys.executable} -m dlcheck", help="the command to time")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=CMD", help="a command to compare with"
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["DLCHECK_CACHE_DIR"] = str(folder / "cache")
        own, timed = shlex.split(options.dlcheck), cases(options, folder)
        for case in timed:
            if case.command[: len(own)] == own:  # fills caches, and is not counted
                case.run(folder, 0)
                case.cpu_s.clear()
                case.wall_s.clear()
                case.peak_mb = 0.0
        for number in range(1, options.runs + 1):
            for case in timed:
                case.run(folder, number)

    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.runs} runs")
    print(f"{'':38} {'CPU s':>7} {'least':>7} {'wall s':>7} {'MB':>5}  exit")
    for case in timed:
        cpu_s, wall_s = statistics.median(case.cpu_s), statistics.median(case.wall_s)
        times = f"{cpu_s:7.3f} {min(case.cpu_s):7.3f} {wall_s:7.3f}"
        print(f"{case.name:38} {times} {case.peak_mb:5.0f}  {case.status:4}")


if __name__ == "__main__":
    main()
