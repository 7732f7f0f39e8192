"""Runs a pipeline under ``dlcheck run``, and plain with and without its cure."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.program import Pipeline

_LIMIT_S = 120
_STEADY_CORES = 0.3


@dataclass(frozen=True, slots=True)
class Result:
    """What dlcheck said of a pipeline, and whether it is right. None: there is nothing to be right about.

    ``right``: the verdict on the loader that is judged; ``others_right``, ``also_right``: those on other loaders,
    and those beside the leading one; ``harmless``: no advice changes what must not be changed.
    ``predicted``: what dlcheck expects of the cure; ``measured``: the speed-up of it, median of ``pairs``. ``others``:
    cores that other programs used during each run, the one under dlcheck first.
    """

    name: str
    expected: tuple[str, ...]
    verdict: str
    also: tuple[str, ...]
    right: bool
    others_right: bool | None
    also_right: bool | None
    culprit: str
    culprit_right: bool | None
    harmless: bool | None
    wait_share: float
    sentence: str
    causes: dict[str, float]
    advice: list[Any]
    notes: list[str]
    exit_right: bool
    predicted: tuple[float, float, float] | None = None
    measured: float | None = None
    pairs: tuple[float, ...] = ()
    others: tuple[float, ...] = ()

    @property
    def off(self) -> float | None:
        """How far the prediction is from what was measured, as a share of it."""
        return self.predicted[0] / self.measured - 1 if self.predicted and self.measured else None

    @property
    def holds(self) -> bool | None:
        """Whether the measured speed-up lies within the predicted interval."""
        if not self.predicted or not self.measured:
            return None
        return self.predicted[1] <= self.measured <= self.predicted[2]

    @property
    def steady(self) -> bool:
        """Whether other programs used about as much of the machine in all runs, so that these can be compared."""
        return max(self.others, default=0.0) - min(self.others, default=0.0) <= _STEADY_CORES

    def as_json(self) -> dict[str, Any]:
        """As a value that can be stored."""
        return asdict(self)


def measure(pipeline: Pipeline, folder: Path, pairs: int) -> Result:
    """The diagnosis of one run, and ``pairs`` interleaved plain runs without and with the cure."""
    faulty, cured = folder / "faulty.py", folder / "cured.py"
    faulty.write_text(pipeline.source(), encoding="utf-8")
    cured.write_text(pipeline.source(cured=True), encoding="utf-8")
    others: list[float] = []
    with _watched(others):
        code, report = diagnosed(pipeline, faulty, folder / "rec")
    result = judged(pipeline, code, report)
    if not pairs or not pipeline.is_cured:
        return replace(result, others=tuple(others))
    # One pair shows that there was a fault; how large it was takes more.
    ratios = []
    for _ in range(pairs if pipeline.cure or pipeline.cure_times else 1):
        with _watched(others):
            slow = loop_s(pipeline, faulty)
        with _watched(others):
            ratios.append(slow / loop_s(pipeline, cured))
    return replace(result, measured=statistics.median(ratios), pairs=tuple(ratios), others=tuple(others))


def again(pipeline: Pipeline, folder: Path, kept: Result) -> Result:
    """What dlcheck says now of a recording that was kept, beside what was measured then."""
    done = subprocess.run(
        [sys.executable, "-m", "dlcheck", "report", str(folder / "rec"), "--format", "json"],
        cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=True,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    result = judged(pipeline, report["exit_code"], report)
    return replace(result, measured=kept.measured, pairs=kept.pairs, others=kept.others)


def diagnosed(pipeline: Pipeline, script: Path, recording: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of a run under dlcheck."""
    own = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--output", str(recording), *options]
    if pipeline.ranks > 1:
        own.append("--")
    done = subprocess.run(
        _boxed(pipeline, [*own, *_command(pipeline, script)]),
        cwd=script.parent, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    path = recording / "report.json"
    if not path.exists():
        raise RuntimeError(f"{pipeline.name} left no report: {done.stderr}")
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return done.returncode, value


def judged(pipeline: Pipeline, code: int, report: dict[str, Any]) -> Result:
    """Whether what a report says of a pipeline is right."""
    loader = of_dataset(report, pipeline.judged)
    first = loader["culprits"][0] if loader["culprits"] else {"function": ""}
    verdicts = {name: of_dataset(report, name)["verdict"] for name in pipeline.others}
    predictable = pipeline.cure or pipeline.cure_times
    changed = {name for advice in loader["advice"] for name in advice["change"]}
    return Result(
        name=pipeline.name,
        expected=pipeline.verdicts,
        verdict=loader["verdict"],
        also=tuple(loader["also"]),
        right=loader["verdict"] in pipeline.verdicts,
        others_right=(
            all(verdicts[name] in right for name, right in pipeline.others.items())
            if pipeline.others
            else None
        ),
        also_right=bool(set(pipeline.also) & {loader["verdict"], *loader["also"]}) if pipeline.also else None,
        culprit=first["function"],
        culprit_right=pipeline.culprit in first["function"] if pipeline.culprit else None,
        harmless=changed.isdisjoint(pipeline.never) if pipeline.never else None,
        wait_share=loader["wait_s"] / loader["wall_s"] if loader["wall_s"] else 0.0,
        sentence=loader["sentence"],
        causes={name: round(value, 3) for name, value in loader["causes"].items()},
        advice=[[advice["text"], advice["change"]] for advice in loader["advice"]],
        notes=report["notes"],
        exit_right=pipeline.exit_code in (None, code),
        predicted=_prediction(pipeline, report) if predictable else None,
    )


def of_dataset(report: dict[str, Any], name: str) -> dict[str, Any]:
    """The loader of a dataset class: of several, the one that waits most."""
    for loader in report["loaders"]:
        if loader["dataset"].rpartition(".")[2] == name:
            found: dict[str, Any] = loader
            return found
    return {
        "verdict": "none", "also": [], "culprits": [], "advice": [], "wait_s": 0, "wall_s": 0, "causes": {},
        "sentence": "no such loader in the report", "predictions": [],
    }  # fmt: skip


def loop_s(pipeline: Pipeline, script: Path) -> float:
    """Seconds of the program's loop, without dlcheck."""
    done = subprocess.run(
        _boxed(pipeline, [sys.executable, *_command(pipeline, script)[pipeline.ranks > 1 :]]),
        cwd=script.parent, capture_output=True, text=True, timeout=_LIMIT_S, check=True,
    )  # fmt: skip
    return max(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("loop_s"))


@contextlib.contextmanager
def _watched(others: list[float]) -> Iterator[None]:
    """Adds the cores that other programs use meanwhile."""
    begun, busy, own = time.monotonic(), _busy_s(), _own_s()
    yield
    used = _busy_s() - busy - (_own_s() - own)
    others.append(round(max(0.0, used / (time.monotonic() - begun)), 2))


def _busy_s() -> float:
    """Seconds for which the cores of the machine were not idle; 0 where no /proc tells."""
    with contextlib.suppress(OSError):
        words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
        idle, waiting = int(words[3]), int(words[4])
        return (sum(map(int, words)) - idle - waiting) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _own_s() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(os.times()[:4])


def _prediction(pipeline: Pipeline, report: dict[str, Any]) -> tuple[float, float, float] | None:
    loader = of_dataset(report, pipeline.judged)
    change: dict[str, Any] = dict(pipeline.cure)
    if pipeline.cure_times:
        if not loader["culprits"]:
            return None
        first = loader["culprits"][0]
        change = {"line": f"{first['file']}:{first['line']}", "times_faster": pipeline.cure_times}
    for prediction in loader["predictions"]:
        if prediction["change"] == change:
            return prediction["speedup"], prediction["low"], prediction["high"]
    return None


def _command(pipeline: Pipeline, script: Path) -> list[str]:
    if pipeline.ranks == 1:
        return [str(script)]
    ranks = f"--nproc_per_node={pipeline.ranks}"
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", ranks, str(script)]


def _boxed(pipeline: Pipeline, command: Sequence[str]) -> list[str]:
    """The command, with a /dev/shm of its own where the pipeline wants a small one."""
    if not pipeline.shm_mb:
        return list(command)
    mount = f"mount -t tmpfs -o size={pipeline.shm_mb}m tmpfs /dev/shm"
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]


def can_run(pipeline: Pipeline) -> bool:
    """Whether this machine allows it: a small /dev/shm takes a mount, and that the rights of root."""
    if not pipeline.shm_mb:
        return True
    tried = subprocess.run(_boxed(pipeline, ["true"]), capture_output=True, check=False)
    return os.name == "posix" and tried.returncode == 0
