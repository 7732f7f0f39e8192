"""The state of a run that goes on, and how it is shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.timeline import ProcessSample, Timeline
from dlcheck.live import state as live
from dlcheck.live.find import newest, recording_of
from dlcheck.live.view import render, render_short
from dlcheck.live.window import recent


def run_that_goes_on() -> Timeline:
    """Two epochs of 10 s; in the second, the loop has waited for batch 31 since it asked for it."""
    first, second = steady(200, 50, 20), steady(200, 50, 20, begin=10_050)
    awaited = dict.fromkeys(("got", "put", "send_end", "read", "received"))
    cut = [replace(b, **awaited) if b.idx == 31 else b for b in second.batches if b.idx <= 31]
    cut += [b for b in second.batches if 31 < b.idx <= 33]
    ahead = [replace(b, asked=None, got=None) for b in cut[32:]]
    going_on = replace(second, batches=(*cut[:32], *ahead), end=None, exhausted=False, last_asked=None)
    life = loader([iterator([first, going_on], 1)])
    worker = replace(life.iterators[0].workers[0], last_stage="fetch", last_idx=34)
    life = replace(life, iterators=(replace(life.iterators[0], workers=(worker,)),))
    samples = tuple(ProcessSample(ns(500 * n), 110, 0.2 * n, 3 * 10**8) for n in range(20))
    return timeline(life, processes=samples, exit_code=None)


def looked(monkeypatch: pytest.MonkeyPatch, after_ms: float) -> live.LiveState:
    run = run_that_goes_on()
    asked = run.loaders[0].iterators[0].epochs[1].batches[31].asked
    assert asked is not None
    monkeypatch.setattr(live, "load", lambda path: run)
    monkeypatch.setattr(time, "monotonic_ns", lambda: asked + ns(after_ms))
    return live.look(Path("rec"))


def test_what_the_loop_and_its_workers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    state = looked(monkeypatch, 2500)
    (one,) = state.loaders
    assert state.running and one.place == "train.py:10" and one.batches == 231
    assert one.now == "waits 2.5 s for batch 31 of worker 0"
    assert one.ready == 2 and one.verdict == "fetch-io"
    assert one.wait_share is not None and one.wait_share > 0.6
    (worker,) = one.workers
    assert (worker.pid, worker.doing, worker.rss_bytes) == (110, "fetch batch 34", 3 * 10**8)
    assert worker.cores == pytest.approx(0.4)


def test_the_window_forgets_what_was_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_that_goes_on()
    window = recent(run, ns(12_000), 1.5)
    (epoch,) = window.loaders[0].iterators[0].epochs
    assert epoch.number == 0 and epoch.begin == ns(10_500)
    assert all(b.got is None or b.got >= ns(10_500) for b in epoch.batches)
    assert recent(run, ns(90_000), 1.0).loaders[0].iterators[0].epochs[0].batches[0].idx == 31
    assert all(sample.t >= ns(10_500) for sample in window.processes)


def test_it_is_shown_in_full_and_in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    state = looked(monkeypatch, 100)
    state = replace(state, incidents=("worker-killed: [bold]worker 1[/bold]",))
    for width in (200, 40):
        for made in (render(state), render_short(state, 5)):
            file = io.StringIO()
            Console(file=file, width=width, markup=False, highlight=False).print(made)
            text = file.getvalue()
            assert "train.py:10" in text and "fetch-io" in text and "[bold]worker 1" in text
            assert all(len(line) <= width for line in text.splitlines())
    file = io.StringIO()
    Console(file=file, width=200).print(render_short(state, 5))
    assert len(file.getvalue().splitlines()) <= 5


def test_the_recording_of_a_process(tmp_path: Path) -> None:
    alone = "input()"
    with subprocess.Popen([sys.executable, "-c", alone], stdin=subprocess.PIPE) as process:
        with pytest.raises(ValueError, match="does not run under"):
            recording_of(process.pid)
        assert process.stdin is not None
        process.stdin.close()
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], env={'DLCHECK_RECORDING': sys.argv[1]})"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE) as process:
        try:
            for _ in range(200):
                try:
                    found = recording_of(process.pid)
                    break
                except ValueError:
                    time.sleep(0.05)
            assert found == tmp_path
        finally:
            assert process.stdin is not None
            process.stdin.close()
    with pytest.raises(ValueError, match="there is no process"):
        recording_of(2**30)


def test_the_newest_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recording in"):
        newest(tmp_path)
    for number, name in enumerate(("b", "a")):
        path = tmp_path / ".dlcheck" / "runs" / name / "recording.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({}), encoding="utf-8")
        os.utime(path, (number, number))
    assert newest(tmp_path).name == "a"
