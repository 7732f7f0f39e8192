"""The static findings on the code of a recorded run: checked where it has just run, or kept beside the recording."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dlcheck.diagnosis.hotlines import Project
from dlcheck.diagnosis.load_stacks import files_of
from dlcheck.diagnosis.recording import Host, environment_of
from dlcheck.facts.prefilter import imports
from dlcheck.lint.finding import Finding
from dlcheck.report.model import read_findings, write_findings

FINDINGS = "findings.json"
_MOST_FILES = 500
# Modules are imported by name, too.
_NAME_IN_QUOTES = re.compile(rb"""["']([^\W\d][\w.]*)["']""")
_SKIPPED = frozenset(("site-packages", "dist-packages", "node_modules", "__pycache__", "build", "dist"))


def findings_on(host: Host, check: bool, notes: list[str]) -> tuple[Finding, ...]:
    """The findings: with ``check`` of the sources as they are now, which are kept; else those that were kept."""
    path = host.path / FINDINGS
    if check:
        findings = _check(host, notes)
        write_findings(path, findings)
        return findings
    try:
        return read_findings(path) if path.exists() else ()
    except (OSError, ValueError) as error:
        notes.append(f"the kept findings cannot be read: {error}")
        return ()


def _check(host: Host, notes: list[str]) -> tuple[Finding, ...]:
    paths = sorted(sources_of(host))
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
    # What lies beside the script and is not imported is another program.
    used = {str(path) for path in imported(_named_by(host), paths)}
    return tuple(finding for finding in result.findings if finding.place.file in used)


def sources_of(host: Host) -> set[Path]:
    """The files that the run shows to be part of it, and the tree around its script, if that is not large."""
    return _named_by(host) | _around(host)


def _named_by(host: Host) -> set[Path]:
    """The files that the run shows to be part of it: its script, and those that stacks and loaders name."""
    script, project = _script(host)
    named = {script} | files_of(host.path)
    for log in host.logs:
        for line in log.said("loader"):
            named |= {
                str(at[0]) for at in (line.get("site"), line.get("dataset_at"), line.get("items_at")) if at
            }
    files = {Path(project.absolute(file)) for file in named if file and project.owns(file)}
    return {file for file in files if file.is_file()}


def _around(host: Host) -> set[Path]:
    """The tree around the script, if that is not large."""
    script, project = _script(host)
    if not script or not project.owns(script):
        return set()
    around = list(_python_files(Path(project.absolute(script)).parent))
    return set(around) if len(around) <= _MOST_FILES else set()


def _script(host: Host) -> tuple[str, Project]:
    """What the run was a run of, and what lies in its project."""
    environment = environment_of(host.manifest, host.logs)
    return str(environment.get("main") or ""), Project(environment)


def imported(roots: Collection[Path], files: Collection[Path]) -> set[Path]:
    """``roots``, and those of ``files`` that they import, or that these import, by the ends of their names: where a
    package begins is not known.
    """
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.parent.name if file.stem == "__init__" else file.stem, []).append(file)
    found, left = set(roots), list(roots)
    while left:
        for dotted in _imports(left.pop()):
            for name in dotted.split("."):
                new = [file for file in by_name.get(name, ()) if file not in found]
                found.update(new)
                left += new
    return found


def _imports(file: Path) -> Iterator[str]:
    """The names of modules that a file may import, anywhere in it: by statements, or by name."""
    try:
        source = file.read_bytes()
    except OSError:
        return
    for module, names in imports(source):
        # What is imported from a package may be a module of it.
        yield from (module, *names)
    yield from (match.decode("ascii") for match in _NAME_IN_QUOTES.findall(source))


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
