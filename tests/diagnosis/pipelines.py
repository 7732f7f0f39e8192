"""Small training programs with one known fault each, or none, and the cure of it. For tests and for the
benchmark.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

_PROGRAM = '''\
import json, os, random, signal, sys, time
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

    ``cure``: other arguments of the loader; ``cure_times``: the factor by which ``cured_definitions`` makes
    the culprit faster. ``culprit``: the function that the hottest line must lie in. ``also``: verdicts of
    which one must hold too.
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
    cure_times: int = 0
    also: tuple[str, ...] = ()
    epochs: int = 1
    step_s: float = 0.01
    batch_size: int = 8
    dataset: str = "Data()"
    busy_step: bool = False
    loop: str = ""
    exit_code: int = 0

    def source(self, cured: bool = False) -> str:
        """The program; ``cured``: with its cure."""
        arguments = self.arguments | (self.cure if cured else {})
        if "batch_sampler" not in self.raw_arguments:
            arguments = {"batch_size": self.batch_size} | arguments
        words = "".join(f", {name}={value!r}" for name, value in arguments.items()) + self.raw_arguments
        definitions = self.cured_definitions if cured and self.cured_definitions else self.definitions
        step = "burn(step_s)" if self.busy_step else "time.sleep(step_s)"
        length = self.batches * self.batch_size
        return _PROGRAM.replace("LENGTH", str(length)).format(
            definitions=textwrap.dedent(definitions).strip(),
            step=step,
            dataset=self.dataset,
            arguments=words,
            loop=self.loop or f"train(loader, {self.epochs}, {self.step_s})",
        )


_SLEEP = """
class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        return super().__getitem__(index)

    def read(self, index):
        time.sleep({seconds})
"""

_BURN = """
class Data(Items):
    def __getitem__(self, index):
        self.decode(index)
        return super().__getitem__(index)

    def decode(self, index):
        end = time.thread_time() + {seconds}
        while time.thread_time() < end:
            pass
"""

_COLLATE = """
def slow_collate(items):
    time.sleep({seconds})
    return torch.stack(items)

class Data(Items):
    pass
"""

_STRAGGLER = """
class Data(Items):
    def __getitem__(self, index):
        self.load(index)
        return super().__getitem__(index)

    def load(self, index):
        time.sleep(0.5 if index % 96 == 40 else 0.0015)
"""

_SPREAD = """
class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        self.decode(index)
        self.crop(index)
        self.flip(index)
        return super().__getitem__(index)

    def read(self, index):
        time.sleep(0.002)

    def decode(self, index):
        time.sleep(0.002)

    def crop(self, index):
        time.sleep(0.002)

    def flip(self, index):
        time.sleep(0.002)
"""

PIPELINES = (
    Pipeline(
        "sleep-in-fetch", ("fetch-io",), _SLEEP.format(seconds=0.005), "read", 100,
        {"num_workers": 2}, cure={"num_workers": 4}, also=("too-few-workers",),
    ),
    Pipeline(
        "cpu-in-fetch", ("fetch-cpu",), _BURN.format(seconds=0.004), "decode", 60,
        {"num_workers": 1}, cure={"num_workers": 2},
    ),
    Pipeline(
        "collate-sleeps", ("collate",), _COLLATE.format(seconds=0.06), "slow_collate", 80,
        {"num_workers": 2}, raw_arguments=", collate_fn=slow_collate",
        cured_definitions=_COLLATE.format(seconds=0.006), cure_times=10,
    ),
    Pipeline(
        "restarted-workers", ("startup",), """
        def prepare(worker):
            time.sleep(0.4)

        class Data(Items):
            pass
        """, "", 12, {"num_workers": 2}, ", worker_init_fn=prepare", {"persistent_workers": True}, epochs=6,
    ),
    Pipeline(
        "straggler", ("straggler",), _STRAGGLER, "load", 96, {"num_workers": 2},
        cure={"in_order": False}, step_s=0.02,
    ),
    Pipeline("healthy", ("healthy",), _SLEEP.format(seconds=0.0005), "", 150, {"num_workers": 2}, step_s=0.02),
    Pipeline(
        "inline", ("main-process",), _SLEEP.format(seconds=0.004), "read", 50,
        {"num_workers": 0}, cure={"num_workers": 2}, step_s=0.03,
    ),
    Pipeline(
        "slow-busy-step", ("healthy",), _SLEEP.format(seconds=0.001), "", 60, {"num_workers": 1},
        step_s=0.06, busy_step=True,
    ),
    Pipeline(
        "slow-first-batch", ("healthy",), """
        class Data(Items):
            def __getitem__(self, index):
                if index < 2:
                    time.sleep(0.6)
                return super().__getitem__(index)
        """, "", 150, {"num_workers": 2}, step_s=0.02,
    ),
    Pipeline(
        "pickled-objects", ("transfer",), """
        def keep(items):
            return items

        class Data(Items):
            def __getitem__(self, index):
                return {"image": np.zeros((250, 1000)), "index": index}
        """, "", 80, {"num_workers": 2}, ", collate_fn=keep", step_s=0.002,
    ),
    Pipeline(
        "list-of-strings", ("memory-growth",), """
        class Data(Items):
            def __init__(self):
                self.names = [f"image-{number:012d}.jpg" for number in range(1_500_000)]

            def __getitem__(self, index):
                for k in range(index * 700, index * 700 + 700):
                    name = self.names[k % len(self.names)]
                return torch.full((16,), float(len(name)))
        """, "", 260, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "too-many-workers", ("oversubscribed",), _BURN.format(seconds=0.004), "decode", 80,
        {"num_workers": 8}, cure={"num_workers": 2}, step_s=0.002,
    ),
    Pipeline(
        "spread-over-lines", ("too-few-workers",), _SPREAD, "", 50, {"num_workers": 1}, cure={"num_workers": 4},
    ),
    Pipeline(
        "slow-sampler", ("dispatch",), """
        class Sampler:
            def __len__(self):
                return 80

            def __iter__(self):
                for batch in range(80):
                    time.sleep(0.03)
                    yield list(range(batch * 8, batch * 8 + 8))

        class Data(Items):
            pass
        """, "__iter__", 80, {"num_workers": 2}, ", batch_sampler=Sampler()",
    ),
    Pipeline(
        "uneven-shards", ("imbalance", "fetch-io"), """
        class Data(IterableDataset):
            def __iter__(self):
                worker = get_worker_info().id
                for number in range(80 if worker else 560):
                    time.sleep(0.001)
                    yield torch.full((16,), float(number))
        """, "__iter__", 80, {"num_workers": 2}, also=("imbalance", "fetch-io", "too-few-workers"),
        step_s=0.002,
    ),
    Pipeline(
        "spawned", ("fetch-io",), _SLEEP.format(seconds=0.006), "read", 120,
        {"num_workers": 2, "multiprocessing_context": "spawn"}, cure={"num_workers": 4},
    ),
    Pipeline(
        "killed-worker", ("worker-killed",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "raising-dataset", ("dataset-error",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    raise ValueError("broken sample")
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
)  # fmt: skip


def pipeline(name: str) -> Pipeline:
    """The pipeline of that name."""
    return next(p for p in PIPELINES if p.name == name)
