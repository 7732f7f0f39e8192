"""A training program with a known fault, or none, and what is right to say of it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

_PROGRAM = '''\
import ctypes, json, logging, os, pickle, random, re, signal, subprocess, sys, tempfile, threading, time, zlib
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


def burn(seconds):
    """Use the CPU for this long, by this thread's own clock."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Items(Dataset):
    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return torch.full((16,), float(index))


{definitions}


def train(loader, epochs, step_s):
    for epoch in range(epochs):
        for batch in loader:
            {step}


def main():
    loader = DataLoader({dataset}{arguments})
    begun = time.perf_counter()
{loop}
    print("loop_s", time.perf_counter() - begun)


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A program, the verdicts that are right for it (the first is the best), and its cure.

    ``verdicts``: on the loader of the dataset ``judged``; ``others``: right verdicts on loaders of other datasets, by
    class. ``also``: verdicts of which one must hold too. ``culprit``: the function that the hottest line must lie in.
    ``never``: settings that no advice may change, since that gains nothing, or does harm.

    ``cure``: other arguments of the loader; ``cure_times``: the factor by which ``cured_definitions`` makes the
    culprit faster. Both can be predicted; a cure by ``cured_definitions`` or ``cured_loop`` alone cannot, and shows
    that there was a fault. ``ranks``: processes of a distributed job; ``shm_mb``: shared memory that it is given;
    ``exit_code``: None where any is right.
    """

    name: str
    verdicts: tuple[str, ...]
    definitions: str
    culprit: str = ""
    batches: int = 60
    arguments: dict[str, Any] = field(default_factory=dict)
    raw_arguments: str = ""
    cure: dict[str, Any] = field(default_factory=dict)
    cured_definitions: str = ""
    cured_loop: str = ""
    cure_times: int = 0
    also: tuple[str, ...] = ()
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)
    never: tuple[str, ...] = ()
    epochs: int = 1
    step_s: float = 0.01
    batch_size: int = 8
    dataset: str = "Data()"
    judged: str = "Data"
    busy_step: bool = False
    loop: str = ""
    ranks: int = 1
    shm_mb: int = 0
    exit_code: int | None = 0

    @property
    def is_healthy(self) -> bool:
        """Whether no fault may be named."""
        return self.verdicts[0] == "healthy"

    @property
    def is_cured(self) -> bool:
        """Whether there is a cure to be measured."""
        return bool(self.cure or self.cured_definitions or self.cured_loop)

    def source(self, cured: bool = False) -> str:
        """The program; ``cured``: with its cure."""
        arguments = self.arguments | (self.cure if cured else {})
        if "batch_sampler" not in self.raw_arguments:
            arguments = {"batch_size": self.batch_size} | arguments
        words = "".join(f", {name}={value!r}" for name, value in arguments.items()) + self.raw_arguments
        definitions = self.cured_definitions if cured and self.cured_definitions else self.definitions
        loop = self.cured_loop if cured and self.cured_loop else self.loop
        step = "burn(step_s)" if self.busy_step else "time.sleep(step_s)"
        loop = textwrap.dedent(loop).strip() or f"train(loader, {self.epochs}, {self.step_s})"
        length = self.batches * self.batch_size
        return _PROGRAM.replace("LENGTH", str(length)).format(
            definitions=textwrap.dedent(definitions).strip(),
            step=step,
            dataset=self.dataset,
            arguments=words,
            loop=textwrap.indent(loop, "    "),
        )


SLEEP = """
class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        return super().__getitem__(index)

    def read(self, index):
        time.sleep({seconds})
"""

BURN = """
class Data(Items):
    def __getitem__(self, index):
        self.decode(index)
        return super().__getitem__(index)

    def decode(self, index):
        end = time.thread_time() + {seconds}
        while time.thread_time() < end:
            pass
"""
