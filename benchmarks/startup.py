"""What a command costs before and while it works: CPU seconds of `dlcheck`, and of peers, run in turns.

    python benchmarks/startup.py [--runs 9] [--tree DIR] [--peer "ruff=ruff check --no-cache"]

The cases are `dlcheck --version`, a check of a file without torch imports, a check of a one-file script with
a loader, and a check of the given tree. A peer's command is given the same file or tree as its last argument.
Commands are run in turns, so that a busy machine slows all of them alike; reported is the median and the
least CPU time of the command with its children, and the median wall time. A first run of each, which fills
caches, is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
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
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    status: int = 0

    def run(self, folder: Path) -> None:
        begin = time.perf_counter()
        process = subprocess.Popen(
            self.command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        self.wall_s.append(time.perf_counter() - begin)
        self.cpu_s.append(usage.ru_utime + usage.ru_stime)
        self.status = process.returncode = os.waitstatus_to_exitcode(status)


def cases(checker: str, peers: list[str], tree: Path | None, folder: Path) -> list[Case]:
    targets = {"no torch": folder / "plain.py", "one loader": folder / "loader.py"}
    targets["no torch"].write_text(PLAIN)
    targets["one loader"].write_text(LOADER)
    if tree is not None:
        targets["tree"] = tree.resolve()
    check = [*shlex.split(checker), "check"]
    made = [Case("dlcheck --version", [*shlex.split(checker), "--version"])]
    for target, path in targets.items():
        made.append(Case(f"dlcheck check, {target}", [*check, str(path)]))
        for peer in peers:
            name, _, command = peer.partition("=")
            made.append(Case(f"{name}, {target}", [*shlex.split(command), str(path)]))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--tree", type=Path, help="a folder to check as a whole")
    parser.add_argument("--dlcheck", default=f"{sys.executable} -m dlcheck", help="the command to time")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=CMD", help="a command to compare with"
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        timed = cases(options.dlcheck, options.peer, options.tree, folder)
        for number in range(options.runs + 1):
            for case in timed:
                case.run(folder)
                if number == 0:  # this run only fills caches
                    case.cpu_s.clear()
                    case.wall_s.clear()

    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.runs} runs")
    print(f"{'':32} {'CPU s':>7} {'least':>7} {'wall s':>7}  exit")
    for case in timed:
        cpu_s, wall_s = statistics.median(case.cpu_s), statistics.median(case.wall_s)
        print(f"{case.name:32} {cpu_s:7.3f} {min(case.cpu_s):7.3f} {wall_s:7.3f}  {case.status:4}")


if __name__ == "__main__":
    main()
