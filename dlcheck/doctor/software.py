"""torch and the libraries beside it, as they are installed; nothing of them is imported."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlcheck.doctor.model import Remark

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip

_POOLS = {
    "numpy": ("OPENBLAS_NUM_THREADS", "numpy's linear algebra"),
    "cv2": ("OPENCV_FOR_THREADS_NUM", "every function of OpenCV"),
    "numexpr": ("NUMEXPR_NUM_THREADS", "numexpr"),
}
"""Libraries with thread pools of their own in every worker: the variable that limits them, and what runs in them."""


@dataclass(frozen=True, slots=True)
class Torch:
    """An installed torch. ``cuda`` and ``hip``: versions that it was built for, None where it was not."""

    version: str
    cuda: str | None
    hip: str | None
    debug: bool


def read_torch(package: Path) -> Torch | None:
    """What ``torch/version.py`` says, read and not run; None where it cannot be read."""
    try:
        tree = ast.parse((package / "version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    values: dict[str, object] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            values[target.id] = value.value
    version = values.get("__version__")
    if not isinstance(version, str):
        return None
    cuda, hip = values.get("cuda"), values.get("hip")
    return Torch(
        version,
        cuda if isinstance(cuda, str) else None,
        hip if isinstance(hip, str) else None,
        values.get("debug") is True,
    )


def torch_build(torch: Torch | None, gpu: str | None) -> Remark:
    """The build of torch against the accelerator of the machine."""
    if torch is None:
        return Remark(
            "torch", "unknown", "not found beside this dlcheck",
            "`dlcheck run train.py` uses this Python: it would not find torch either.",
            "Install dlcheck into the environment of the training, or give the command after `--`.",
        )  # fmt: skip
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "CPU only"
    found = f"{torch.version} ({built}), {gpu or 'no GPU seen'}"
    if torch.debug:
        return Remark(
            "torch",
            "bad",
            found + ", a debug build",
            "A debug build is many times slower.",
            "Install a release.",
        )
    if gpu is not None and not torch.cuda and not torch.hip:
        means = "The GPU is not used: the step is the limit, not the loader."
        return Remark("torch", "bad", found, means, "Install a build for this GPU.")
    if gpu is None and (torch.cuda or torch.hip):
        return Remark(
            "torch", "note", found, "The step runs on the CPU and shares its cores with the workers."
        )
    return Remark("torch", "good", found)


def threads(
    environment: Mapping[str, str], installed: Collection[str], calls: Collection[str], usable: float
) -> Remark:
    """Thread pools: ``environment`` variables, libraries ``installed``, and what the script calls."""
    given = {name: environment[name] for name in THREAD_VARIABLES if environment.get(name)}
    found = ", ".join(f"{name}={value}" for name, value in given.items()) or "no variable limits thread pools"
    large = [name for name, value in given.items() if value.isdecimal() and int(value) > usable]
    if large:
        return Remark(
            "threads", "bad", found, f"{large[0]} asks for more threads than the {usable:g} usable cores.",
            f"Set it to {max(1, int(usable))} or less.",
        )  # fmt: skip
    pools = [
        (library, variable, what)
        for library, (variable, what) in _POOLS.items()
        if library in installed and variable not in given and "OMP_NUM_THREADS" not in given
    ]
    if "cv2.setNumThreads" in calls:
        pools = [pool for pool in pools if pool[0] != "cv2"]
    means = "torch uses one thread in a worker."
    if pools and usable > 1:
        named = " and ".join(what for _, _, what in pools)
        means += (
            f" It cannot limit {named}: each worker starts a thread per core for it, and they take turns."
        )
        variables = " ".join(f"{variable}=1" for _, variable, _ in pools)
        remedy = f"{variables}, or in worker_init_fn: " + (
            "cv2.setNumThreads(0)" if pools[-1][0] == "cv2" else "threadpoolctl.threadpool_limits(1)"
        )
        return Remark("threads", "note", found, means, remedy + ".")
    return Remark("threads", "good", found, means)
