"""What other tools say of the same pipelines.

    python -m benchmarks.diagnosis.peers [NAME...] [--tools py-spy,torch.profiler] [--json FILE]

Each tool is a module of this folder, which says what it is asked and what counts as right. A tool that is not installed
gives no answer. Printed is a row for each pipeline, and how many answers of each tool are right: of those about healthy
pipelines, and of the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.diagnosis.peers import lightning, profiler, py_spy, scalene, traceml
from benchmarks.diagnosis.peers.answer import Answer
from benchmarks.diagnosis.pipelines import PIPELINES
from benchmarks.diagnosis.program import Pipeline

TOOLS: dict[str, Callable[[Pipeline, Path], Answer]] = {
    "py-spy": py_spy.ask,
    "scalene": scalene.ask,
    "torch.profiler": profiler.ask,
    "Lightning": lightning.ask,
    "TraceML": traceml.ask,
}

_WORDS = {True: "right", False: "wrong", None: "-"}


def main() -> int:
    """Run the chosen pipelines under each tool and print a row for each, and the totals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="pipelines (default: all that end by themselves)")
    parser.add_argument("--tools", default=",".join(TOOLS), help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="keep the answers here; what it has is not asked again")
    options = parser.parse_args()
    usual = [p for p in PIPELINES if p.exit_code == 0 and p.ranks == 1 and p.batches and not p.shm_mb]
    chosen = [p for p in PIPELINES if p.name in options.names] if options.names else usual
    kept: dict[str, dict[str, dict[str, object]]] = {}
    if options.json and options.json.exists():
        kept = json.loads(options.json.read_text(encoding="utf-8"))
    for pipeline in chosen:
        answers = kept.setdefault(pipeline.name, {})
        for name in options.tools.split(","):
            if name not in answers:
                answers[name] = asdict(_ask(pipeline, TOOLS[name]))
        words = ", ".join(f"{name}: {a['says']} ({_WORDS[a['right']]})" for name, a in answers.items())
        print(f"{pipeline.name}: {words}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print()
    print("| tool | right of healthy pipelines | right of others |\n| --- | ---: | ---: |")
    for name in options.tools.split(","):
        print(f"| {name} | {_count(chosen, kept, name, True)} | {_count(chosen, kept, name, False)} |")
    return 0


def _ask(pipeline: Pipeline, ask: Callable[[Pipeline, Path], Answer]) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "faulty.py")
        script.write_text(pipeline.source(), encoding="utf-8")
        return ask(pipeline, script)


def _count(
    chosen: list[Pipeline], kept: dict[str, dict[str, dict[str, object]]], tool: str, healthy: bool
) -> str:
    answers = [kept[p.name][tool]["right"] for p in chosen if p.is_healthy == healthy]
    asked = [right for right in answers if right is not None]
    return f"{sum(map(bool, asked))} of {len(asked)}"


if __name__ == "__main__":
    sys.exit(main())
