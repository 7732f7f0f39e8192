"""What other tools say of the same pipelines.

    python -m benchmarks.diagnosis.peers [NAME...] [--json FILE]

py-spy (``record --subprocesses --idle``): the line of the program with the most samples, in the process that trains and
in its workers. It gives no verdict; the question is whether the line lies in the function that is to blame.

torch.profiler, with the rule of its TensorBoard plugin (0.4.3, ``profiler/data.py``): where ``DataLoader.__next__`` has
over 5 % of the time, it advises more workers. It is right on a healthy loader if it says nothing, and on another if the
cure is more workers.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.pipelines import PIPELINES
from benchmarks.diagnosis.program import Pipeline

_LIMIT_S = 180
_RULE_SHARE = 0.05

_PROFILED = """
import runpy, sys, time, torch
from torch.profiler import ProfilerActivity, profile
begun = time.perf_counter()
with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
    module = runpy.run_path(sys.argv[1], run_name="profiled")
    main = module["main"]
    begun = time.perf_counter()
    main()
    wall = time.perf_counter() - begun
loading = sum(e.cpu_time_total for e in profiler.key_averages() if e.key.startswith("enumerate(DataLoader)"))
print("share", loading / 1e6 / wall)
"""


def main() -> int:
    """Run the chosen pipelines under each tool and print a row for each, and the totals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="pipelines (default: all that end by themselves)")
    parser.add_argument("--json", type=Path, help="keep the results here")
    arguments = parser.parse_args()
    usual = [p for p in PIPELINES if p.exit_code == 0 and p.ranks == 1 and p.batches]
    chosen = [p for p in PIPELINES if p.name in arguments.names] if arguments.names else usual
    results = []
    for pipeline in chosen:
        with tempfile.TemporaryDirectory() as folder:
            result = _ask(pipeline, Path(folder))
        results.append(result)
        print(json.dumps(result), flush=True)
    lines = [r for r in results if pipeline_of(r).culprit]
    print(f"py-spy, hottest line of the process that trains: {_count(lines, 'main_right')}")
    print(f"py-spy, hottest line of the workers: {_count(lines, 'workers_right')}")
    print(f"torch.profiler's rule: {_count([r for r in results if 'rule_right' in r], 'rule_right')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def pipeline_of(result: dict[str, Any]) -> Pipeline:
    """The pipeline that a result is about."""
    return next(p for p in PIPELINES if p.name == result["name"])


def _ask(pipeline: Pipeline, folder: Path) -> dict[str, Any]:
    script = folder / "faulty.py"
    script.write_text(pipeline.source(), encoding="utf-8")
    main, workers = _hottest(script, folder / "stacks.txt")
    result: dict[str, Any] = {"name": pipeline.name, "main": main, "workers": workers}
    if pipeline.culprit:
        result |= {"main_right": pipeline.culprit in main, "workers_right": pipeline.culprit in workers}
    share = _loader_share(script)
    if share is not None:
        says = share > _RULE_SHARE
        more = pipeline.cure.get("num_workers", 0) > pipeline.arguments.get("num_workers", 0)
        result |= {"share": share, "rule_right": not says if pipeline.is_healthy else says and more}
    return result


def _hottest(script: Path, stacks: Path) -> tuple[str, str]:
    """The function of the program's hottest line, in the process that trains and in all others."""
    tool = Path(sys.executable).parent / "py-spy"
    command = [
        str(tool),
        "record",
        "--subprocesses",
        "--idle",
        "-r",
        "50",
        "-f",
        "raw",
        "-o",
        str(stacks),
        "--",
    ]
    subprocess.run(
        [*command, sys.executable, str(script)], capture_output=True, timeout=_LIMIT_S, check=False
    )
    by_process: dict[str, Counter[tuple[str, str]]] = {}
    for line in stacks.read_text(encoding="utf-8").splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame for frame in frames.split(";") if not frame.startswith("process ")]
        loops = [position for position, frame in enumerate(names) if frame.startswith("_worker_loop")]
        # A forked worker has the stack of the loop that started it above its own.
        own = [frame for frame in names[loops[0] if loops else 0 :] if "faulty.py" in frame]
        if own:
            function, _, place = own[-1].partition(" (")
            key = "workers" if loops else "main"
            by_process.setdefault(key, Counter())[function, place] += int(count)
    most = {key: counts.most_common(1)[0][0][0] for key, counts in by_process.items()}
    return most.get("main", ""), most.get("workers", "")


def _loader_share(script: Path) -> float | None:
    done = subprocess.run(
        [sys.executable, "-c", _PROFILED, str(script)],
        cwd=script.parent, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    found = re.search(r"^share ([0-9.e-]+)$", done.stdout, re.MULTILINE)
    return float(found[1]) if found else None


def _count(results: Sequence[dict[str, Any]], key: str) -> str:
    return f"{sum(bool(r.get(key)) for r in results)} of {len(results)}"


if __name__ == "__main__":
    sys.exit(main())
