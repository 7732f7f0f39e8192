"""How long ``dlcheck report`` takes, and how much memory, on recordings of large jobs that were simulated."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.simulated import Job, write_recordings


def main() -> None:
    """Write the recordings, make each report in a process of its own, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ranks", "workers", "steps", "nodes"):
        parser.add_argument(
            f"--{name}", type=int, default=getattr(Job(), name), help="(default: %(default)s)"
        )
    parser.add_argument("--formats", default="text,json", help="(default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep the recordings here (default: a temporary folder)")
    options = parser.parse_args()
    job = Job(options.ranks, options.workers, options.steps, options.nodes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        recordings = sorted(folder.glob("node*")) or write_recordings(folder, job)
        mega_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        print(
            f"{job.ranks} ranks x {job.workers} workers x {job.steps} steps on {job.nodes} nodes: {mega_bytes:.0f} MB;"
            f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
        )
        for name in options.formats.split(","):
            output = Path(temporary) / f"report.{name}"
            wall_s, cpu_s, peak = _measure(["--format", name, "--output", str(output), *map(str, recordings)])
            print(
                f"{name:12} {wall_s:6.1f} s  CPU {cpu_s:6.1f} s  peak {peak / 1e6:6.0f} MB"
                f"  output {output.stat().st_size / 1e6:.2f} MB",
                flush=True,
            )


def _measure(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, and the most memory that all processes together had to themselves or shared (PSS)."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "dlcheck", "report", *arguments], stderr=subprocess.DEVNULL
    )
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(psutil.Process(child.pid), peak), daemon=True)
    watcher.start()
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"dlcheck report ended with status {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, peak[0]


def _watch(process: psutil.Process, peak: list[int]) -> None:
    while True:
        try:
            processes = [process, *process.children(recursive=True)]
        except psutil.Error:
            return
        total = 0
        for one in processes:
            # One that has just ended has no memory.
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
        peak[0] = max(peak[0], total)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
