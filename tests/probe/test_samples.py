"""Stack samples and sample times name the lines and the items that the time goes to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dlcheck.diagnosis.load_stacks import SAMPLES_TO_JUDGE, TICKS_TO_JUDGE
from dlcheck.diagnosis.recording import load
from dlcheck.probe import chrometrace, pyspy
from dlcheck.probe.chrometrace import compact, read_events
from dlcheck.probe.launch import python_command, run

from .conftest import PROGRAMS, Outcome, Probe

BUSY = str(PROGRAMS / "busy.py")


def line_of(text: str) -> int:
    lines = (PROGRAMS / "busy.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def seconds_by_line(seen: Outcome, pids: set[int]) -> Counter[int]:
    """Seconds of the dataset's own lines, innermost last, over the stacks of some processes."""
    seconds: Counter[int] = Counter()
    for sample in seen.timeline.stacks:
        own = [site.line for site in sample.frames if site.file == BUSY and "__getitem__" in site.function]
        if sample.pid in pids and own:
            seconds[own[-1]] += sample.weight_ns
    return seconds


def active_ticks(seen: Outcome) -> float:
    """How often py-spy looked, in windows without idle threads."""
    tables = [json.loads(path.read_text()) for path in (seen.recording / "stacks").glob("active-*.json")]
    return sum(table["rate"] * (table["end"] - table["begin"]) / 1e9 for table in tables)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_stacks_name_the_lines_that_cost(probe: Probe, workers: int) -> None:
    if pyspy.try_out(pyspy.find() or "py-spy") is not None:
        pytest.skip("py-spy cannot be used on this machine")
    seen = probe(BUSY, str(workers), "10" if not workers else "16", stacks=True)
    (loader,) = seen.timeline.loaders
    pids = {w.pid for iterator in loader.iterators for w in iterator.workers} or {loader.pid}
    seconds = seconds_by_line(seen, pids)
    assert seconds[line_of("time.sleep(0.02)")] > seconds[line_of("burn(0.003)")] > 0
    for sample in seen.timeline.stacks:
        assert not any("/dlcheck/probe/" in site.file for site in sample.frames)
        if sample.pid in pids and workers:
            assert not any(site.function == "main" for site in sample.frames)
    assert seen.timeline.overhead["stack_windows"] >= (2 if workers else 1)
    idle: Counter[str] = Counter()
    for sample in seen.timeline.stacks:
        if sample.pid in pids and sample.frames[-1].line == line_of("time.sleep(0.02)"):
            idle["waits" if sample.idle else "works"] += 1
        elif sample.pid in pids and sample.frames[-1].function == "burn":
            idle["burn waits" if sample.idle else "burn works"] += 1
    assert idle["waits"] > idle["works"]
    # Windows of threads that work tell what a short line does. Where no core is free they may come too late, or see too little.
    if min(active_ticks(seen), idle["burn works"] + idle["burn waits"]) >= 2 * max(
        TICKS_TO_JUDGE, SAMPLES_TO_JUDGE
    ):
        assert idle["burn works"] > idle["burn waits"]


@pytest.mark.slow
def test_slowest_sample_is_found_by_its_index(probe: Probe) -> None:
    seen = probe(BUSY, "2", "1")
    times = seen.timeline.loaders[0].samples
    assert times is not None and times.timed == 100
    slowest = times.slowest[0]
    assert (slowest.index, slowest.idx) == (77, 15)
    assert slowest.duration_ns > 300_000_000
    assert 15_000_000 < times.p50_ns < times.p99_ns * 1.01
    fetch = seen.timeline.loaders[0].iterators[0].epochs[0].batches[3].fetch
    assert fetch is not None and fetch.cpu_ns is not None and fetch.blocked_ns is not None
    assert fetch.cpu_ns < fetch.blocked_ns


@pytest.mark.slow
def test_workers_sample_themselves_where_tracing_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyspy, "try_out", lambda executable: "py-spy may not trace (remedy: ask)")
    result = run(python_command([BUSY, "2", "2"]), tmp_path / "recording")
    assert result.exit_code == 0
    assert any("remedy" in note for note in result.notes)
    timeline = load(result.recording)
    workers = {w.pid for it in timeline.loaders[0].iterators for w in it.workers}
    lines = Counter(sample.frames[-1].line for sample in timeline.stacks if sample.pid in workers)
    assert lines[line_of("time.sleep(0.02)")] > 0
    assert any("remedy" in note for note in timeline.notes)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Error: Permission denied (os error 13)", "may not trace"),
        ("Permission Denied: Try running again with elevated permissions", "may not trace"),
        ("Error: Failed to find python version", "Failed to find python version"),
        ("", "no message"),
    ],
)
def test_trouble_of_pyspy_is_one_line_with_its_remedy(message: str, expected: str) -> None:
    explained = pyspy._explain(message)
    assert expected in explained and "inside the workers" in explained and "\n" not in explained


def test_chrometrace_of_forked_workers_is_taken_apart() -> None:
    """Parent and worker share a pthread id: the end of one's frames is written under the other's id."""

    def event(phase: str, pid: int, ts: int, name: str, file: str = "", line: int = 0) -> dict[str, Any]:
        return {
            "ph": phase,
            "pid": pid,
            "tid": 5,
            "ts": ts,
            "name": name,
            "args": {"filename": file, "line": line},
        }

    def stack(phase: str, pid: int, ts: int, own: int, leaf: str) -> list[dict[str, Any]]:
        frames = [
            event(phase, pid, ts, f'process {own}:"python"'),
            event(phase, pid, ts, f"thread ({own}): MainThread"),
            event(phase, pid, ts, "main", "a.py", 1),
            event(phase, pid, ts, leaf, "a.py", 2),
        ]
        return frames if phase == "B" else frames[::-1]

    events = [
        *stack("B", 10, 1000, 10, "step"),
        *stack("E", 11, 1010, 10, "step"),
        *stack("B", 11, 1010, 11, "load"),
        *stack("E", 10, 2000, 11, "load"),
        *stack("B", 10, 2000, 10, "step"),
    ]
    table = compact(events, 0, 3_000_000, 500_000)
    named = [
        (t, pid, native, table["frames"][table["stacks"][number][-1]][2], weight)
        for t, pid, native, _, number, weight in table["samples"]
    ]
    assert named == [
        (1_000_000, 10, 10, "step", 500_000),
        (1_010_000, 11, 11, "load", 990_000),
        (2_000_000, 10, 10, "step", 1_000_000),
    ]
    assert compact([{"ph": "X"}, 3, *events], 0, 3_000_000, 1)["threads"] == ["MainThread"]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 18])
def test_events_of_a_trace_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(chrometrace, "_CHUNK", chunk)
    events = [{"ph": "B", "name": 'a{b} " ü', "args": {"line": n, "filename": "f"}} for n in range(20)]
    path = tmp_path / "window.raw"
    for text in (
        json.dumps(events),
        json.dumps(events, indent=1),
        json.dumps(events, separators=(",", ":")) + "\n",
    ):
        path.write_text(text, encoding="utf-8")
        assert list(read_events(path)) == events
    path.write_text("[]")
    assert list(read_events(path)) == []
    for cut in (json.dumps(events)[:-1], json.dumps(events)[:100], "", "["):
        path.write_text(cut)
        with pytest.raises(ValueError):
            list(read_events(path))
