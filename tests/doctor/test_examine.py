"""The doctor on this machine, on real scripts and real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.doctor import storage
from dlcheck.doctor.script import read_script

SCRIPT = """
import argparse
import multiprocessing
from pathlib import Path
from torch.utils.data import DataLoader
from loaders import make
from pack.more import other

raise SystemExit("this must never run")

parser = argparse.ArgumentParser()
parser.add_argument("-j", "--num-workers", type=int, default=6)
parser.add_argument("--batch-size", type=int, default=32)
multiprocessing.set_start_method("spawn")
root = Path(__file__).parent / "images"
nothing = "no such folder"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "loaders.py").write_text(
        "import cv2\ncv2.setNumThreads(0)\nmake = dict(num_workers=3)\n", encoding="utf-8"
    )
    (tmp_path / "pack" / "more.py").write_text("from . import deep\nfrom .deep import x\n", encoding="utf-8")
    (tmp_path / "pack" / "deep.py").write_text(
        "import loaders\nDataLoader(1, num_workers=9)\n", encoding="utf-8"
    )
    (tmp_path / "unrelated.py").write_text("DataLoader(1, num_workers=99)\n", encoding="utf-8")
    for number in range(20):
        (tmp_path / "images" / f"{number}.bin").write_bytes(os.urandom(9000))
    return tmp_path


def test_a_script_is_read_with_what_it_imports(project: Path) -> None:
    script = read_script(project / "train.py")
    assert sorted(script.workers) == [("deep.py:2", 9), ("loaders.py:3", 3), ("train.py:12", 6)]
    assert script.start_method == ("spawn", "train.py:14")
    assert [(folder.name, place) for folder, place in script.folders] == [("images", "train.py:15")]
    assert "cv2.setNumThreads" in script.calls


def test_a_script_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_script(tmp_path / "missing.py")
    (tmp_path / "broken.py").write_text("def f(", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be parsed"):
        read_script(tmp_path / "broken.py")


def test_files_are_found_and_read(project: Path) -> None:
    files = storage.find_files(project / "images")
    assert (files.count, files.size, files.complete, len(files.chosen)) == (20, 180_000, True, 20)
    reading = storage.read_some(files)
    seen = [*reading.cold, *reading.warm]
    assert len(seen) == 20 and all(size == 9000 and seconds > 0 for seconds, size in seen)


def test_the_page_cache_is_seen_and_left_as_it_was(project: Path) -> None:
    path = project / "images" / "0.bin"
    path.write_bytes(os.urandom(1 << 20))
    look = storage._look(path)
    if look is None or look[0] != look[1]:
        pytest.skip("this file system does not say what is in the page cache")
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    if storage._look(path) != (0, look[1]):
        pytest.skip("this file system does not drop pages")
    reading = storage.read_some(storage.Files(1, 1 << 20, (path,), True))
    assert len(reading.cold) == 1 and reading.cached == 0.0
    assert storage._look(path) == (0, look[1])


def doctor(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlcheck", "doctor", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_looks_at_everything(project: Path) -> None:
    done = doctor("train.py", "--format", "json", cwd=project)
    value = json.loads(done.stdout)
    assert value["schema"] == "dlcheck.doctor/1"
    remarks = {remark["topic"]: remark for remark in value["remarks"]}
    topics = {
        "cores",
        "num_workers",
        "/dev/shm",
        "memory",
        "open files",
        "start method",
        "torch",
        "threads",
        "tracing",
    }
    assert topics <= set(remarks)
    assert remarks["start method"]["found"] == "spawn (at train.py:14)"
    assert "num_workers=9" in remarks["num_workers"]["found"]
    assert "20 files" in remarks[f"data {(project / 'images').resolve()}"]["found"]
    assert done.returncode == any(remark["status"] == "bad" for remark in value["remarks"])
    text = doctor("train.py", cwd=project).stdout
    assert all(topic in text for topic in topics) and "things looked at" in text


def test_torch_is_not_imported(project: Path) -> None:
    code = (
        "import sys; from dlcheck.cli.main import main; main(['doctor', 'train.py', '--data', 'images']);"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [("missing.py",), ("--data", "missing")])
def test_wrong_usage_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = doctor(*words, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity")
def test_limits_of_this_process_are_seen(project: Path) -> None:
    code = (
        "import os, resource, subprocess, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]));"
        "sys.exit(subprocess.call([sys.executable, '-m', 'dlcheck', 'doctor', '--format', 'json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )
    remarks = {remark["topic"]: remark for remark in json.loads(done.stdout)["remarks"]}
    assert done.returncode == 1 and remarks["open files"]["status"] == "bad"
    assert remarks["cores"]["found"].startswith("1 core of")
