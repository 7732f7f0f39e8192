"""A recording that holds something of everything, to be damaged; and the reports of one, in every format."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.simulated import Job, write_recordings
from dlcheck.cli.main import main
from dlcheck.report.run_formats import FORMATS

WORKER_LOOP = ["/lib/torch/utils/data/_utils/worker.py", 300, "_worker_loop"]
FETCH = ["/lib/torch/utils/data/_utils/fetch.py", 50, "fetch"]


def write_rich(folder: Path) -> Path:
    """Two ranks with two workers each, of which one died and one hung; with source lines and findings kept beside it."""
    (recording,) = write_recordings(folder, Job(ranks=2, workers=2, steps=25, fetch=120.0, late=1))
    words = sorted((recording / "events").glob("*.jsonl"))[0]
    pid = int(words.name.partition("-")[0])
    t = int(words.stem.partition("-")[2]) + 10**9
    frames = [WORKER_LOOP, FETCH, ["/job/data.py", 21, "Images.__getitem__"]]
    with words.open("a", encoding="utf-8") as file:
        for line in (
            {"kind": "dataset-error", "t": t, "serial": 1, "idx": 3, "type": "KeyError", "message": "no\nsuch", "stack": frames,
             "sample": 7},
            {"kind": "feeder-error", "t": t, "idx": 4, "type": "PicklingError", "message": "cannot"},
            {"kind": "loader-error", "t": t, "serial": 1, "type": "OSError", "message": "too many open files",
             "exits": [[0, pid + 1, -9]]},
            {"kind": "worker-exits", "t": t, "serial": 1, "exits": [[0, pid + 1, -9], [1, pid + 2, 3]]},
            {"kind": "trouble", "t": t, "hook": "fetch", "error": "ValueError: x"},
            {"kind": "override", "t": t, "site": ["/job/train.py", 40, "main"], "changes": {"num_workers": [2, 4]},
             "left_out": {"timeout": "it is 0"}},
            {"kind": "unseen", "t": t},
        ):  # fmt: skip
            file.write(json.dumps(line) + "\n")
    threads = [
        {"thread": "MainThread", "tid": 1, "active": False, "frames": frames, "waits": "futex_do_wait"}
    ]
    look = {"t": t, "asked": t, "trainer": pid, "dumps": {str(pid + 1): threads}}
    (recording / "stacks" / f"hang-{pid}-1.json").write_text(json.dumps(look))
    inside = {"t": t, "frames": frames, "idle": None, "weight_ns": 10**7}
    (recording / "stacks" / f"inside-{pid + 1}-1.jsonl").write_text((json.dumps(inside) + "\n") * 30)
    place = {"file": "/job/data.py", "line": 21, "column": 1, "end_line": 21, "end_column": 9}
    finding: dict[str, Any] = {
        "rule": "DLC101", "name": "a-name", "message": "a message", "severity": "warning", "confidence": "high",
        "help": "help", "place": place, "scope": [20, 30], "also": [],
    }  # fmt: skip
    (recording / "findings.json").write_text(json.dumps([finding]))
    (recording / "excerpts.json").write_text(json.dumps([["/job/data.py", 21, 20, ["a", "b", "c"]]]))
    return recording


def write_attached(folder: Path) -> Path:
    """What ``dlcheck attach`` leaves of a training with two workers: no events."""
    recording = write_rich(folder)
    for path in (recording / "events").iterdir():
        path.unlink()
    manifest = json.loads((recording / "recording.json").read_text())
    job = {"trainer": 1000, "workers": [1001, 1002], "started": [], "command": ["python", "train.py"],
           "queued_s": {"1000": 0.1, "1001": 0.2}, "waits": {"1000": "hrtimer_nanosleep"}}  # fmt: skip
    (recording / "recording.json").write_text(json.dumps(manifest | {"attached": [job], "exit_code": None}))
    return recording


def report(recording: Path, form: str, *options: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``dlcheck report``."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(["report", "--format", form, str(recording), *options])
    return status, output.getvalue(), errors.getvalue()


def reports(recording: Path, forms: tuple[str, ...] = FORMATS) -> dict[str, str]:
    """The report in each format. Fails where there is none, or dlcheck itself fails."""
    found = {}
    for form in forms:
        status, output, errors = report(recording, form)
        assert status == 0 and not errors, f"{form}: {status} {errors}"
        found[form] = output
    return found
