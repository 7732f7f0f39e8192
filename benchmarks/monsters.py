"""Programs that are far too large, or tied in knots: what a check of them takes, and whether it grows in proportion.

    python benchmarks/monsters.py [--only KIND,KIND] [--scale 1] [--limit-s 600]

Each kind is made in three sizes, each twice the one before, and checked without a cache, with every rule. Printed for
each: the exit status, CPU seconds, peak memory, findings, and the time per unit of size relative to the smallest (1.0:
in proportion). The exit status is 1 where a check breaks down, or takes longer than the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEAD = "import torch\nfrom torch.utils.data import DataLoader, Dataset\n\n\n"
SQUARES = """\
class Squares{n}(Dataset):
    def __init__(self, root):
        self.root = root
        self.names = [root + str(i) for i in range(1000)]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        with open(self.names[index]) as file:
            return torch.tensor([index, len(file.read())])


def train{n}(root):
    loader = DataLoader(Squares{n}(root), batch_size=32, shuffle=True)
    for batch in loader:
        print(batch.sum())


"""


def long_file(folder: Path, size: int) -> None:
    """One file of ``size`` MB: datasets, loaders and loops."""
    unit = len(SQUARES.format(n=10_000))
    text = "".join(SQUARES.format(n=n) for n in range(size * 1_000_000 // unit))
    (folder / "long.py").write_text(HEAD + text)


def long_list(folder: Path, size: int) -> None:
    """One file with a list of ``size`` MB, as generated code has it."""
    items = "".join(f"    [{n}, 'name-{n}', {n / 7:.3f}],\n" for n in range(size * 30_000))
    (folder / "table.py").write_text(
        f"{HEAD}TABLE = [\n{items}]\nloader = DataLoader(TABLE, num_workers=2)\n"
    )


def nested_calls(folder: Path, size: int) -> None:
    """``f(f(f(...)))`` as the dataset of a loader, so deep."""
    text = "f(" * size + "[]" + ")" * size
    (folder / "calls.py").write_text(f"{HEAD}loader = DataLoader({text}, num_workers=2)\n")


def nested_lists(folder: Path, size: int) -> None:
    """``[[[...]]]`` as the dataset of a loader, so deep."""
    (folder / "lists.py").write_text(f"{HEAD}loader = DataLoader({'[' * size}{']' * size}, num_workers=2)\n")


def nested_attributes(folder: Path, size: int) -> None:
    """``a.b.b.b...`` as the dataset of a loader, so long."""
    (folder / "attributes.py").write_text(f"{HEAD}loader = DataLoader(a{'.b' * size}, num_workers=2)\n")


def long_sum(folder: Path, size: int) -> None:
    """``1 + 1 + 1 ...`` as a number of workers, so long."""
    (folder / "sum.py").write_text(f"{HEAD}loader = DataLoader(a, num_workers={'1 + ' * size}1)\n")


def nested_blocks(folder: Path, size: int) -> None:
    """A loader below so many ``if``, one inside the other: Python itself stops at 100."""
    lines = [f"{' ' * depth}if a{depth}:" for depth in range(size)]
    (folder / "blocks.py").write_text(
        HEAD + "\n".join(lines) + f"\n{' ' * size}loader = DataLoader(a, num_workers=2)\n"
    )


def long_elif(folder: Path, size: int) -> None:
    """So many branches of one ``if``: the syntax tree nests them."""
    branches = "".join(f"elif a == {n}:\n    workers = {n}\n" for n in range(1, size))
    text = f"if a == 0:\n    workers = 0\n{branches}"
    (folder / "elif.py").write_text(f"{HEAD}{text}loader = DataLoader(a, num_workers=workers)\n")


def call_chain(folder: Path, size: int) -> None:
    """A ``__getitem__`` whose path goes through so many functions, and opens a file at the end."""
    functions = "".join(f"def f{n}(path):\n    return f{n + 1}(path)\n\n\n" for n in range(size))
    dataset = (
        "class Files(Dataset):\n    def __getitem__(self, index):\n        return f0(self.names[index])\n\n\n"
    )
    end = (
        f"def f{size}(path):\n    return open(path).read()\n\n\nloader = DataLoader(Files(), num_workers=2)\n"
    )
    (folder / "chain.py").write_text(HEAD + functions + dataset + end)


def called_by_all(folder: Path, size: int) -> None:
    """One function that makes a loader, called from so many places."""
    text = "def make(dataset, workers):\n    return DataLoader(dataset, num_workers=workers)\n\n\n"
    calls = "".join(f"loader{n} = make(data{n}, {n})\n" for n in range(size))
    (folder / "called.py").write_text(HEAD + text + calls)


def all_call_all(folder: Path, size: int) -> None:
    """So many functions that each call four others, in circles, and hand on a loader."""
    text = "".join(
        f"def f{n}(loader):\n"
        + "".join(f"    f{(n * k + k) % size}(loader)\n" for k in (2, 3, 5, 7))
        + "    for batch in loader:\n        print(batch)\n\n\n"
        for n in range(size)
    )
    (folder / "circles.py").write_text(f"{HEAD}{text}f0(DataLoader(a, num_workers=2))\n")


def class_chain(folder: Path, size: int) -> None:
    """So many classes, each derived from the one before; a loader of the last."""
    first = (
        "class C0(Dataset):\n    def __getitem__(self, index):\n        return open(self.names[index])\n\n\n"
    )
    classes = "".join(f"class C{n}(C{n - 1}):\n    pass\n\n\n" for n in range(1, size))
    (folder / "classes.py").write_text(f"{HEAD}{first}{classes}loader = DataLoader(C{size - 1}())\n")


def recursive_classes(folder: Path, size: int) -> None:
    """So many classes that derive from each other, and hold each other."""
    text = "".join(
        f"class C{n}(C{(n + 1) % size}, Dataset):\n    def __init__(self):\n        self.other = C{(n * 7) % size}()\n\n"
        f"    def __getitem__(self, index):\n        return self.other[index]\n\n\n"
        for n in range(size)
    )
    (folder / "recursive.py").write_text(f"{HEAD}{text}loader = DataLoader(C0(), num_workers=2)\n")


def loaders(folder: Path, size: int) -> None:
    """So many loaders in one file."""
    text = "".join(f"loader{n} = DataLoader(data[{n}], num_workers=2)\n" for n in range(size))
    (folder / "loaders.py").write_text(HEAD + text)


def cyclic_imports(folder: Path, size: int) -> None:
    """So many modules that import everything from the next and from one far away; each hands a loader on."""
    for n in range(size):
        (folder / f"m{n}.py").write_text(
            f"{HEAD}from m{(n + 1) % size} import *\nfrom m{(n * 7 + 3) % size} import use as other\n\n\n"
            f"def use(loader):\n    other(loader)\n    for batch in loader:\n        print(batch)\n\n\n"
            f"use(DataLoader(data, num_workers=2))\n"
        )


def many_files(folder: Path, size: int) -> None:
    """So many files, in folders of a hundred."""
    for n in range(size):
        package = folder / f"p{n // 100}"
        package.mkdir(exist_ok=True)
        (package / f"m{n}.py").write_text(HEAD + SQUARES.format(n=n))


SMALLEST: dict[Callable[[Path, int], None], int] = {
    long_file: 3,
    long_list: 3,
    nested_calls: 250,
    nested_lists: 250,
    nested_attributes: 1_000,
    long_sum: 1_000,
    nested_blocks: 250,
    long_elif: 1_000,
    call_chain: 1_000,
    called_by_all: 5_000,
    all_call_all: 500,
    class_chain: 500,
    recursive_classes: 500,
    loaders: 25_000,
    cyclic_imports: 500,
    many_files: 2_500,
}
STEPS = (1, 2, 4)


@dataclass(frozen=True)
class Check:
    """What one check took. ``status`` is None where it ran into the limit; ``words``: what it said on stderr."""

    status: int | None
    cpu_s: float
    peak_mb: float
    findings: int
    words: str


def check(folder: Path, limit_s: float) -> Check:
    """Check a folder in a process of its own."""
    output, errors = folder.parent / "stdout", folder.parent / "stderr"
    command = [sys.executable, "-m", "dlcheck", "check", "--no-cache", "--output-format", "json", str(folder)]
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        deadline = time.monotonic() + limit_s
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                process.kill()
                ended = os.wait4(process.pid, 0)
                break
            time.sleep(0.02)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    words = errors.read_text(errors="replace").strip()
    findings = 0
    if process.returncode in (0, 1):
        findings = len(json.loads(output.read_text())["findings"])
    late = time.monotonic() > deadline
    cpu_s, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return Check(None if late else process.returncode, cpu_s, peak_mb, findings, words)


def main() -> int:
    """Make and check each kind in each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", metavar="KIND,KIND", help=", ".join(make.__name__ for make in SMALLEST))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="sizes are multiplied by this (default: %(default)g)"
    )
    parser.add_argument("--limit-s", type=float, default=600.0, help="for one check (default: %(default)g)")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else [make.__name__ for make in SMALLEST]
    failures = 0
    print(f"{'kind':<18} {'size':>8} {'exit':>5} {'CPU s':>7} {'MB':>6} {'findings':>8} {'per unit':>8}")
    for make, smallest in SMALLEST.items():
        if make.__name__ not in only:
            continue
        first = 0.0
        for step in STEPS:
            size = max(1, round(smallest * options.scale * step))
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "project"
                folder.mkdir()
                make(folder, size)
                seen = check(folder, options.limit_s)
            first = first or seen.cpu_s / step
            row = f"{seen.cpu_s:7.1f} {seen.peak_mb:6.0f} {seen.findings:8} {seen.cpu_s / step / first:8.2f}"
            status = "late" if seen.status is None else seen.status
            print(f"{make.__name__:<18} {size:8} {status:>5} {row}", flush=True)
            if seen.words:
                print(f"    {seen.words[:300]}", flush=True)
            # Files that Python cannot read either are status 2, and named.
            broken = "internal error" in seen.words or "Traceback" in seen.words
            failures += broken or seen.status not in (0, 1, 2)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
