"""How right the diagnosis is: programs with a known fault, or none, run under ``dlcheck run``, and again with
their cure.

    python benchmarks/diagnosis.py [NAME...] [--pairs N] [--json FILE]

For each program: the verdict and whether it is right; whether the hottest line lies in the function with the
fault; the predicted speed-up of the cure beside the measured one (median of interleaved pairs of plain runs,
without the probe).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "diagnosis"))

from pipelines import PIPELINES, Pipeline

_LIMIT_S = 120


def main() -> int:
    """Run the chosen programs and print a line for each, and the totals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="programs (default: all)")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of plain runs per cure (default: 2)")
    parser.add_argument("--json", metavar="FILE", help="keep the results here")
    arguments = parser.parse_args()
    chosen = [p for p in PIPELINES if not arguments.names or p.name in arguments.names]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'program':20} {'verdict':16} right  culprit  {'predicted':>20}  measured  off")
    results = []
    for pipeline in chosen:
        with tempfile.TemporaryDirectory() as folder:
            result = _measure(pipeline, Path(folder), arguments.pairs)
        results.append(result)
        print(_line(result), flush=True)
    right = [r["right"] for r in results]
    lines = [r["culprit_right"] for r in results if r["culprit_right"] is not None]
    offs = [abs(r["off"]) for r in results if r["off"] is not None]
    print(
        f"verdict right: {sum(right)} of {len(right)}; culprit in the right function: {sum(lines)} of"
        f" {len(lines)}"
    )
    print(f"prediction within 15 %: {sum(off <= 0.15 for off in offs)} of {len(offs)}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def _measure(pipeline: Pipeline, folder: Path, pairs: int) -> dict[str, Any]:
    faulty, cured = folder / "faulty.py", folder / "cured.py"
    faulty.write_text(pipeline.source(), encoding="utf-8")
    cured.write_text(pipeline.source(cured=True), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "dlcheck",
        "run",
        "--quiet",
        "--no-check",
        "--output",
        str(folder / "rec"),
    ]
    subprocess.run([*command, str(faulty)], capture_output=True, timeout=_LIMIT_S, check=False)
    report = json.loads((folder / "rec" / "report.json").read_text(encoding="utf-8"))
    loader = report["loaders"][0]
    first = loader["culprits"][0] if loader["culprits"] else {"function": "", "samples": 0}
    change: dict[str, Any] = dict(pipeline.cure)
    if pipeline.cure_times:
        change = {"line": f"{first.get('file')}:{first.get('line')}", "times_faster": pipeline.cure_times}
    predicted = next((p for p in loader["predictions"] if p["change"] == change), None) if change else None
    measured = _speedup(faulty, cured, pairs) if change else None
    off = predicted["speedup"] / measured - 1 if predicted and measured else None
    return {
        "name": pipeline.name,
        "verdict": loader["verdict"],
        "also": loader["also"],
        "right": loader["verdict"] in pipeline.verdicts,
        "culprit_right": pipeline.culprit in first["function"] if pipeline.culprit else None,
        "advice": [a["change"] for a in loader["advice"]],
        "predicted": predicted,
        "measured": measured,
        "off": off,
        "wait_share": loader["wait_s"] / loader["wall_s"] if loader["wall_s"] else None,
    }


def _speedup(faulty: Path, cured: Path, pairs: int) -> float:
    return statistics.median(_loop_s(faulty) / _loop_s(cured) for _ in range(pairs))


def _loop_s(script: Path) -> float:
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=_LIMIT_S, check=True
    )
    return float(done.stdout.split()[-1])


def _line(result: dict[str, Any]) -> str:
    predicted = result["predicted"]
    text = (
        f"{predicted['speedup']:.2f} ({predicted['low']:.2f}-{predicted['high']:.2f})" if predicted else "-"
    )
    measured = f"{result['measured']:.2f}" if result["measured"] else "-"
    off = f"{result['off']:+.0%}" if result["off"] is not None else ""
    culprit = {True: "right", False: "WRONG", None: "-"}[result["culprit_right"]]
    right = "right" if result["right"] else "WRONG"
    return (
        f"{result['name']:20} {result['verdict']:16} {right:6} {culprit:8} {text:>20}  {measured:>8}  {off}"
    )


if __name__ == "__main__":
    sys.exit(main())
