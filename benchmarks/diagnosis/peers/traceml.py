"""TraceML (``traceml run --mode summary``), told of the steps as its documentation asks: its verdict INPUT-BOUND comes with
the advice to raise workers or prefetch, or to have faster storage. Programs with a loop of their own are not asked.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.diagnosis.peers.answer import Answer, of_advice, run, tool
from benchmarks.diagnosis.program import Pipeline

_LOOP = re.compile(r"(\n {8}for batch in loader:\n)( {12})(\S+\(step_s\))")


def ask(pipeline: Pipeline, script: Path) -> Answer:
    if pipeline.loop:
        return Answer("not asked", None)
    told = script.with_name("told.py")
    told.write_text(_told(script.read_text(encoding="utf-8")), encoding="utf-8")
    command = [
        tool("traceml"),
        "run",
        "--mode",
        "summary",
        "--logs-dir",
        str(script.parent / "logs"),
        str(told),
    ]
    found = re.search(r"Verdict: +([A-Z][A-Z -]*[A-Z])", run(command, script.parent))
    if found is None:
        return Answer("no verdict", None)
    verdict = found[1].strip()
    return of_advice(pipeline, verdict, "INPUT" in verdict, "num_workers", "prefetch_factor")


def _told(source: str) -> str:
    """The program with a step of TraceML around each step of its loop."""
    source = _LOOP.sub(r"\1\2with traceml_ai.trace_step(MODEL):\n\2    \3", source)
    source = source.replace(
        "def main():\n", "MODEL = torch.nn.Linear(1, 1)\n\n\ndef main():\n    traceml_ai.init()\n", 1
    )
    return source.replace("import torch\n", "import torch\nimport traceml_ai\n", 1)
