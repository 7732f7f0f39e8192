"""What the doctor says of grounds that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcheck.doctor import cores, limits, memory, software, storage
from dlcheck.doctor.cores import Cores
from dlcheck.doctor.storage import Files, Reading

GB = 10**9
QUIET = Cores(8, 8, None, 0.5, 0)


def test_cores_that_a_quota_or_an_affinity_takes_away() -> None:
    assert cores.usable_cores(QUIET).status == "good"
    quota = cores.usable_cores(Cores(64, 64, 4.0, None, None))
    assert (quota.status, quota.found) == ("bad", "4 cores of 64 (the control group allows 4)")
    assert "os.cpu_count()" in quota.means and quota.remedy
    affinity = cores.usable_cores(Cores(8, 6, None, None, None))
    assert (affinity.status, affinity.found) == ("note", "6 cores of 8 (affinity leaves 6)")
    assert cores.usable_cores(Cores(1, 1, None, None, None)).status == "note"


def test_others_and_throttling() -> None:
    busy, quiet = cores.other_load(Cores(8, 8, None, 7.5, 0)), cores.other_load(QUIET)
    assert busy is not None and busy.status == "note" and "7.5 threads" in busy.found
    assert quiet is not None and quiet.status == "good"
    assert cores.other_load(Cores(8, 8, None, None, 0)) is None
    held = cores.throttling(Cores(8, 8, 2.0, 0.1, 12))
    assert held is not None and held.status == "note" and cores.throttling(QUIET) is None


@pytest.mark.parametrize(("number", "status"), [(0, "note"), (4, "good"), (16, "good"), (17, "note")])
def test_numbers_of_workers_against_the_cores(number: int, status: str) -> None:
    remark = cores.workers_wanted([("train.py:9", number)], QUIET)
    assert (
        remark is not None
        and remark.status == status
        and f"num_workers={number} at train.py:9" in remark.found
    )
    assert cores.workers_wanted([], QUIET) is None


def test_shared_memory() -> None:
    docker = memory.shared_memory(64 << 20, 64 << 20)
    assert docker.status == "bad" and "bus error" in docker.means and "--shm-size" in docker.remedy
    assert memory.shared_memory(32 * GB, 30 * GB).status == "good"
    full = memory.shared_memory(32 * GB, GB)
    assert full.status == "bad" and "torch_*" in full.remedy
    assert memory.shared_memory(None, None).status == "bad"


def test_main_memory() -> None:
    assert memory.main_memory(64 * GB, 50 * GB, None).status == "good"
    limited = memory.main_memory(64 * GB, 50 * GB, 8 * GB)
    assert "may use 8.0 GB" in limited.found and "counts towards the limit" in limited.means
    assert memory.main_memory(64 * GB, 2 * GB, None).status == "bad"
    assert memory.main_memory(None, None, None).status == "unknown"


@pytest.mark.parametrize(("soft", "status"), [(256, "bad"), (1024, "note"), (4096, "good"), (-1, "good")])
def test_descriptors(soft: int, status: str) -> None:
    remark = limits.descriptors(soft, -1)
    assert remark.status == status and "at most no limit" in remark.found
    assert (remark.remedy != "") == (status != "good")


def test_tracing_and_start_method() -> None:
    assert limits.tracing(None).status == "good"
    denied = limits.tracing("py-spy may not trace processes here: instead (remedy: add SYS_PTRACE)")
    assert (denied.status, denied.remedy) == ("note", "add SYS_PTRACE")
    assert "the default of Python" in limits.start_method("fork", None).found
    chosen = limits.start_method("fork", ("spawn", "train.py:3"))
    assert chosen.found == "spawn (at train.py:3)" and "persistent_workers" in chosen.means


def test_torch_is_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "version.py").write_text(
        "from typing import Optional\nraise SystemExit\n__version__ = '2.13.0+cu130'\n"
        "debug = False\ncuda: Optional[str] = '13.0'\ngit_version = 'x'\nhip: Optional[str] = None\n",
        encoding="utf-8",
    )
    torch = software.read_torch(tmp_path)
    assert torch == software.Torch("2.13.0+cu130", "13.0", None, False)
    assert software.torch_build(torch, "1 NVIDIA GPU").status == "good"
    assert software.torch_build(torch, None).status == "note"
    plain = software.Torch("2.13.0", None, None, False)
    assert software.torch_build(plain, None).status == "good"
    assert software.torch_build(plain, "1 NVIDIA GPU").status == "bad"
    assert software.torch_build(software.Torch("2.13.0", None, None, True), None).status == "bad"
    assert software.torch_build(None, None).status == "unknown"
    (tmp_path / "version.py").write_text("def broken(", encoding="utf-8")
    assert software.read_torch(tmp_path) is None and software.read_torch(tmp_path / "no") is None


def test_thread_pools() -> None:
    assert software.threads({}, (), (), 8).status == "good"
    pools = software.threads({}, ("numpy", "cv2"), (), 8)
    assert pools.status == "note" and "OPENBLAS_NUM_THREADS=1 OPENCV_FOR_THREADS_NUM=1" in pools.remedy
    assert software.threads({}, ("cv2",), ("cv2.setNumThreads",), 8).status == "good"
    assert software.threads({"OMP_NUM_THREADS": "1"}, ("numpy",), (), 8).status == "good"
    assert software.threads({}, ("numpy",), (), 1).status == "good"
    many = software.threads({"OMP_NUM_THREADS": "64"}, (), (), 4)
    assert many.status == "bad" and many.remedy == "Set it to 4 or less."


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/my\\040data rw - nfs4 server:/data rw
41 40 0:51 / /mnt/my\\040data/fast rw master:2 - xfs /dev/nvme0 rw
damaged line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", ("ext4", "/dev/sda1")),
        ("/mnt/my data/train", ("nfs4", "server:/data")),
        ("/mnt/my data/fast", ("xfs", "/dev/nvme0")),
        ("/mnt/my database", ("ext4", "/dev/sda1")),
    ],
)
def test_file_system_of_a_path(path: str, kind: tuple[str, str]) -> None:
    assert storage.file_system(Path(path), MOUNTS) == kind


def remark_of(
    files: Files, reading: Reading, kind: str = "ext4", free: int | None = 32 * GB
) -> storage.Remark:
    return storage.data_folder(Path("/data"), (kind, "x"), files, reading, free)


def test_data_folders() -> None:
    some = Files(2000, 20 * GB, (), True)
    cold = Reading(0.0, ((0.004, 10**7),) * 5, ())
    remark = remark_of(some, cold)
    assert remark.status == "good" and "at most 250 samples/s from storage" in remark.means
    assert "2.5 GB/s" in remark.found and "fits into the memory" in remark.means
    assert remark_of(some, cold, free=GB).status == "note"
    assert (
        "All that was looked at is in the page cache" in remark_of(some, Reading(1.0, (), ((1e-4, 9),))).means
    )
    assert "round trip over the network" in remark_of(some, cold, kind="nfs4").means
    small = remark_of(Files(50_000, 10**9, (), False), cold)
    assert (
        small.status == "note" and "more than 50000 files" in small.found and "Pack samples" in small.remedy
    )
    assert "fits" not in small.means
    assert remark_of(Files(0, 0, (), True), Reading(None, (), ())).status == "unknown"
