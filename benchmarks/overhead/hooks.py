"""What the probe's hooks cost each batch: epochs with them and without, in turns, within one process.

    python -m benchmarks.overhead.hooks [--case spin-1ms-2w ...] [--rounds 40] [--epoch-s 0.2]

Machines are faster in one second than in the next, so that whole runs tell differences of a few percent only after hours.
Here an epoch with hooks stands next to one without, some tenths of a second apart. Workers are started twice, with hooks
and without, and stay. What runs beside the training (launcher, py-spy) is not in it: see ``benchmarks.overhead``.

Printed, for each case: the time per batch without hooks, what they add to it, to the CPU time of the process that loops and to
that of its workers (medians over the rounds), and throughput with hooks over that without, with an interval that holds the
median in at least 95 of 100 such benchmarks. CPU time is the sharper figure where others use the machine, too.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data import dataloader as torch_module

from benchmarks.overhead.__main__ import CASES, interval, print_ground, units_of, write_data
from benchmarks.overhead.loop import BATCH_SIZE, dataset_of
from dlcheck.probe import hooks, patches

_FEWEST_BATCHES, _MOST_BATCHES = 5, 20_000


@dataclass(frozen=True)
class Epoch:
    """Nanoseconds per batch, from the first on: by the clock, and of CPU in the process that loops and in its workers."""

    wall: float
    loop: float
    workers: float


def main() -> None:
    """Measure the chosen cases, a case at a time, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=", ".join(CASES)
    )
    parser.add_argument("--rounds", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--epoch-s", type=float, default=0.2, help="of an epoch (default: %(default)g)")
    options = parser.parse_args()
    print_ground()
    print(
        "| loading | us/batch without | hooks, us/batch | of CPU, loop | of CPU, workers | throughput, with / without |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for case in options.case:
        print(_row(case, measure(case, options.rounds, options.epoch_s)), flush=True)


def measure(case: str, rounds: int, epoch_s: float) -> list[tuple[Epoch, Epoch]]:
    """The epochs of each round, without hooks and with them."""
    kind, *amount, workers = case.removesuffix("w").split("-")
    units = units_of(float(amount[0].removesuffix("ms"))) if amount else 0
    with tempfile.TemporaryDirectory() as scratch:
        data, recording = Path(scratch, "data"), Path(scratch, "recording")
        write_data(kind, data)
        Path(recording, "events").mkdir(parents=True)
        batches = _FEWEST_BATCHES
        for _ in range(2):
            loader = _loader(kind, batches, units, data, int(workers))
            fitting = round(epoch_s * 1e9 / _epoch(loader, hooked=False).wall)
            batches = min(_MOST_BATCHES, max(_FEWEST_BATCHES, fitting))
        loaders = {}
        for hooked in (False, True):
            loaders[hooked] = _loader(kind, batches, units, data, int(workers))
            _toggle(hooked, recording)
            _epoch(loaders[hooked], hooked)
        chance, found = random.Random(case), []
        for _ in range(rounds):
            epochs = {}
            for hooked in chance.sample((False, True), 2):
                _toggle(hooked, recording)
                epochs[hooked] = _epoch(loaders[hooked], hooked)
            found.append((epochs[False], epochs[True]))
        patches.restore()
    return found


def _toggle(hooked: bool, recording: Path) -> None:
    patches.restore()
    if hooked:
        hooks.install(torch_module, str(recording))


def _loader(kind: str, batches: int, units: int, data: Path, workers: int) -> DataLoader[Any]:
    size = BATCH_SIZE[kind]
    dataset = dataset_of(kind, batches * size, units, data)
    return DataLoader(dataset, size, num_workers=workers, persistent_workers=workers > 0)


def _epoch(loader: DataLoader[Any], hooked: bool) -> Epoch:
    batches: Any = iter(loader)
    assert ("_dlcheck" in vars(batches)) == hooked
    workers = [worker.pid for worker in getattr(batches, "_workers", ())]
    next(batches)
    begun = time.perf_counter_ns(), time.process_time_ns(), sum(map(_cpu_ns, workers))
    count = max(1, sum(1 for _ in batches))
    ended = time.perf_counter_ns(), time.process_time_ns(), sum(map(_cpu_ns, workers))
    return Epoch(*((end - begin) / count for begin, end in zip(begun, ended, strict=True)))


def _cpu_ns(pid: int) -> int:
    """Of all threads of a process; see Documentation/scheduler/sched-stats.rst of Linux."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _row(case: str, rounds: list[tuple[Epoch, Epoch]]) -> str:
    ratios = [without.wall / with_.wall for without, with_ in rounds]
    low, high = interval(ratios)
    without_us = statistics.median(without.wall for without, _ in rounds) / 1e3
    added = " | ".join(
        f"{statistics.median(getattr(with_, name) - getattr(without, name) for without, with_ in rounds) / 1e3:.0f}"
        for name in ("wall", "loop", "workers")
    )
    return (
        f"| {case} | {without_us:.0f} | {added} | {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}) |"
    )


if __name__ == "__main__":
    main()
