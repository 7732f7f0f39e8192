"""Libraries that bring loaders, or loops over loaders, of their own: the real ones, where they are installed.

Install them with ``pip install -e ".[test,integrations]"``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.diagnosis.ranks import lateness, passes
from dlcheck.diagnosis.timeline import Batch, LoaderLife

from .conftest import PROGRAMS, Outcome, Probe
from .test_coverage import assert_in_order, batches

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}


def both(probe: Probe, directory: Path, *argv: str) -> tuple[Outcome, str]:
    """What the program gives under the probe, and its standard output without it.

    The two run at once, each in a directory of its own in ``directory``: a program may write files.
    """
    environment = {**os.environ, **OFFLINE}
    own, probed = directory / "plain", directory / "probed"
    own.mkdir()
    probed.mkdir()
    with subprocess.Popen(
        [sys.executable, *argv],
        cwd=own,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as plain:
        seen = probe(*argv, env=OFFLINE, cwd=probed)
        output, errors = plain.communicate(timeout=150)
    assert plain.returncode == 0, errors
    assert seen.exit_code == 0, seen.stderr
    return seen, output


def made_in(program: str, loader: LoaderLife) -> str:
    """The source line that asked for the loader."""
    assert Path(loader.created_at.file).name == program
    return (PROGRAMS / program).read_text().splitlines()[loader.created_at.line - 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "program", "line", "expected"),
    [
        ("lightning", "lightning_fit.py", "DataLoader(", [("train_dataloader", 12), ("val_dataloader", 8)]),
        # Hugging Face makes a loader for each evaluation: they are told apart by the loop that asks for them.
        ("transformers", "hugging_face.py", "trainer.train()", [("main", 6), ("main", 12)]),
        ("accelerate", "accelerated.py", "DataLoader(", [("main", 12)]),
        ("webdataset", "web_dataset.py", "Loader(", [("own", 12), ("plain", 12)]),
        (
            "monai",
            "monai_threads.py",
            "DataLoader(",
            [("cached", 12), ("threaded", 12), ("threads_only", 12)],
        ),
        ("torch_geometric", "graphs.py", "Loader(", [("batched", 12), ("nodes", 12)]),
    ],
)
def test_library_is_seen_and_gives_the_same(
    probe: Probe, tmp_path: Path, library: str, program: str, line: str, expected: list[tuple[str, int]]
) -> None:
    pytest.importorskip(library)
    seen, without = both(probe, tmp_path, str(PROGRAMS / program), ".")
    assert seen.stdout == without
    assert seen.timeline.notes == ()
    loaders = seen.timeline.loaders
    assert sorted((life.created_at.function, len(batches(life))) for life in loaders) == expected
    for loader in loaders:
        assert line in made_in(program, loader)
        assert all(batch.size_bytes for batch in first_of_each(loader))
        for batch in batches(loader):
            assert_in_order(batch, inline=not loader.settings["num_workers"])


def first_of_each(loader: LoaderLife) -> list[Batch]:
    """The first batch of each pass; the sizes of later ones are measured now and then."""
    return [epoch.batches[0] for iterator in loader.iterators for epoch in iterator.epochs]


@pytest.mark.slow
def test_accelerate_launch(probe: Probe, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    seen, without = both(probe, tmp_path, *ACCELERATE, str(PROGRAMS / "accelerated.py"))
    assert seen.stdout == without
    (loader,) = seen.timeline.loaders
    assert len(batches(loader)) == 12
    assert seen.timeline.environment["main"] == str(PROGRAMS / "accelerated.py")


@pytest.mark.slow
def test_torchrun(probe: Probe, tmp_path: Path) -> None:
    seen, without = both(probe, tmp_path, *TORCHRUN, str(PROGRAMS / "ranks.py"))
    assert seen.stdout == without
    assert {loader.rank for loader in seen.timeline.loaders} == {0, 1}
    for loader in seen.timeline.loaders:
        assert len(batches(loader)) == 12
        assert loader.settings["sampler"].endswith("DistributedSampler")
        for batch in batches(loader):
            assert_in_order(batch, inline=False)
    assert seen.timeline.environment["main"] == str(PROGRAMS / "ranks.py")
    late, early = lateness(passes(seen.timeline.loaders))
    assert (late.rank, late.steps, early.rank) == (1, 12, 0)
    assert late.held_up_s > early.held_up_s and late.last_share > 0.5
