"""Whether the probe stays as it is over a long run, and over many short ones: memory, descriptors, sizes, leftovers.

    python benchmarks/endurance.py --minutes 60 --rate 200 --workers 16
    python benchmarks/endurance.py --short-runs 1000

A long run is looked at every 10 s: memory, descriptors and CPU of each process, ours and theirs, size of the recording, batches.
Printed are the first and the last tenth, and the slope without the first tenth with its 95 % interval (residuals taken to be
correlated as neighbours are). The exit status is 1 where something grows by more than ``_NOISE`` and surely does, where the pace
drops, or where a run fails or leaves something behind. ``memory`` is the proportional share of anonymous memory (Pss_Anon),
``mapped`` that of files, the recording among them: it may grow up to the size of an event file, and no further. So may the
number of descriptors that maps of the event file hold below Python 3.13 (``of recording``).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from traces_left import Place, own_shared_memory, role_of

_PROGRAM = Path(__file__).parent / "programs" / "steady.py"
_NOISE = {
    "memory MB": (0.03, 2.0),
    "descriptors": (0.03, 1.0),
    "threads": (0.03, 1.0),
    "CPU ms/batch": (0.1, 0.1),
}
"""How much growth from begin to end is none: a share, or an amount if that is more."""
_MOST = {"mapped MB": 140.0, "of recording": 56.0}
"""Figures that grow with an event file: up to this. It ends at 67 MB and 26 maps; a forked worker inherits those of the loop."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Series:
    """Figures by role and name, each with its times in seconds."""

    values: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, role: str, name: str, t: float, value: float) -> None:
        self.values.setdefault((role, name), []).append((t, value))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="length of the run (default: %(default)g)")
    parser.add_argument("--rate", type=float, default=200.0, help="batches per second (default: %(default)g)")
    parser.add_argument("--workers", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--epoch", type=float, default=30.0, help="seconds per epoch (default: %(default)g)")
    parser.add_argument("--fresh-workers", action="store_true", help="new workers for each epoch")
    parser.add_argument(
        "--every", type=float, default=10.0, help="seconds between looks (default: %(default)g)"
    )
    parser.add_argument("--short-runs", type=int, metavar="N", help="N short runs in a row instead")
    arguments = parser.parse_args()
    private = own_shared_memory()
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}", end="")
    print(", /dev/shm of its own" if private else ", /dev/shm shared with others", flush=True)
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        wrong = (
            short_runs(Path(folder), arguments) if arguments.short_runs else long_run(Path(folder), arguments)
        )
    print("\n".join(f"WRONG: {line}" for line in wrong) or "nothing grows, nothing is left")
    sys.exit(1 if wrong else 0)


def _command(recording: Path, *options: str) -> list[str]:
    probe = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--no-check", "--output", str(recording)]
    return [*probe, str(_PROGRAM), *options]


def long_run(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """One long run; what is wrong with it."""
    place, recording, progress = Place(folder), folder / "recording", folder / "progress"
    options = [
        "--workers",
        str(arguments.workers),
        "--rate",
        str(arguments.rate),
        "--progress",
        str(progress),
    ]
    options += [
        "--seconds",
        str(arguments.minutes * 60),
        "--epoch",
        str(round(arguments.rate * arguments.epoch)),
    ]
    options += ["--by-clock"] if arguments.fresh_workers else ["--by-clock", "--persistent"]
    series = Series()
    with (folder / "stdout").open("wb") as output:
        run = subprocess.Popen(
            _command(recording, *options), env=place.environment(), stdout=output, stderr=subprocess.DEVNULL
        )
        _watch(run, place, recording, progress, series, arguments.every)
    wrong = [f"exit status {run.returncode}"] if run.returncode else []
    wrong += [f"left behind: {line}" for line in place.left(10.0)]
    wrong += _judge(series)
    size = _size(recording)
    begun = time.monotonic()
    report = subprocess.run(
        [sys.executable, "-m", "dlcheck", "report", "--format", "json", str(recording)],
        capture_output=True,
        check=False,
    )
    print(
        f"recording {size / 1e6:.0f} MB; report of it: {time.monotonic() - begun:.1f} s, status {report.returncode}"
    )
    print("last line of the training:", (folder / "stdout").read_text().splitlines()[-1:])
    return wrong + ([f"dlcheck report: {report.stderr.decode()[-300:]}"] if report.returncode else [])


def _watch(
    run: subprocess.Popen[bytes], place: Place, recording: Path, progress: Path, series: Series, every: float
) -> None:
    begun, before = time.monotonic(), (0.0, 0, 0.0)
    cpu: dict[int, float] = {}
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(every)
            return
        t = time.monotonic() - begun
        seen: dict[str, list[dict[str, float]]] = {}
        for process in place.processes():
            with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
                role, look = role_of(process, run.pid, str(_PROGRAM)), _look(process.pid, recording)
                seen.setdefault(role, []).append(look)
                spent = look.pop("cpu s")
                # py-spy comes and goes between two looks, and its CPU time with it.
                cpu[process.pid] = spent if role != "py-spy" else 0.0
                if role == "launcher":
                    series.add(role, "CPU s/h", t, 3600 * spent / t)
        count = int(progress.read_bytes() or b"0") if progress.exists() else 0
        if count == before[1]:
            # Not begun, or over.
            continue
        total = sum(cpu.values())
        if before[1]:
            series.add("all", "batches/s", t, (count - before[1]) / (t - before[0]))
            series.add("all", "CPU ms/batch", t, 1000 * (total - before[2]) / (count - before[1]))
        before = (t, count, total)
        series.add("all", "recording MB", t, _size(recording) / 1e6)
        for role, looks in seen.items():
            for name in looks[0]:
                series.add(role, name, t, sum(look[name] for look in looks) / len(looks))


def _look(pid: int, recording: Path) -> dict[str, float]:
    """Memory in MB, descriptors, threads and CPU seconds of a process."""
    folder = Path(f"/proc/{pid}")
    lines = (line.split() for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    stat = (folder / "stat").read_text().rpartition(") ")[2].split()
    targets = [str(path.readlink()) for path in (folder / "fd").iterdir()]
    own = sum(target.startswith(str(recording)) for target in targets)
    return {
        "memory MB": kilobytes["Pss_Anon"] / 1000,
        "mapped MB": (kilobytes["Pss_File"] + kilobytes["Pss_Shmem"]) / 1000,
        "RSS MB": kilobytes["Rss"] / 1000,
        "descriptors": len(targets) - own,
        "of recording": own,
        "threads": int(stat[17]),
        "cpu s": (int(stat[11]) + int(stat[12])) / _TICKS,
    }


def _size(recording: Path) -> int:
    """Bytes on disk."""
    total = 0
    for folder, _, files in os.walk(recording):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_blocks * 512
    return total


def _judge(series: Series) -> list[str]:
    """Print the table; what grows beyond noise."""
    wrong = []
    print(
        f"{'role':<9} {'figure':<13} {'first tenth':>11} {'last tenth':>10}   slope per hour (95 % interval)"
    )
    for (role, name), points in series.values.items():
        if len(points) < 11:
            continue
        points = points[:-1]  # the run may have ended within the last look
        tenth = len(points) // 10
        first = sum(v for _, v in points[:tenth]) / tenth
        last = sum(v for _, v in points[-tenth:]) / tenth
        slope, error = _slope(points[tenth:])
        hours = (points[-1][0] - points[tenth][0]) / 3600
        print(
            f"{role:<9} {name:<13} {first:11.2f} {last:10.2f}   {3600 * slope:+.2f} ± {3600 * error:.2f}",
            flush=True,
        )
        if name in _NOISE:
            share, least = _NOISE[name]
            if 3600 * (slope - error) * hours > max(least, share * first):
                wrong.append(f"{name} of {role} grows: {first:.2f} to {last:.2f}")
        elif name in _MOST and last - first > _MOST[name]:
            wrong.append(f"{name} of {role} grows without bound: {first:.0f} to {last:.0f}")
        elif name == "batches/s" and 3600 * (slope + error) * hours < -0.03 * first:
            wrong.append(f"the pace drops: {first:.1f} to {last:.1f} batches/s")
    return wrong


def _slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: per second, and half of its 95 % interval, with residuals that resemble their neighbours."""
    n = len(points)
    mean_t, mean_v = sum(t for t, _ in points) / n, sum(v for _, v in points) / n
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in points) / spread
    rest = [v - mean_v - slope * (t - mean_t) for t, v in points]
    squares = sum(r * r for r in rest)
    if not squares:
        return slope, 0.0
    alike = sum(a * b for a, b in pairwise(rest)) / squares
    fewer = (1 + max(0.0, alike)) / max(0.02, 1 - max(0.0, alike))
    return slope, 2 * (squares / max(1, n - 2) / spread * fewer) ** 0.5


def short_runs(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Many short runs, one after the other; what is wrong with them."""
    options = ["--workers", "2", "--rate", "400", "--seconds", "0.1", "--every", "1"]
    place = Place(folder)
    plain = subprocess.run(
        [sys.executable, str(_PROGRAM), *options], env=place.environment(), capture_output=True, check=False
    )
    wrong, series, descriptors = [], Series(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(arguments.short_runs):
        recording, begun = folder / f"recording-{number % 2}", time.monotonic()
        done = subprocess.run(
            _command(recording, *options), env=place.environment(), capture_output=True, check=False
        )
        series.add("run", "seconds", number, time.monotonic() - begun)
        series.add("run", "recording KB", number, _size(recording) / 1e3)
        series.add("run", "files", number, sum(len(files) for _, _, files in os.walk(recording)))
        if (done.returncode, done.stdout) != (plain.returncode, plain.stdout):
            wrong.append(f"run {number}: status {done.returncode}, {done.stderr.decode()[-300:]}")
        if not (recording / "report.json").exists():
            wrong.append(f"run {number}: no report")
        wrong += [f"run {number} left behind: {line}" for line in place.left(5.0)]
        place.end_all()
        subprocess.run(["rm", "-rf", str(recording)], check=True)
        if number % 50 == 49:
            print(f"{number + 1} runs, {len(wrong)} wrong", flush=True)
        if len(wrong) > 20:
            break
    if len(list(Path("/proc/self/fd").iterdir())) > descriptors:
        wrong.append("descriptors of this process were left open")
    print(f"{'figure':<13} {'first tenth':>11} {'last tenth':>10}")
    for (_, name), points in series.values.items():
        tenth = max(1, len(points) // 10)
        first, last = (sum(v for _, v in part) / tenth for part in (points[:tenth], points[-tenth:]))
        print(f"{name:<13} {first:11.2f} {last:10.2f}")
        if name != "seconds" and last > 1.1 * first + 2:
            wrong.append(f"{name} of a run grows: {first:.1f} to {last:.1f}")
    return wrong


if __name__ == "__main__":
    main()
