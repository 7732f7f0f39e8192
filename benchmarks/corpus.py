"""Precision and recall of `dlcheck check` on hand-labelled public code.

    python benchmarks/corpus.py --labels LABELS.toml --mirror DIR [--work DIR] [--rules DLC201] [--show fp]

The mirror holds one git directory per repository, ``owner+name/repo``. The Python files of each labelled
commit are laid out whole under the work directory (evidence crosses files) and checked in one run; only
labelled files are scored.

A label is a rule at a line with a verdict: ``must`` be found, or ``may`` be found. A finding meets a label of
its rule when its lines touch the label's. A ``must`` that is met is a true positive, one that is missed a
false negative; a finding that meets no label is a false positive; one that meets only ``may`` labels counts
for neither. Rules that no label names are counted as unreviewed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEPT = (".py", ".ipynb", "pyproject.toml", "setup.cfg")
SLACK = 1  # lines: labels and findings may point at neighbouring lines of one statement


@dataclass(frozen=True)
class Label:
    """What a reader decided about one rule at one place."""

    rule: str
    lines: frozenset[int]
    must: bool
    why: str


@dataclass(frozen=True)
class Checkout:
    """One commit of one repository, with the labels of each labelled file."""

    repo: str
    commit: str
    labels: dict[str, list[Label]]

    @property
    def folder(self) -> str:
        return self.repo.replace("/", "+")


@dataclass(frozen=True)
class Outcome:
    """One scored place: ``kind`` is tp, fn, fp, may or new."""

    kind: str
    rule: str
    checkout: Checkout
    path: str
    line: int
    text: str


def read_labels(file: Path) -> list[Checkout]:
    """The labelled checkouts, in order of name."""
    grouped: dict[tuple[str, str], dict[str, list[Label]]] = defaultdict(dict)
    for entry in tomllib.loads(file.read_text())["file"]:
        grouped[entry["repo"], entry["commit"]][entry["path"]] = [
            Label(
                rule=found["rule"],
                lines=frozenset([found["line"], *found.get("line_alt", [])]),
                must=found["verdict"] == "must",
                why=found["why"],
            )
            for found in entry.get("finding", [])
        ]
    return [Checkout(repo, commit, labels) for (repo, commit), labels in sorted(grouped.items())]


def git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", f"--git-dir={directory}", *arguments], capture_output=True, check=False)


def lay_out(checkout: Checkout, mirror: Path, work: Path) -> Path | None:
    """The tree of a checkout under ``work``, written on first use; None where the mirror lacks it."""
    tree = work / checkout.folder
    mark = work / f".{checkout.folder}.commit"
    if mark.exists() and mark.read_text() == checkout.commit:
        return tree
    directory = mirror / checkout.folder / "repo"
    if not directory.is_dir():
        return None
    commit = checkout.commit if git(directory, "cat-file", "-e", checkout.commit).returncode == 0 else "HEAD"
    if commit == "HEAD":
        print(
            f"{checkout.repo}: commit {checkout.commit[:12]} is not in the mirror, HEAD is used",
            file=sys.stderr,
        )
    listing = git(directory, "ls-tree", "-r", "-z", commit).stdout.decode()
    for entry in filter(None, listing.split("\0")):
        kind, name = entry.split("\t", 1)
        mode, _, blob = kind.split(" ")
        if not name.endswith(KEPT) or not mode.startswith("100"):
            continue
        content = git(directory, "cat-file", "blob", blob)
        if content.returncode == 0:  # a snapshot may lack its largest files
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.stdout)
    mark.write_text(checkout.commit)
    return tree


def check(command: list[str], tree: Path) -> tuple[list[dict[str, Any]], float]:
    """The findings of ``command`` in ``tree``, and the CPU seconds that it and its children took."""
    before = os.times()
    run = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    if run.returncode not in (0, 1):
        raise RuntimeError(f"exit {run.returncode}: {run.stderr.strip()[-300:]}")
    findings: list[dict[str, Any]] = json.loads(run.stdout)["findings"]
    return findings, cpu_s


def by_path(findings: Iterable[dict[str, Any]], tree: Path) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for finding in findings:
        grouped[os.path.relpath(tree / finding["file"], tree)].append(finding)
    return grouped


def score(checkout: Checkout, found: dict[str, list[dict[str, Any]]], rules: set[str]) -> Iterator[Outcome]:
    """What became of each label of a checkout, and of each finding in its labelled files."""
    for path, labels in checkout.labels.items():
        met: set[Label] = set()
        for finding in found.get(path, []):
            rule, line = finding["rule"], finding["line"]
            text = f"{finding['message']} [{finding['confidence']}]"
            if rule not in rules:
                yield Outcome("new", rule, checkout, path, line, text)
                continue
            reach = range(line - SLACK, finding["end_line"] + SLACK + 1)
            matches = {label for label in labels if label.rule == rule and not label.lines.isdisjoint(reach)}
            met |= matches
            if not matches:
                yield Outcome("fp", rule, checkout, path, line, text)
            elif not any(label.must for label in matches):
                yield Outcome("may", rule, checkout, path, line, text)
        for label in labels:
            if label.must and label.rule in rules:
                kind = "tp" if label in met else "fn"
                yield Outcome(kind, label.rule, checkout, path, min(label.lines), label.why)


def ratio(part: int, rest: int) -> str:
    return f"{part / (part + rest):.2f}" if part + rest else "-"


def table(tally: dict[str, Counter[str]]) -> Iterator[str]:
    yield f"{'rule':8} {'tp':>4} {'fn':>4} {'fp':>4} {'may':>4}  precision  recall"
    for rule, count in [*sorted(tally.items()), ("all", sum(tally.values(), Counter[str]()))]:
        tp, fn, fp, may = (count[kind] for kind in ("tp", "fn", "fp", "may"))
        yield f"{rule:8} {tp:4} {fn:4} {fp:4} {may:4}  {ratio(tp, fp):>9}  {ratio(tp, fn):>6}"


def show(outcome: Outcome, work: Path) -> str:
    source = (work / outcome.checkout.folder / outcome.path).read_text(errors="replace").splitlines()
    quoted = source[outcome.line - 1].strip() if outcome.line <= len(source) else ""
    place = f"{outcome.checkout.folder}/{outcome.path}:{outcome.line}"
    return f"{outcome.kind:3} {outcome.rule} {place}\n        {outcome.text}\n        > {quoted}"


def names(value: str) -> set[str]:
    return set(filter(None, value.split(",")))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labels", type=Path, required=True, help="TOML file of labelled files")
    parser.add_argument(
        "--mirror", type=Path, required=True, help="folder of git directories, owner+name/repo"
    )
    parser.add_argument(
        "--work", type=Path, help="where the trees are laid out and kept (default: a temporary folder)"
    )
    parser.add_argument("--rules", type=names, default=set(), help="score these rules only, comma-separated")
    parser.add_argument("--only", help="one repository, owner/name")
    parser.add_argument(
        "--show", choices=["tp", "fn", "fp", "may", "new", "all"], help="print these places too"
    )
    own = f"{shlex.quote(sys.executable)} -m dlcheck check --output-format json ."
    parser.add_argument("--command", default=own, help="the checker, run in each tree")
    options = parser.parse_args()

    checkouts = [c for c in read_labels(options.labels) if options.only in (None, c.repo)]
    named = {label.rule for c in checkouts for labels in c.labels.values() for label in labels}
    rules = named & options.rules if options.rules else named
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    unreviewed: Counter[str] = Counter()
    cpu_s, failed, files = 0.0, 0, 0

    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for checkout in checkouts:
            tree = lay_out(checkout, options.mirror, work)
            if tree is None:
                print(f"{checkout.repo}: not in the mirror", file=sys.stderr)
                failed += 1
                continue
            try:
                findings, seconds = check(shlex.split(options.command), tree)
            except (RuntimeError, ValueError, KeyError, OSError) as error:
                print(f"{checkout.repo}: {error}", file=sys.stderr)
                failed += 1
                continue
            cpu_s += seconds
            files += len(checkout.labels)
            for outcome in score(checkout, by_path(findings, tree), rules):
                if outcome.kind == "new":
                    unreviewed[outcome.rule] += 1
                else:
                    tally[outcome.rule][outcome.kind] += 1
                if options.show in (outcome.kind, "all"):
                    print(show(outcome, work))

    print("\n".join(table(tally)))
    if unreviewed and not options.rules:
        print("rules without labels:", ", ".join(f"{rule} {n}" for rule, n in sorted(unreviewed.items())))
    repos = f"{len(checkouts) - failed} repositories, {failed} failed"
    print(f"{files} labelled files of {repos}, {cpu_s:.1f} s of CPU")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
