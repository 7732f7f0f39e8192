"""What the probe costs: pairs of runs with it and without it, interleaved.

    python -m benchmarks.overhead [--case spin-1ms-2w ...] [--ways dlcheck,py-spy] [--pairs 9] [--seconds 4] [--json F]

A case is a kind of loading (a fixed amount of work per batch, or ``tiny`` numbers, ``jpeg`` files, ``large`` samples of
5 MB, rows of ``hdf5``) and a number of workers. The loop does nothing else, which is the hardest case: whatever slows
loading, or takes one of its cores, slows the loop.

Printed, for each way and case: throughput over that of the plain run of the same round, the median of all rounds with
an interval that holds it in at least 95 of 100 such benchmarks, whatever the distribution; the CPU of the processes
beside the training while it loads, in percent of a core; what was written, in MB per minute and bytes per batch.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.overhead.loop import LENGTH
from benchmarks.overhead.ways import WAYS

_BATCH_MS = ("0.1", "1", "10", "100")
CASES = [f"spin-{ms}ms-{workers}w" for ms in _BATCH_MS for workers in (0, 2)]
CASES += [f"{kind}-{workers}w" for kind in ("tiny", "jpeg", "large", "hdf5") for workers in (0, 2)]
_LIMIT_S = 240
_MOST_BATCHES = 200_000


@dataclass(frozen=True, slots=True)
class Run:
    """``ratio``: throughput over that of the plain run of its round; ``cpu``: of the watchers, share of one core."""

    ratio: float
    cpu: float
    seconds: float
    written: int
    batches: int


def main() -> None:
    """Measure the chosen cases, a case at a time, and print a row for each and each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=", ".join(CASES)
    )
    parser.add_argument("--ways", default="dlcheck", help="of " + ", ".join(WAYS) + " (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=9, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of loop (default: %(default)g)")
    parser.add_argument("--json", type=Path, help="add each run to this file, a line for each")
    options = parser.parse_args()
    ways = options.ways.split(",")
    print_ground()
    print("| loading | tool | throughput, with / without | CPU beside | MB/min | bytes/batch |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in options.case:
        runs = measure(case, ways, options.pairs, options.seconds)
        for way in ways:
            print(_row(case, way, runs[way]), flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as file:
                for way in ways:
                    for run in runs[way]:
                        print(json.dumps({"case": case, "way": way, **asdict(run)}), file=file)


def print_ground() -> None:
    code = "import torch; print(torch.__version__)"
    torch = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    print(f"torch {torch.strip()}, Python {platform.python_version()}, {os.cpu_count()} CPUs", end=", ")
    print(f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}\n", flush=True)


def measure(case: str, ways: Sequence[str], pairs: int, seconds: float) -> dict[str, list[Run]]:
    """The runs of each way; each round is one run of each, in random order, and a plain one."""
    kind, *amount, workers = case.removesuffix("w").split("-")
    order = random.Random(case)
    found: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "data")
        write_data(kind, data)
        units = units_of(float(amount[0].removesuffix("ms"))) if amount else 0
        batches = _batches(kind, workers, units, data, seconds)
        for _ in range(pairs):
            turn = [*ways, "plain"]
            order.shuffle(turn)
            ended = {way: _run(way, [kind, workers, str(batches), str(units), str(data)]) for way in turn}
            plain_s = ended["plain"][0]
            for way in ways:
                loop_s, cpu_s, written = ended[way]
                found[way].append(Run(plain_s / loop_s, cpu_s / loop_s, loop_s, written, batches))
    return found


def _run(way: str, loop: list[str]) -> tuple[float, float, int]:
    """Seconds of the loop, CPU seconds of the watchers, and bytes that were written."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "out.json"), Path(folder, "log")
        command = WAYS[way].command([*loop, str(out)], Path(folder))
        environment = {**os.environ, "OVERHEAD_BENCHMARK": str(os.getpid())}
        with log.open("wb") as file:
            done = subprocess.run(
                command, env=environment, cwd=folder, stdout=file, stderr=file, timeout=_LIMIT_S, check=False
            )
        if not out.exists():
            sys.exit(f"{way}: {' '.join(command)}: status {done.returncode}\n{log.read_text()[-2000:]}")
        result = json.loads(out.read_text(encoding="utf-8"))
        log.unlink()
        out.unlink()
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        cpu_s = result["watchers_cpu_s"] if WAYS[way].beside else math.nan
        return result["seconds"], cpu_s, written


def units_of(milliseconds: float) -> int:
    """How often the loop of a sample runs, for a batch of 8 to take so long on this machine when it is idle."""
    units, begun = 2_000_000, time.perf_counter()
    total = 0
    for number in range(units):
        total += number
    return max(1, round(milliseconds / 8e3 * units / (time.perf_counter() - begun)))


def _batches(kind: str, workers: str, units: int, data: Path, seconds: float) -> int:
    """How many batches take about so long; found with a short run, and a longer one."""
    batches = 30
    for part in (0.25, 1.0):
        loop_s = _run("plain", [kind, workers, str(batches), str(units), str(data)])[0]
        batches = min(_MOST_BATCHES, max(20, round(part * seconds * batches / loop_s)))
    return batches


def write_data(kind: str, folder: Path) -> None:
    folder.mkdir()
    if kind == "jpeg":
        import numpy as np
        from PIL import Image

        for number in range(LENGTH[kind]):
            # Smooth noise: as large as a photograph of that size, about.
            noise = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((320, 320)).save(folder / f"{number:03}.jpg", quality=90)
    if kind == "hdf5":
        import h5py
        import numpy as np

        with h5py.File(folder / "rows.h5", "w") as file:
            file["rows"] = np.zeros((LENGTH[kind], 16_384), dtype=np.float32)


def _row(case: str, way: str, runs: Sequence[Run]) -> str:
    low, high = interval([run.ratio for run in runs])
    median = statistics.median(run.ratio for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    rate = statistics.median(run.written / 1e6 / run.seconds * 60 for run in runs)
    each = statistics.median(run.written / run.batches for run in runs)
    beside = "in the process" if math.isnan(cpu) else f"{cpu:.1%}"
    return f"| {case} | {way} | {median:.3f} ({low:.3f} to {high:.3f}) | {beside} | {rate:.2f} | {each:.0f} |"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Bounds of the median by order statistics: at least 95 % of the time it lies between them; with fewer than six
    values, between the least and the greatest."""
    ordered, count = sorted(values), len(values)
    beyond, rank = 0.0, 0
    while rank < count // 2:
        beyond += 2 * math.comb(count, rank) / 2**count
        if beyond > 0.05:
            break
        rank += 1
    rank = max(0, rank - 1)
    return ordered[rank], ordered[count - 1 - rank]


if __name__ == "__main__":
    main()
