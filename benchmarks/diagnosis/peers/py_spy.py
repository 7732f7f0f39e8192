"""py-spy (``record --subprocesses --idle``): the hottest line of the workers, or of the loop where there are none.

It gives no verdict; the question is whether the line lies in the function that is to blame.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from benchmarks.diagnosis.peers.answer import Answer, of_line, run, tool
from benchmarks.diagnosis.program import Pipeline


def ask(pipeline: Pipeline, script: Path) -> Answer:
    stacks = script.with_name("stacks.txt")
    options = ["record", "--subprocesses", "--idle", "-r", "50", "-f", "raw", "-o", str(stacks)]
    run([tool("py-spy"), *options, "--", sys.executable, str(script)], script.parent)
    by_process: dict[str, Counter[str]] = {"workers": Counter(), "loop": Counter()}
    for line in stacks.read_text(encoding="utf-8").splitlines() if stacks.exists() else ():
        frames, _, count = line.rpartition(" ")
        names = [frame for frame in frames.split(";") if not frame.startswith("process ")]
        loops = [position for position, frame in enumerate(names) if frame.startswith("_worker_loop")]
        # A forked worker has the stack of the loop that started it above its own.
        own = [frame for frame in names[loops[0] if loops else 0 :] if script.name in frame]
        if own:
            by_process["workers" if loops else "loop"][own[-1]] += int(count)
    counts = by_process["workers"] or by_process["loop"]
    return of_line(pipeline, counts.most_common(1)[0][0].partition(" (")[0] if counts else "")
