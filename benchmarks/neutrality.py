"""Whether a test suite of someone else's gives the same result under the probe, test by test.

    python benchmarks/neutrality.py path/to/pytorch/test/test_dataloader.py
    python benchmarks/neutrality.py path/to/torchdata/test/stateful_dataloader --stacks

Each test is run by pytest without the probe and under ``dlcheck run``, in pieces, so that one that hangs or kills its
process costs only itself: such a piece is run again test by test. A test whose two outcomes differ is run again both
ways, ``--again`` times, to tell a test that is not stable from one that the probe changes. The exit status is 1 where
some test never gives with the probe what it gives without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PLUGIN = """
import json, os

def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    what = crash.message.partition("\\n")[0].partition(":")[0] if crash else ""
    outcome = report.outcome if report.when == "call" or report.skipped else "error in " + report.when
    with open(os.environ["NEUTRALITY_RESULTS"], "a") as file:
        file.write(json.dumps([report.nodeid, outcome, what if report.failed else ""]) + "\\n")

def pytest_collection_modifyitems(items):
    if "NEUTRALITY_IDS" in os.environ:
        with open(os.environ["NEUTRALITY_IDS"], "w") as file:
            file.write("\\n".join(item.nodeid for item in items))
"""
_WITHOUT, _WITH = "without", "with"


@dataclass(frozen=True)
class Suite:
    """Where pytest is started, and which options it is given."""

    folder: Path
    path: str
    options: tuple[str, ...]
    stacks: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="a test file or a folder of them")
    parser.add_argument("--size", type=int, default=20, help="tests per piece (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds per piece (default: %(default)g)")
    parser.add_argument("--again", type=int, default=2, help="how often to repeat what differs")
    parser.add_argument("--only", metavar="EXPR", help="pytest's -k")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin at this piece")
    parser.add_argument("--last", type=int, metavar="N", help="end after this piece")
    parser.add_argument("--stacks", action="store_true", help="sample stacks under the probe, too")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep the outcomes here")
    arguments = parser.parse_args()
    path = arguments.path.absolute()
    folder = path if path.is_dir() else path.parent
    options = ("-k", arguments.only) if arguments.only else ()
    suite = Suite(folder, str(path), options, arguments.stacks)
    ids = _collect(suite)
    pieces = [ids[n : n + arguments.size] for n in range(0, len(ids), arguments.size)]
    chosen = range(arguments.first, min(len(pieces), (arguments.last or len(pieces)) + 1))
    _print_ground(path, len(ids))
    outcomes: dict[str, dict[str, str]] = {_WITHOUT: {}, _WITH: {}}
    for number in chosen:
        for way in (_WITHOUT, _WITH):
            begun = time.monotonic()
            outcomes[way] |= _run_piece(suite, pieces[number], way, arguments.limit)
            print(f"piece {number} of {len(pieces)} {way}: {time.monotonic() - begun:.0f} s", flush=True)
    different = [test for test in outcomes[_WITHOUT] if outcomes[_WITHOUT][test] != outcomes[_WITH][test]]
    changed = _examine(suite, different, outcomes, arguments.limit, arguments.again)
    _print_result(outcomes, different, changed)
    if arguments.json:
        arguments.json.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    sys.exit(1 if changed else 0)


def _print_ground(path: Path, tests: int) -> None:
    code = "import torch; print(torch.__version__)"
    torch = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    print(f"{path}: {tests} tests")
    print(f"torch {torch.strip()}, Python {platform.python_version()}, {os.cpu_count()} CPUs", end=", ")
    print(f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}", flush=True)


def _collect(suite: Suite) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        done = _pytest(suite, [suite.path, "--collect-only", *suite.options], _WITHOUT, Path(scratch), 300.0)
        ids = Path(scratch, "ids")
        if not ids.exists():
            sys.exit(f"pytest collects nothing:\n{done}")
        return ids.read_text().splitlines()


def _run_piece(suite: Suite, tests: Sequence[str], way: str, limit: float) -> dict[str, str]:
    """The outcome of each test; those that a piece does not come to are run alone."""
    outcomes = _run(suite, tests, way, limit)
    for test in [test for test in tests if test not in outcomes]:
        outcomes |= _run(suite, [test], way, limit) or {test: "no outcome: hangs, or kills its process"}
    return outcomes


def _run(suite: Suite, tests: Sequence[str], way: str, limit: float) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        _pytest(suite, tests, way, Path(scratch), limit)
        results = Path(scratch, "results")
        lines = results.read_text().splitlines() if results.exists() else []
    outcomes: dict[str, str] = {}
    for test, outcome, what in map(json.loads, lines):
        # A test that passes and fails in its teardown has two lines.
        outcomes[test] = f"{outcome} ({what})" if what else outcome
    return {test: outcome for test, outcome in outcomes.items() if test in set(tests)}


def _pytest(suite: Suite, arguments: Iterable[str], way: str, scratch: Path, limit: float) -> str:
    """Run pytest; returns the end of its output."""
    (scratch / "neutrality_plugin.py").write_text(_PLUGIN, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "neutrality_plugin"]
    command += ["--rootdir", str(suite.folder), *arguments]
    if way == _WITH:
        probe = [
            sys.executable,
            "-m",
            "dlcheck",
            "run",
            "--quiet",
            "--no-check",
            "--output",
            str(scratch / "rec"),
        ]
        command = [*probe, *([] if suite.stacks else ["--no-stacks"]), "--", *command]
    path = os.pathsep.join(filter(None, (str(scratch), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "NEUTRALITY_RESULTS": str(scratch / "results")}
    if "--collect-only" in command:
        environment["NEUTRALITY_IDS"] = str(scratch / "ids")
    output = scratch / "output"
    with output.open("wb") as file:
        child = subprocess.Popen(
            command,
            cwd=suite.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
    return output.read_text(encoding="utf-8", errors="replace")[-3000:]


def _examine(
    suite: Suite, different: Sequence[str], outcomes: dict[str, dict[str, str]], limit: float, again: int
) -> list[str]:
    """The tests that never have the same outcome both ways, in any of the runs."""
    changed = []
    for test in different:
        seen = {way: {outcomes[way][test]} for way in (_WITHOUT, _WITH)}
        for _ in range(again):
            for way in (_WITHOUT, _WITH):
                seen[way].add(_run_piece(suite, [test], way, limit)[test])
        if not seen[_WITHOUT] & seen[_WITH]:
            changed.append(test)
        print(
            f"{test}\n    without: {', '.join(sorted(seen[_WITHOUT]))}\n    with:    {', '.join(sorted(seen[_WITH]))}"
        )
    return changed


def _print_result(
    outcomes: dict[str, dict[str, str]], different: Sequence[str], changed: Sequence[str]
) -> None:
    for way in (_WITHOUT, _WITH):
        counts = Counter(outcome.partition(" (")[0] for outcome in outcomes[way].values())
        print(f"{way:<8}", ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    same = len(outcomes[_WITHOUT]) - len(different)
    print(
        f"the same: {same}; not stable: {len(different) - len(changed)}; changed by the probe: {len(changed)}"
    )


if __name__ == "__main__":
    main()
