"""``check_paths``: from paths to findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.facts.prefilter import imports, may_build_loader, mentions_data_loading, names_that_load
from dlcheck.lint.discovery import Walk, given_files, project_files, project_root
from dlcheck.lint.finding import Finding

if TYPE_CHECKING:
    from dlcheck.facts.model import FileFacts
    from dlcheck.lint.rule import Rule


# Files with nothing to report are parsed all the same, to say which are broken, while that costs no time to speak of.
_MOST_BYTES_TO_PARSE_ANYWAY = 200_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each project: the rules, what is reported, and which files are passed over."""

    select: tuple[str, ...]
    ignore: tuple[str, ...]
    low_confidence: bool
    own_rules: tuple[Rule, ...]
    walk: Walk


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that could not be read or parsed; the others are checked all the same."""

    file: str
    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All that a check found. ``files``: how many files were looked at."""

    findings: tuple[Finding, ...]
    errors: tuple[FileError, ...]
    files: int
    sources: dict[str, bytes]


class _Sources:
    """The bytes of the files of one project, read once; paths relative to its root, with forward slashes."""

    def __init__(self, root: Path, overlay: Mapping[str, bytes]) -> None:
        self.root = root
        self.overlay = overlay
        self.errors: dict[str, str] = {}
        self._read: dict[str, bytes] = {}

    def __call__(self, relative: str) -> bytes:
        if relative not in self._read:
            path = self.root / relative
            if str(path) in self.overlay:
                self._read[relative] = self.overlay[str(path)]
                return self._read[relative]
            try:
                self._read[relative] = path.read_bytes()
            except OSError as error:
                self.errors[relative] = error.strerror or type(error).__name__
                self._read[relative] = b""
        return self._read[relative]


def check_paths(
    paths: Iterable[Path],
    root: Path | None = None,
    *,
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    low_confidence: bool = False,
    overlay: Mapping[str, bytes] | None = None,
    walk: Walk | None = None,
    own_rules: tuple[Rule, ...] = (),
) -> CheckResult:
    """Check files, and the Python files below folders.

    Evidence is sought in the whole project around them (``root``, or the nearest folder above with a marker such as
    ``pyproject.toml``); findings are reported for the given files alone. ``select`` and ``ignore`` hold codes or
    prefixes of codes. Findings of low confidence are left out unless asked for. ``overlay`` holds the content of files (by
    absolute path) that is to be checked in place of what is on disk. ``walk`` says what is passed over, ``own_rules`` are
    asked beside dlcheck's. Nothing that is read is ever run.
    """
    walk = walk or Walk()
    asked = Asked(select, ignore, low_confidence, own_rules, walk)
    groups: dict[tuple[Path, bool], dict[Path, None]] = {}
    for path in paths:
        path = Path(path).absolute()
        place = (root.absolute(), True) if root is not None else project_root(path)
        groups.setdefault(place, {}).update(dict.fromkeys(given_files([path], walk)))
    findings: list[Finding] = []
    errors: list[FileError] = []
    sources: dict[str, bytes] = {}
    count = 0
    for (home, marked), files in sorted(groups.items()):
        result = _check_project(home, marked, list(files), asked, overlay or {})
        findings += result.findings
        errors += result.errors
        sources |= result.sources
        count += result.files
    findings.sort(key=lambda f: (f.place.file, f.place.line, f.place.column, f.rule, f.message))
    errors.sort(key=lambda e: (e.file, e.line))
    return CheckResult(tuple(findings), tuple(errors), count, sources)


def _syntax_error(path: Path, source: bytes) -> list[FileError]:
    """A file that says nothing about data loading is still worth a word if it does not even parse."""
    from dlcheck.facts.parse import syntax_error

    error = syntax_error(source)
    return (
        [] if error is None else [FileError(str(path), error[1], error[2], f"cannot be parsed: {error[0]}")]
    )


def _relative(path: Path, root: Path) -> str | None:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return None


def _check_project(
    root: Path,
    marked: bool,
    files: list[Path],
    asked: Asked,
    overlay: Mapping[str, bytes],
) -> CheckResult:
    read = _Sources(root, overlay)
    given = {name for name in (_relative(path, root) for path in files) if name is not None}
    relevant = {name for name in sorted(given) if mentions_data_loading(read(name))}
    errors = [FileError(str(root / name), 1, 1, message) for name, message in sorted(read.errors.items())]
    rest = given - relevant
    if sum(len(read(name)) for name in rest) <= _MOST_BYTES_TO_PARSE_ANYWAY:
        errors += [e for name in sorted(rest) for e in _syntax_error(root / name, read(name))]
    if not relevant and not any(b"oader" in read(name) or b"Trainer" in read(name) for name in given):
        return CheckResult((), tuple(errors), len(files), {})

    from dlcheck.lint.engine import run_rules

    everything = {
        name
        for name in (_relative(p, root) for p in project_files(root, marked, files, asked.walk))
        if name is not None
    }
    everything |= given
    return run_rules(root, read, given, everything, _seeds(everything, read), errors, asked)


def _seeds(everything: set[str], read: _Sources) -> list[str]:
    """The files to start from: those that mention datasets or loaders, and those that import what builds loaders."""
    from dlcheck.program.project import Project

    seeds = {name for name in everything if mentions_data_loading(read(name))}
    # What may hand out a loader, by file: names of its own, or names that it passes on.
    giving = {name: names_that_load(read(name)) for name in seeds if may_build_loader(read(name))}
    finder = Project(everything, _no_facts)
    for _ in range(2):
        wanted = {text for names in giving.values() for text in names}
        stems = {_stem(name) for name in giving}
        passed: dict[str, set[str]] = {}
        for name in sorted(everything - seeds):
            for module, bound in imports(read(name)):
                taken = {text for text in bound if text in wanted or text == "*"}
                if not taken and module.rpartition(".")[2] not in stems and not stems & set(bound):
                    continue
                if bound and not taken and not stems & set(bound):
                    continue
                if any(target in giving for target in finder.targets(module, bound, name)):
                    passed.setdefault(name, set()).update(taken)
        if not passed:
            break
        seeds |= passed.keys()
        giving = passed
    return sorted(seeds)


def _no_facts(path: str) -> FileFacts:
    raise LookupError(path)


def _stem(name: str) -> str:
    parts = name.removesuffix(".py").split("/")
    return parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]
