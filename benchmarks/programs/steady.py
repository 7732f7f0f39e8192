"""A training at a steady pace, whose fate can be compared: a line for each hundredth (or each) batch, and one at the end.

    python steady.py --workers 2 --rate 100 --seconds 10 [--persistent] [--every 1] [--progress FILE]

The loop takes a batch per ``1 / rate`` seconds; the workers could make more. What it prints depends on the data alone.
"""

from __future__ import annotations

import argparse
import os
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset[torch.Tensor]):
    """Samples of 4 KB, each from its index alone."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1024,), float(index % 1000))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=100.0, help="batches per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--by-clock", action="store_true", help="end after --seconds, however many batches that were"
    )
    parser.add_argument("--epoch", type=int, default=200, help="batches per epoch")
    parser.add_argument("--persistent", action="store_true")
    parser.add_argument("--every", type=int, default=100, help="print the sum of every so many batches")
    parser.add_argument("--progress", help="a file that always holds the number of batches")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batches = max(1, round(arguments.rate * arguments.seconds))
    dataset = Numbers(4 * min(arguments.epoch, batches))
    loader = DataLoader(
        dataset, batch_size=4, num_workers=arguments.workers, persistent_workers=arguments.persistent
    )
    progress = os.open(arguments.progress, os.O_WRONLY | os.O_CREAT) if arguments.progress else None
    count, total, due = 0, 0.0, time.monotonic()
    end = due + arguments.seconds if arguments.by_clock else float("inf")
    while count < batches:
        for batch in loader:
            count += 1
            total += float(batch.sum())
            if count % arguments.every == 0:
                print(count, total, flush=True)
            if progress is not None:
                os.pwrite(progress, b"%12d" % count, 0)
            if due >= end:
                batches = count
            if count == batches:
                break
            # A loop that was held up does not hurry afterwards.
            due = max(due + 1 / arguments.rate, time.monotonic() - 0.1)
            time.sleep(max(0.0, due - time.monotonic()))
    print("done", count, total, flush=True)


if __name__ == "__main__":
    main()
