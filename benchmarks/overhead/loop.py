"""The training loop that is timed: it does nothing but load, so that whatever slows loading shows in full.

    python loop.py CASE WORKERS BATCHES UNITS DATA OUT [traceml]

Writes to OUT, as JSON, the seconds from the first batch to the last, and the CPU seconds that the processes which
watch it used meanwhile. ``UNITS``: work of one sample in the case ``spin``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

BATCH_SIZE = {"spin": 8, "tiny": 32, "jpeg": 32, "large": 2, "hdf5": 32}
LENGTH = {"jpeg": 256, "hdf5": 4096}
_TICK = os.sysconf("SC_CLK_TCK")


class Spin(Dataset[Any]):
    """Samples of a fixed amount of work, whatever the clock says."""

    def __init__(self, length: int, units: int) -> None:
        self._length, self._units = length, units

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> torch.Tensor:
        total = 0
        for number in range(self._units):
            total += number
        return torch.tensor(total % 7)


class Tiny(Spin):
    def __getitem__(self, index: int) -> int:
        return index


class Large(Spin):
    """Samples of 5 MB."""

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1_250_000,), float(index))


class Jpeg(Spin):
    def __init__(self, length: int, files: list[bytes]) -> None:
        super().__init__(length, 0)
        self._files = files

    def __getitem__(self, index: int) -> torch.Tensor:
        import numpy as np
        from PIL import Image

        image = (
            Image.open(io.BytesIO(self._files[index % len(self._files)])).convert("RGB").resize((224, 224))
        )
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


class Hdf5(Spin):
    """Rows of 64 KB, from a file that each process opens for itself."""

    def __init__(self, length: int, path: Path) -> None:
        super().__init__(length, 0)
        self._path = path
        self._file: Any = None

    def __getitem__(self, index: int) -> torch.Tensor:
        import h5py

        if self._file is None:
            self._file = h5py.File(self._path, "r")
        return torch.from_numpy(self._file["rows"][index % LENGTH["hdf5"]])


def dataset_of(case: str, length: int, units: int, data: Path) -> Dataset[Any]:
    if case == "jpeg":
        return Jpeg(length, [path.read_bytes() for path in sorted(data.glob("*.jpg"))])
    if case == "hdf5":
        return Hdf5(length, data / "rows.h5")
    return {"spin": Spin, "tiny": Tiny, "large": Large}[case](length, units)


def watchers_cpu_s(root: int) -> float:
    """CPU seconds of all that descends from ``root``, ended children included, without this process and its own."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
                seconds[int(folder.name)] = sum(map(int, fields[11:15])) / _TICK
    total, left = 0.0, [root]
    while left:
        pid = left.pop()
        if pid != os.getpid():
            total += seconds.get(pid, 0.0)
            left += children.get(pid, [])
    return total


def root_of_run() -> int:
    """The process that the benchmark started: this one, or that by which it was started in the end."""
    benchmark, pid = int(os.environ["OVERHEAD_BENCHMARK"]), os.getpid()
    while True:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if parent in (benchmark, 0):
            return pid
        pid = parent


@contextlib.contextmanager
def nothing(*_: object) -> Iterator[None]:
    yield


def main() -> None:
    case, workers, batches, units, data, out = sys.argv[1:7]
    step: Any = nothing
    model = torch.nn.Linear(1, 1)
    if sys.argv[7:] == ["traceml"]:
        import traceml_ai  # type: ignore[import-not-found]

        traceml_ai.init()
        step = traceml_ai.trace_step
    size = BATCH_SIZE[case]
    dataset = dataset_of(case, int(batches) * size, int(units), Path(data))
    loader = DataLoader(dataset, batch_size=size, num_workers=int(workers))
    root = root_of_run()
    iterator = iter(loader)
    next(iterator)
    cpu_s, begun = watchers_cpu_s(root), time.perf_counter()
    while True:
        with step(model):
            if next(iterator, None) is None:
                break
    result = {"seconds": time.perf_counter() - begun, "watchers_cpu_s": watchers_cpu_s(root) - cpu_s}
    Path(out).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
