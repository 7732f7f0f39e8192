"""From a recording to a report: the timeline is read, the code of the run is checked, and both are joined."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.hotlines import Project
from dlcheck.diagnosis.model import Diagnosis
from dlcheck.diagnosis.recording import load
from dlcheck.diagnosis.timeline import Site, Timeline
from dlcheck.lint.finding import Finding
from dlcheck.report.excerpts import Excerpt, read_excerpts, take_excerpts, write_excerpts
from dlcheck.report.model import Report, read_findings, write_findings

FINDINGS = "findings.json"
EXCERPTS = "excerpts.json"
_MOST_FILES = 500
_MOST_STACKS = 5000
_SKIPPED = frozenset(("site-packages", "dist-packages", "node_modules", "__pycache__", "build", "dist"))


def build_report(recording: Path, *, check: bool, fresh: bool = False) -> Report:
    """The report of a recording.

    ``check``: check the sources that the run used, and keep the findings beside the recording; otherwise take
    those that were kept, if any. ``fresh``: the run has just ended on this machine, and the source lines that
    the report names are kept beside the recording too. Raises FileNotFoundError or ValueError where there is
    no recording.
    """
    timeline = load(recording)
    findings: tuple[Finding, ...] = ()
    notes: list[str] = []
    if check:
        findings = _check(timeline, notes)
        write_findings(recording / FINDINGS, findings)
    elif (recording / FINDINGS).exists():
        try:
            findings = read_findings(recording / FINDINGS)
        except (OSError, ValueError) as error:
            notes.append(f"the kept findings cannot be read: {error}")
    diagnosis = diagnose(timeline, findings)
    excerpts = _excerpts(recording, diagnosis, fresh, notes)
    return Report(replace(diagnosis, notes=(*diagnosis.notes, *notes)), timeline, str(recording), excerpts)


def _excerpts(
    recording: Path, diagnosis: Diagnosis, fresh: bool, notes: list[str]
) -> dict[tuple[str, int], Excerpt]:
    try:
        if fresh:
            excerpts = take_excerpts(_places(diagnosis))
            write_excerpts(recording / EXCERPTS, excerpts)
            return excerpts
        return read_excerpts(recording / EXCERPTS) if (recording / EXCERPTS).exists() else {}
    except (OSError, ValueError) as error:
        notes.append(f"no source lines are shown: {error}")
        return {}


def _places(diagnosis: Diagnosis) -> Iterator[Site]:
    """The lines of the project that a report names, in the order in which it does."""
    project = Project(dict(diagnosis.environment))
    for loader in diagnosis.loaders:
        for culprit in loader.culprits:
            if project.owns(culprit.site.file):
                yield replace(culprit.site, file=project.absolute(culprit.site.file))
    for priced in diagnosis.findings:
        yield Site(priced.finding.place.file, priced.finding.place.line)


def _check(timeline: Timeline, notes: list[str]) -> tuple[Finding, ...]:
    paths = sorted(_sources(timeline))
    if not paths:
        return ()
    try:
        from dlcheck.lint.api import check_paths

        result = check_paths(paths)
    except Exception as error:
        # The run has been measured; that its code cannot be checked does not take that away.
        notes.append(f"the code of the run could not be checked: {type(error).__name__}: {error}")
        return ()
    for wrong in result.errors[:3]:
        notes.append(f"{wrong.file}:{wrong.line} could not be checked: {wrong.message}")
    return tuple(result.findings)


def _sources(timeline: Timeline) -> set[Path]:
    """The files that the run shows to be part of it, and the tree around its script, if that is not large."""
    project = Project(timeline.environment)
    named = {str(timeline.environment.get("main") or "")}
    for loader in timeline.loaders:
        named |= {loader.created_at.file, loader.dataset_at.file if loader.dataset_at else ""}
    for sample in timeline.stacks[:_MOST_STACKS]:
        named |= {frame.file for frame in sample.frames}
    files = {Path(project.absolute(file)) for file in named if file and project.owns(file)}
    files = {file for file in files if file.is_file()}
    script = timeline.environment.get("main")
    if script and project.owns(str(script)):
        around = list(_python_files(Path(project.absolute(str(script))).parent))
        if len(around) <= _MOST_FILES:
            files.update(around)
    return files


def _python_files(root: Path) -> Iterator[Path]:
    """Python files below ``root``, no more than one above the limit; environments and hidden folders are left
    out.
    """
    count = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder) / name
                count += 1
                if count > _MOST_FILES:
                    return
