"""How right the diagnosis is: programs with a known fault, or none, run under ``dlcheck run``, and again with
their cure.

    python -m benchmarks.diagnosis [NAME...] [--pairs N] [--busy N] [--json FILE] [--keep FOLDER]
    python -m benchmarks.diagnosis [NAME...] --json FILE --again FOLDER
    python -m benchmarks.diagnosis --tables FILE...

For each program: the verdict and whether it is right; whether the hottest line lies in the function with the
fault; the predicted speed-up of the cure beside the measured one (median of interleaved pairs of plain runs,
without the probe). ``--busy``: so many processes use the machine's cores beside it. ``--again``: nothing is run; what
was recorded (``--keep``) is diagnosed anew, and compared with what was measured then (``--json``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.diagnosis.measure import Result, again, can_run, measure
from benchmarks.diagnosis.pipelines import PIPELINES, pipeline
from benchmarks.diagnosis.tables import line, load, markdown, summary


def main() -> int:
    """Run the chosen programs and print a line for each, and the totals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="programs (default: all)")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of plain runs per cure (default: none)")
    parser.add_argument("--busy", type=int, default=0, help="processes that use a core each, beside the runs")
    parser.add_argument(
        "--json", type=Path, help="add the results to this file; what it has is not run again"
    )
    parser.add_argument("--limit", type=int, default=0, help="at most so many programs, of those not yet run")
    parser.add_argument("--curable", action="store_true", help="those only whose cure can be predicted")
    parser.add_argument("--keep", type=Path, help="keep programs and recordings in this folder")
    parser.add_argument("--again", type=Path, help="diagnose recordings of this folder anew, and run nothing")
    parser.add_argument("--tables", type=Path, nargs="+", help="results of earlier runs, as Markdown")
    arguments = parser.parse_args()
    if arguments.tables:
        print(markdown([(path.stem, load(path)) for path in arguments.tables]))
        return 0
    kept = load(arguments.json) if arguments.json and arguments.json.exists() else []
    if arguments.again:
        return _again(arguments.again, [r for r in kept if not arguments.names or r.name in arguments.names])
    done = {result.name for result in kept}
    chosen = [
        p
        for p in PIPELINES
        if (not arguments.names or p.name in arguments.names)
        and p.name not in done
        and (p.cure or p.cure_times or not arguments.curable)
    ]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {arguments.busy} busy processes beside")
    with _load(arguments.busy):
        for each in chosen[: arguments.limit or None]:
            if not can_run(each):
                print(f"{each.name:30} not run: it needs the rights of root")
                continue
            try:
                with _folder(arguments.keep, each.name) as folder:
                    result: Result = measure(each, folder, arguments.pairs)
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"{each.name:30} FAILED: {error}", flush=True)
                continue
            kept.append(result)
            print(line(result), flush=True)
            if arguments.json:
                text = json.dumps([r.as_json() for r in kept], indent=1)
                arguments.json.write_text(text, encoding="utf-8")
    print(summary(kept))
    return 0


def _again(folder: Path, kept: Sequence[Result]) -> int:
    results = [again(pipeline(result.name), (folder / result.name).resolve(), result) for result in kept]
    print("\n".join([*map(line, results), summary(results)]))
    return 0


@contextlib.contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    """A folder for one program: a new one among those that are kept, or one for now."""
    if keep is not None:
        folder = (keep / name).resolve()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


@contextlib.contextmanager
def _load(count: int) -> Iterator[None]:
    """``count`` processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
