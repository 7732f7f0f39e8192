"""Real runs from end to end: small programs with one known fault each, on whatever machine this is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.diagnosis.pipelines import pipeline
from dlcheck.diagnosis.recording import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/schedstat").exists(), reason="needs the kernel's run-queue clock"
    ),
]


def run(name: str, folder: Path, source: str | None = None, exit_code: int = 0) -> dict[str, Any]:
    """The report of a program under ``dlcheck run``."""
    script = folder / f"{name.replace('-', '_')}.py"
    script.write_text(source if source is not None else pipeline(name).source(), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "dlcheck",
        "run",
        "--quiet",
        "--output",
        str(folder / "rec"),
        str(script),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == exit_code, done.stderr
    if not exit_code:
        # Python itself may warn of semaphores of spawned workers at exit.
        assert done.stdout.startswith("loop_s") and "dlcheck" not in done.stderr
    value: dict[str, Any] = json.loads((folder / "rec" / "report.json").read_text(encoding="utf-8"))
    for loader in value["loaders"]:
        assert sum(loader["causes"].values()) == pytest.approx(loader["wait_s"], abs=1e-6)
        assert loader["wait_s"] <= loader["wall_s"]
    return value


@pytest.mark.parametrize(
    "name",
    [
        "sleep-in-fetch",
        "cpu-in-fetch",
        "collate-sleeps",
        "restarted-workers",
        "straggler",
        "healthy",
        "inline",
        "slow-first-batch",
        "slow-sampler",
        "list-of-strings",
        "spread-over-lines",
        "one-lock-for-all",
        "opened-late",
        "decoding-in-children",
    ],
)
def test_the_verdict_and_the_culprit(name: str, tmp_path: Path) -> None:
    expected = pipeline(name)
    if expected.verdicts == ("memory-growth",):
        # The memory of a worker is read every few seconds, and on a crowded machine more seldom: growth takes three readings.
        expected = replace(expected, step_s=2 * expected.step_s)
    report = run(name, tmp_path, expected.source())
    loader = report["loaders"][0]
    assert loader["verdict"] in expected.verdicts, (loader["sentence"], loader["also"], loader["causes"])
    if expected.also and os.getloadavg()[0] < 2 * (os.cpu_count() or 1):
        assert set(expected.also) & set(loader["also"])
    if expected.culprit:
        assert expected.culprit in loader["culprits"][0]["function"]
    # Against other programs, more workers do get more of the cores.
    if not any("Other programs used" in note for note in report["notes"]):
        assert not any(set(expected.never) & set(advice["change"]) for advice in loader["advice"])
    seen = load(tmp_path / "rec").loaders[0].iterators[0]
    if seen.workers:
        # What a worker and its feeder thread say of themselves.
        assert all((life.start_cpu_ns or 0) > 0 for life in seen.workers)
        sent = [batch for batch in seen.epochs[0].batches if batch.pickle_end is not None]
        assert sent and all(batch.pickle_cpu_ns is not None for batch in sent)
    if loader["verdict"] == "healthy":
        assert loader["also"] == [] and [a["change"] for a in loader["advice"]] == [{}]


@pytest.mark.parametrize("name", ["killed-worker", "raising-dataset"])
def test_how_a_run_died(name: str, tmp_path: Path) -> None:
    report = run(name, tmp_path, exit_code=1)
    verdict = pipeline(name).verdicts[0]
    assert report["loaders"][0]["verdict"] == verdict
    assert [event["kind"] for event in report["events"]] == [verdict]
    # Index 200 is in batch 25.
    assert "batch 25" in report["events"][0]["detail"]


def test_spawned_workers_are_seen_too(tmp_path: Path) -> None:
    loader = run("spawned", tmp_path)["loaders"][0]
    assert loader["batches"] == 120 and loader["settings"]["start_method"] == "spawn"
    assert loader["culprits"][0]["function"].endswith("read")
    # Two workers that start one after the other: the loop waits for the second one's first batches.
    assert loader["causes"]["startup"] > 0 and {"fetch-io", "reorder"} & set(loader["causes"])


def test_of_two_loaders_the_bad_one_is_named(tmp_path: Path) -> None:
    source = pipeline("sleep-in-fetch").source()
    source = source.replace(
        'print("loop_s"', 'train(DataLoader(Items(), 8, num_workers=1), 1, 0.02)\n    print("loop_s"'
    )
    loaders = run("two", tmp_path, source)["loaders"]
    assert [loader["verdict"] for loader in loaders] == ["fetch-io", "healthy"]


def test_a_prediction_comes_true(tmp_path: Path) -> None:
    """Sleeping fetches do not depend on the machine's load: the measured speed-up lies within the
    interval.
    """
    faulty = run("sleep-in-fetch", tmp_path)
    changes = [p for p in faulty["loaders"][0]["predictions"] if p["change"] == {"num_workers": 4}]
    assert changes, faulty["loaders"][0]["notes"]
    times = []
    for cured in (False, True):
        script = tmp_path / f"plain_{cured}.py"
        script.write_text(pipeline("sleep-in-fetch").source(cured=cured), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=True
        )
        times.append(float(done.stdout.split()[-1]))
    measured = times[0] / times[1]
    assert measured == pytest.approx(changes[0]["speedup"], rel=0.3)
