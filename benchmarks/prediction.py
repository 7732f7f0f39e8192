"""How good predictions are: each of several pipelines is run with 1, 2, 4 and 8 workers, and its time with each number
is predicted from a recording made with another one.

    python benchmarks/prediction.py [--rounds 2] [--only NAME,...] [--workers 1,2,4,8] [--keep FOLDER]

Runs take turns, so that a busy machine slows all numbers alike. What is compared is the predicted speed-up from n to m
workers with the measured one (of the seconds that the program's loop took, by its own clock), of the same round.
``--keep``: recordings are kept there; those that are there are not made again, but predicted from anew.
Printed is predicted over measured, the median of the rounds, and how many of all lie within 15 % and 30 %.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.diagnosis.pipelines import pipeline
from benchmarks.diagnosis.program import Pipeline
from dlcheck.diagnosis.evidence import gather_all
from dlcheck.diagnosis.prediction import predict, with_workers
from dlcheck.diagnosis.recording import load

NAMES = (
    "sleep-in-fetch",
    "remote-store",
    "cpu-in-fetch",
    "jpeg-one-worker",
    "collate-loops",
    "lists-of-numbers",
    "straggler",
    "restarted-workers",
)
_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Run:
    """One run with a number of workers: the seconds of its loop, and what it predicts of other numbers."""

    loop_s: float
    predicted: dict[int, float]
    refusal: str


def run(case: Pipeline, workers: int, others: tuple[int, ...], folder: Path) -> Run:
    """Run a pipeline under the probe, and predict from that."""
    recording, said = folder / "rec", folder / "output.txt"
    if not said.exists():
        said.write_text(_record(case, workers, folder, recording), encoding="utf-8")
    lines = said.read_text(encoding="utf-8").splitlines()
    loop_s = max(float(line.split()[1]) for line in lines if line.startswith("loop_s"))
    model = max(gather_all(load(recording)), key=lambda evidence: evidence.wall).model
    predicted = {}
    for count in others:
        prediction = model and predict(model, {"num_workers": count}, with_workers(model.setup, count))
        if prediction:
            predicted[count] = prediction.speedup
    return Run(loop_s, predicted, "too few batches" if model is None else model.refusal)


def _record(case: Pipeline, workers: int, folder: Path, recording: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "program.py"
    script.write_text(
        replace(case, arguments=case.arguments | {"num_workers": workers}).source(), encoding="utf-8"
    )
    command = [sys.executable, "-m", "dlcheck", "run", "--quiet", "--no-check", "--no-stacks"]
    return subprocess.run(
        [*command, "--output", str(recording), str(script)],
        cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=True,
    ).stdout  # fmt: skip


def errors(rounds: list[dict[int, Run]], counts: tuple[int, ...]) -> dict[tuple[int, int], float | None]:
    """Predicted over measured speed-up, from each number to each other one; None: not predicted in any round."""
    found: dict[tuple[int, int], float | None] = {}
    for n in counts:
        for m in counts:
            if n != m:
                ratios = [
                    by_count[n].predicted[m] / (by_count[n].loop_s / by_count[m].loop_s)
                    for by_count in rounds
                    if m in by_count[n].predicted
                ]
                found[n, m] = statistics.median(ratios) if ratios else None
    return found


def main() -> None:
    """Run them, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default=",".join(NAMES), metavar="NAME,...")
    parser.add_argument("--workers", default="1,2,4,8", metavar="N,...")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    counts = tuple(int(word) for word in arguments.workers.split(","))
    cases = [pipeline(name) for name in arguments.only.split(",")]
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    every: list[float | None] = []
    pairs = [(n, m) for n in counts for m in counts if n != m]
    print("| pipeline | " + " | ".join(f"{n}→{m}" for n, m in pairs) + " |")
    print("| --- |" + " ---: |" * len(pairs))
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases:
            rounds: list[dict[int, Run]] = []
            for number in range(arguments.rounds):
                turn = counts[number % len(counts) :] + counts[: number % len(counts)]
                folder = Path(arguments.keep or temporary, case.name, str(number)).resolve()
                rounds.append({n: run(case, n, counts, folder / str(n)) for n in turn})
            found = errors(rounds, counts)
            every += found.values()
            cells = " | ".join("-" if (value := found[pair]) is None else f"{value:.2f}" for pair in pairs)
            print(f"| {case.name} | {cells} |", flush=True)
            for n in counts:
                seconds = ", ".join(f"{by_count[n].loop_s:.2f}" for by_count in rounds)
                refusals = {by_count[n].refusal for by_count in rounds} - {""}
                print(f"    {n} workers: {seconds} s {' '.join(refusals)}", file=sys.stderr, flush=True)
    known = [value for value in every if value is not None]
    for limit in (0.15, 0.3):
        within = sum(1 / (1 + limit) <= value <= 1 + limit for value in known)
        print(f"within {limit:.0%}: {within} of {len(known)}")
    print(
        f"median error {statistics.median(abs(value - 1) for value in known):.1%}; {len(every) - len(known)} not predicted"
    )
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
