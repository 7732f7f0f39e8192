"""What a program can see of itself is what it sees without the probe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.probe.recording import ENV_RECORDING

from .conftest import Probe, launcher_command, plain

SELF = """
import json, os, sys, subprocess, threading
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "main": sys.modules["__main__"].__file__, "name": __name__,
    "cwd": os.getcwd(), "threads": threading.active_count(), "site": "sitecustomize" in sys.modules and
    getattr(sys.modules["sitecustomize"], "MARK", None), "group": os.getpgrp() == os.getpgid(os.getppid()),
    "dlcheck": [name for name in sys.modules if "dlcheck" in name],
    "signals": [str(__import__("signal").getsignal(n)) for n in (1, 2, 3, 10, 12, 15)],
    "mask": sorted(map(int, __import__("signal").pthread_sigmask(0, []))),
    "environment": sorted(set(os.environ) - {"PYTHONPATH", "DLCHECK_RECORDING"}),
}))
print(sys.stdin.read())
print("to stderr", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


def own_view(
    tmp_path: Path, command: list[str], env: dict[str, str]
) -> tuple[dict[str, object], str, str, int]:
    done = subprocess.run(
        command, input="some input", capture_output=True, text=True, timeout=60, env=env, check=False
    )
    first, _, rest = done.stdout.partition("\n")
    return json.loads(first), rest, done.stderr, done.returncode


def test_a_program_without_torch_sees_no_difference(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(SELF)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text("MARK = 'mine'\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "lib")}
    probed = launcher_command(tmp_path / "recording", str(script), "5", "--flag")
    seen = own_view(tmp_path, probed, env)
    without = own_view(tmp_path, [sys.executable, str(script), "5", "--flag"], env)
    assert seen[0]["site"] == "mine"
    assert seen == without
    assert seen[3] == 5


def test_sitecustomize_that_fails_is_reported_as_without_the_probe(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text("print('ran')")
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('my own mistake')\n")
    env = {"PYTHONPATH": str(tmp_path)}
    done = [
        subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
        )
        for command in (
            [sys.executable, str(script)],
            [
                *(sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"),
                *launcher_command(tmp_path / "recording", str(script)),
            ],
        )
    ]
    assert done[0].stdout == done[1].stdout == "ran\n"
    # The launcher and the go-between are Python processes too, and meet the same module.
    assert done[1].stderr == done[0].stderr * 3


def test_without_torch_it_costs_little_and_says_so(probe: Probe, tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text("import sys; print('torch' in sys.modules)")
    seen = probe(str(script))
    assert seen.stdout == "False\n"
    assert seen.timeline.loaders == ()
    assert any("no process" in note for note in seen.timeline.notes)


@pytest.mark.slow
def test_module_form_child_processes_and_pickles(probe: Probe, tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text(
        """
import copy, inspect, os, pickle, subprocess, sys
from torch.utils.data import DataLoader, TensorDataset
import torch
if __name__ == "__main__":
    dataset = TensorDataset(torch.arange(8))
    loader = DataLoader(dataset, batch_size=4)
    list(loader)
    print(len(pickle.dumps(loader)), len(pickle.dumps(dataset)), inspect.signature(DataLoader.__init__))
    print(sorted(vars(loader)), [len(batch) for batch in copy.deepcopy(loader)], sys.argv, __spec__.name)
    child = [sys.executable, "-c", "import sys; print(sys.path)"]
    print(subprocess.run(child, capture_output=True, text=True).stdout)
"""
    )
    seen = probe("-m", "pkg.train", "--lr", "1", cwd=tmp_path)
    without = plain("-m", "pkg.train", "--lr", "1", cwd=tmp_path)
    assert (seen.stdout, seen.stderr) == (without.stdout, without.stderr)
    assert seen.timeline.loaders[0].dataset == "torch.utils.data.dataset.TensorDataset"


@pytest.mark.slow
def test_recording_that_cannot_be_written_changes_nothing(probe: Probe, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import os, shutil
import torch
from torch.utils.data import DataLoader, TensorDataset
shutil.rmtree(os.path.join(os.environ["{ENV_RECORDING}"], "events"))
dataset = TensorDataset(torch.arange(64))
print([len(batch) for _ in range(200) for batch in DataLoader(dataset, batch_size=4)][-1])
print([len(batch) for batch in DataLoader(dataset, batch_size=32, num_workers=2)])
"""
    )
    seen = probe(str(script))
    assert (seen.stdout, seen.stderr, seen.exit_code) == ("1\n[1, 1]\n", "", 0)


LIVES = """
import sys
from torch.utils.data import DataLoader, Dataset, IterableDataset

class Stream(IterableDataset):
    def __iter__(self):
        try:
            yield from range(20)
        finally:
            print("stream closed", flush=True)

class Items(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return index

    def __del__(self):
        print("items gone", flush=True)

def epoch(dataset, most, **options):
    for step, batch in enumerate(DataLoader(dataset, 2, **options), 1):
        if step == most:
            break

workers = int(sys.argv[1])
for most in (3, 100):
    epoch(Stream(), most, num_workers=workers)
    print("after the stream", flush=True)
    epoch(Items(), most, num_workers=workers)
    print("after the items", flush=True)
    kept = DataLoader(Stream(), 2, num_workers=workers, persistent_workers=workers > 0)
    for _ in range(2):
        print(len(list(kept)), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_loader_held_is_released_when_it_would_be(probe: Probe, tmp_path: Path, workers: int) -> None:
    script = tmp_path / "lives.py"
    script.write_text(LIVES)
    seen, without = probe(str(script), str(workers)), plain(str(script), str(workers))
    assert (seen.stdout, seen.exit_code) == (without.stdout, 0)
    assert "stream closed" in seen.stdout and seen.timeline.loaders


# Collections of garbage that begin in the probe's modules, until torch's loader is there.
COLLECTS = """
import gc, sys
seen = []
def watch(phase, info):
    frame = sys._getframe(1)
    while frame is not None:
        if "dlcheck/probe/" in frame.f_code.co_filename and "dlcheck.probe" in sys.modules:
            seen.append(phase)
        frame = frame.f_back
if len(sys.argv) > 1:
    gc.disable()
gc.set_threshold(20)
gc.callbacks.append(watch)
import torch.utils.data
gc.callbacks.remove(watch)
print(len(seen), gc.isenabled())
"""


@pytest.mark.slow
@pytest.mark.parametrize("off", [False, True])
def test_garbage_is_not_collected_while_the_probe_is_loaded(probe: Probe, tmp_path: Path, off: bool) -> None:
    script = tmp_path / "collects.py"
    script.write_text(COLLECTS)
    argv = ["off"] if off else []
    assert plain(str(script), *argv).stdout == f"0 {not off}\n"
    assert probe(script, *argv).stdout == f"0 {not off}\n"
