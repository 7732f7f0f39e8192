"""What the probe's hooks cost each batch: epochs with them and without, in turns, within one process.

    python -m benchmarks.overhead.hooks [--case spin-1ms-2w ...] [--rounds 40] [--epoch-s 0.2]

Machines are faster in one second than in the next, so that whole runs tell differences of a few percent only after hours.
Here an epoch with hooks stands next to one without, some tenths of a second apart. Workers are started twice, with hooks
and without, and stay. What runs beside the training (launcher, py-spy) is not in it: see ``benchmarks.overhead``.

Printed, for each case: the time per batch without hooks, what they add to it (both medians over the rounds), and
throughput with hooks over that without, with an interval that holds the median in at least 95 of 100 such benchmarks.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data import dataloader as torch_module

from benchmarks.overhead.__main__ import CASES, interval, print_ground, units_of, write_data
from benchmarks.overhead.loop import BATCH_SIZE, dataset_of
from dlcheck.probe import hooks, patches

_FEWEST_BATCHES, _MOST_BATCHES = 5, 20_000


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
    print("| loading | us/batch without | hooks, us/batch | throughput, with / without |")
    print("| --- | --- | --- | --- |")
    for case in options.case:
        print(_row(case, measure(case, options.rounds, options.epoch_s)), flush=True)


def measure(case: str, rounds: int, epoch_s: float) -> list[tuple[float, float]]:
    """Nanoseconds per batch, without hooks and with them, of each round."""
    kind, *amount, workers = case.removesuffix("w").split("-")
    units = units_of(float(amount[0].removesuffix("ms"))) if amount else 0
    with tempfile.TemporaryDirectory() as scratch:
        data, recording = Path(scratch, "data"), Path(scratch, "recording")
        write_data(kind, data)
        Path(recording, "events").mkdir(parents=True)
        batches = _FEWEST_BATCHES
        for _ in range(2):
            loader = _loader(kind, batches, units, data, int(workers))
            batches = min(
                _MOST_BATCHES, max(_FEWEST_BATCHES, round(epoch_s * 1e9 / _epoch(loader, hooked=False)))
            )
        loaders = {}
        for hooked in (False, True):
            loaders[hooked] = _loader(kind, batches, units, data, int(workers))
            _toggle(hooked, recording)
            _epoch(loaders[hooked], hooked)
        chance, found = random.Random(case), []
        for _ in range(rounds):
            ns = {}
            for hooked in chance.sample((False, True), 2):
                _toggle(hooked, recording)
                ns[hooked] = _epoch(loaders[hooked], hooked)
            found.append((ns[False], ns[True]))
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


def _epoch(loader: DataLoader[Any], hooked: bool) -> float:
    """Nanoseconds per batch, from the first on."""
    batches = iter(loader)
    assert ("_dlcheck" in vars(batches)) == hooked
    next(batches)
    begun = time.perf_counter_ns()
    count = sum(1 for _ in batches)
    return (time.perf_counter_ns() - begun) / max(1, count)


def _row(case: str, rounds: list[tuple[float, float]]) -> str:
    low, high = interval([without / with_ for without, with_ in rounds])
    ratio = statistics.median(without / with_ for without, with_ in rounds)
    without_us = statistics.median(without for without, _ in rounds) / 1e3
    added_us = statistics.median(with_ - without for without, with_ in rounds) / 1e3
    return f"| {case} | {without_us:.0f} | {added_us:.0f} | {ratio:.3f} ({low:.3f} to {high:.3f}) |"


if __name__ == "__main__":
    main()
