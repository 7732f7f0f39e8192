"""torch.profiler, with the rule of its TensorBoard plugin (0.4.3, ``profiler/data.py``): where ``DataLoader.__next__`` has
over 5 % of the time, it advises more workers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.diagnosis.peers.answer import Answer, of_advice, run
from benchmarks.diagnosis.program import Pipeline

_RULE_SHARE = 0.05
_PROFILED = """
import runpy, sys, time, torch
from torch.profiler import ProfilerActivity, profile
with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
    module = runpy.run_path(sys.argv[1], run_name="profiled")
    begun = time.perf_counter()
    module["main"]()
    wall = time.perf_counter() - begun
loading = sum(e.cpu_time_total for e in profiler.key_averages() if e.key.startswith("enumerate(DataLoader)"))
print("share", loading / 1e6 / wall)
"""


def ask(pipeline: Pipeline, script: Path) -> Answer:
    found = re.search(
        r"^share ([0-9.e-]+)$", run([sys.executable, "-c", _PROFILED, str(script)], script.parent), re.M
    )
    if found is None:
        return Answer("no profile", None)
    share = float(found[1])
    return of_advice(pipeline, f"DataLoader {share:.0%}", share > _RULE_SHARE, "num_workers")
