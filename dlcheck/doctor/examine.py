"""Looks at the ground that a training runs on, within about a second, and without importing torch."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil

from dlcheck.doctor import cores, limits, memory, software, storage
from dlcheck.doctor.model import Remark
from dlcheck.doctor.script import Script, read_script
from dlcheck.probe import environment, procfs, pyspy

_MOST_FOLDERS = 3
_LIBRARIES = ("numpy", "cv2", "numexpr")


def examine(script: Path | None, folders: Sequence[Path]) -> list[Remark]:
    """All remarks. ``folders``: of data; those that the script names are looked at too.

    Raises OSError or ValueError where the script cannot be read.
    """
    return list(_remarks(read_script(script) if script is not None else Script(), folders))


def _remarks(script: Script, folders: Sequence[Path]) -> Iterator[Remark]:
    facts = environment.describe_environment()
    seen = _cores(facts["cpu_count"] or 1, facts["affinity"], facts["cpu_quota"])
    beside = cores.workers_wanted(script.workers, seen), cores.other_load(seen), cores.throttling(seen)
    yield cores.usable_cores(seen)
    yield from (remark for remark in beside if remark is not None)
    free, total = procfs.shared_memory_bytes()
    yield memory.shared_memory(total, free)
    available = psutil.virtual_memory().available
    yield memory.main_memory(facts["memory_total_bytes"], available, facts["memory_limit_bytes"])
    yield limits.descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield limits.start_method(facts["start_method"], script.start_method)
    yield software.torch_build(_torch(), _gpu())
    installed = [name for name in _LIBRARIES if find_spec(name) is not None]
    yield software.threads(os.environ, installed, script.calls, seen.usable)
    yield limits.tracing(_tracing_trouble())
    for folder in _data_folders(script, folders):
        kind = storage.file_system(folder, _text(Path("/proc/self/mountinfo")))
        files = storage.find_files(folder)
        yield storage.data_folder(folder, kind, files, storage.read_some(files), available)


def _cores(machine: int, affinity: int | None, quota: float | None) -> cores.Cores:
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    group = environment.cgroup_path("cpu")
    throttled = procfs.read_fields(group / "cpu.stat").get("nr_throttled") if group is not None else None
    return cores.Cores(machine, affinity, quota, load, throttled)


def _torch() -> software.Torch | None:
    """The torch of this interpreter, found and not imported."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    return software.read_torch(Path(next(iter(spec.submodule_search_locations))))


def _gpu() -> str | None:
    """The accelerator that the system shows, by its device files."""
    if Path("/dev/nvidiactl").exists():
        count = len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal()])
        return f"{count} NVIDIA GPU{'' if count == 1 else 's'}" if count else None
    return "an AMD GPU" if Path("/dev/kfd").exists() else None


def _tracing_trouble() -> str | None:
    executable = pyspy.find()
    return (
        "py-spy is not installed (remedy: pip install py-spy)"
        if executable is None
        else pyspy.try_out(executable)
    )


def _data_folders(script: Script, folders: Sequence[Path]) -> list[Path]:
    """The folders given, and those that the script names, unless they hold code."""
    named = [folder for folder, _ in script.folders if not any(folder.glob("*.py"))]
    return list(dict.fromkeys([folder.resolve() for folder in folders] + named))[
        : max(_MOST_FOLDERS, len(folders))
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
