"""scalene (``run --cpu-only``): the line of the program with the largest share of the CPU time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.diagnosis.peers.answer import Answer, function_at, of_line, run
from benchmarks.diagnosis.program import Pipeline

_SHARES = ("n_cpu_percent_python", "n_cpu_percent_c", "n_sys_percent")


def ask(pipeline: Pipeline, script: Path) -> Answer:
    out = script.with_name("scalene.json")
    run(
        [sys.executable, "-m", "scalene", "run", "--cpu-only", "--outfile", str(out), str(script)],
        script.parent,
    )
    if not out.exists():
        return Answer("no profile", None)
    files = json.loads(out.read_text(encoding="utf-8")).get("files", {})
    lines = [line for name, file in files.items() if Path(name).name == script.name for line in file["lines"]]
    hottest = max(lines, key=lambda line: sum(line[share] for share in _SHARES), default=None)
    return of_line(pipeline, function_at(script, int(hottest["lineno"])) if hottest else "")
