"""Run the rules over one project."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.config.settings import Settings
from dlcheck.config.target import find_target
from dlcheck.facts.model import At, FileFacts
from dlcheck.facts.parse import parse
from dlcheck.facts.text import utf8
from dlcheck.lint.api import Asked, CheckResult, FileError
from dlcheck.lint.finding import Finding, Place
from dlcheck.lint.registry import all_rules
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.program import Program, place_lines
from dlcheck.program.project import Project

if TYPE_CHECKING:
    from dlcheck.lint.cache import Cache
    from dlcheck.lint.sources import Sources


def run_rules(
    read: Sources,
    given: set[str],
    everything: set[str],
    seeds: list[str],
    asked: Asked,
    cache: Cache | None = None,
) -> CheckResult:
    """Link the project and ask every chosen rule; ``given`` are the files to report on."""
    root = read.root
    problems: list[FileError] = []
    facts: dict[str, FileFacts] = {}

    def load(name: str) -> FileFacts:
        if name not in facts:
            facts[name] = _facts(name, read, cache)
            error = facts[name].error
            if error is not None and name in given:
                problems.append(
                    FileError(str(root / name), error[1], error[2], f"cannot be parsed: {error[0]}")
                )
        return facts[name]

    project = Project(everything, load, read.settings, lambda name: read.summary(name).folders)
    for name in seeds:
        project.module(name)
    target = find_target(root, asked.settings or Settings(root))
    program = Program(project, target.python or (3, 10), target.start_method)
    findings: dict[tuple[str, Place], Finding] = {}
    failures: list[str] = []
    for rule in (*all_rules(), *asked.own_rules):
        if not chosen(rule.code, asked.select, asked.ignore):
            continue
        reports, failure = _ask(rule, program)
        failures += failure
        for report in reports:
            if report.scope.module.path not in given:
                continue
            finding = _finding(rule, report, root, read)
            if finding.confidence == "low" and not asked.low_confidence:
                continue
            findings.setdefault((rule.code, finding.place), finding)
    return CheckResult(
        tuple(findings.values()), tuple(problems), len(given), {}, failures=tuple(failures),
        settings_read=tuple(sorted(read.settings_read.items())),
    )  # fmt: skip


def _ask(rule: Rule, program: Program) -> tuple[list[Report], list[str]]:
    """What a rule reports, and a line where it breaks down: the findings of the other rules are not lost for that."""
    reports: list[Report] = []
    try:
        reports.extend(rule.check(program))
    except Exception as error:
        if os.environ.get("DLCHECK_DEBUG"):
            raise
        text = (
            f"internal error in {rule.code}, whose findings are not complete: {type(error).__name__}: {error}"
        )
        return reports, [text]
    return reports, []


def _facts(name: str, read: Sources, cache: Cache | None) -> FileFacts:
    if cache is None:
        return parse(read(name))
    digest = read.summary(name).digest
    known = cache.facts(digest)
    if isinstance(known, FileFacts):
        return known
    made = parse(read(name))
    cache.keep_facts(digest, made)
    return made


def chosen(code: str, select: tuple[str, ...], ignore: tuple[str, ...]) -> bool:
    """Whether a rule runs: the longest prefix that fits decides, ``ignore`` before ``select`` where they are equal."""
    taken = max((len(p) for p in select if code.startswith(p)), default=-1 if select else 0)
    left = max((len(p) for p in ignore if code.startswith(p)), default=-1)
    return taken > left or (taken == 0 and left < 0)


def _finding(rule: Rule, report: Report, root: Path, read: Callable[[str], bytes]) -> Finding:
    module = report.scope.module
    path = module.path
    return Finding(
        rule.code,
        rule.name,
        _place(str(root / path), report.at, read(path)),
        report.message,
        report.severity or rule.severity,
        # Tests make faults on purpose, and few care for their speed.
        "low" if module.is_unit_test else report.confidence or rule.confidence,
        report.help,
        place_lines(report.scope, report.at),
        tuple(
            _place(str(root / scope.module.path), at, read(scope.module.path)) for scope, at in report.also
        ),
        report.fix,
    )


def _place(file: str, at: At, source: bytes) -> Place:
    lines = _lines(source)

    def column(line: int, offset: int) -> int:
        # The parser counts UTF-8 bytes; people count characters.
        if 0 < line <= len(lines):
            return len(lines[line - 1][:offset].decode("utf-8", "replace")) + 1
        return offset + 1

    return Place(file, at[0], column(at[0], at[1]), at[2], column(at[2], at[3]))


@lru_cache(maxsize=16)
def _lines(source: bytes) -> list[bytes]:
    return utf8(source).splitlines()
