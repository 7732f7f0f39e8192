"""``check_paths``: from paths to findings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.lint.discovery import Walk, given_files, project_files, project_root
from dlcheck.lint.finding import Finding
from dlcheck.lint.sources import Sources, is_notebook

if TYPE_CHECKING:
    from dlcheck.config.settings import Settings
    from dlcheck.lint.cache import Cache
    from dlcheck.lint.rule import Rule


# Files with nothing to report are parsed all the same, to say which are broken, while that costs no time to speak of.
_MOST_BYTES_TO_PARSE_ANYWAY = 200_000
# These say which Python and torch a project is for.
_SETTINGS = ("pyproject.toml", "setup.cfg", "setup.py", "dlcheck.toml", ".dlcheck.toml")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each project: the rules, what is reported, and which files are passed over."""

    select: tuple[str, ...]
    ignore: tuple[str, ...]
    low_confidence: bool
    own_rules: tuple[Rule, ...]
    walk: Walk
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that could not be read or parsed; the others are checked all the same."""

    file: str
    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All that a check found. ``files``: how many files were looked at. ``hidden``: how many findings are left out, by why.

    ``sources`` holds the content of every file with a finding, or with comments that suppress some. ``failures``: a line for
    each rule that broke down on a project, so that its findings there are missing; a defect of dlcheck. ``settings_read``: the
    files of settings that it looked for, with a digest of their content.
    """

    findings: tuple[Finding, ...]
    errors: tuple[FileError, ...]
    files: int
    sources: dict[str, bytes]
    hidden: dict[str, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    settings_read: tuple[tuple[str, str], ...] = ()


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
    cached: bool = False,
    cache_dir: Path | None = None,
    settings: Settings | None = None,
) -> CheckResult:
    """Check files, and the Python files below folders.

    Evidence is sought in the whole project around them (``root``, or the nearest folder above with a marker such as
    ``pyproject.toml``); findings are reported for the given files alone. ``select`` and ``ignore`` hold codes or
    prefixes of codes. Findings of low confidence are left out unless asked for. ``overlay`` holds the content of files (by
    absolute path) that is to be checked in place of what is on disk. ``walk`` says what is passed over, ``own_rules`` are
    asked beside dlcheck's. ``cached``: remember in the user's cache folder, or in ``cache_dir``, what was found out,
    and use what was found out before. ``settings`` say which versions the project is for, where it does not say so itself.
    Nothing that is read is ever run.
    """
    walk = walk or Walk()
    asked = Asked(select, ignore, low_confidence, own_rules, walk, settings)
    caching = partial(_cache, cache_dir) if cached else None
    groups: dict[tuple[Path, bool], dict[Path, None]] = {}
    for path in paths:
        path = Path(path).absolute()
        place = (root.absolute(), True) if root is not None else project_root(path)
        groups.setdefault(place, {}).update(dict.fromkeys(given_files([path], walk)))
    findings: list[Finding] = []
    errors: list[FileError] = []
    sources: dict[str, bytes] = {}
    failures: list[str] = []
    count = 0
    for (home, marked), files in sorted(groups.items()):
        result = _check_project(home, marked, list(files), asked, overlay or {}, caching)
        findings += result.findings
        errors += result.errors
        failures += result.failures
        sources |= result.sources
        count += result.files
    findings.sort(key=lambda f: (f.place.file, f.place.line, f.place.column, f.rule, f.message))
    errors.sort(key=lambda e: (e.file, e.line))
    return CheckResult(tuple(findings), tuple(errors), count, sources, failures=tuple(failures))


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
    caching: Callable[[Path], Cache] | None,
) -> CheckResult:
    cache = caching(root) if caching is not None else None
    read = Sources(root, overlay, cache)
    given = {name for name in (_relative(path, root) for path in files) if name is not None}
    if not any(read.summary(name).hints for name in given):
        errors = _errors(read, given)
        return CheckResult((), tuple(errors), len(files), _sources(read, given, (), errors))

    paths = [*project_files(root, marked, files, asked.walk), *map(Path, overlay)]
    found = (_relative(path, root) for path in paths)
    everything = given | {name for name in found if name is not None}
    key = _key(read, given, everything, asked) if cache is not None and not overlay else None
    result: CheckResult | None = None
    if cache is not None and key is not None:
        result = cache.result(key)
    if result is None or not read.settings_as_before(result.settings_read):
        from dlcheck.lint.engine import run_rules
        from dlcheck.lint.reach import starting_files

        seeds = starting_files(given, everything, read.summary)
        result = run_rules(read, given, everything, seeds, asked, cache)
        result = replace(result, errors=(*_errors(read, given), *result.errors))
        if cache is not None and key is not None and not result.failures:
            cache.keep_result(key, result)
    if cache is not None and not overlay:
        cache.save(everything)
    return replace(result, sources=_sources(read, given, result.findings, result.errors))


def _sources(
    read: Sources, given: set[str], findings: Iterable[Finding], errors: Iterable[FileError]
) -> dict[str, bytes]:
    """The content of the files that hold findings, or comments that suppress some; also of notebooks that are broken."""
    files = {finding.place.file for finding in findings} | {e.file for e in errors if is_notebook(e.file)}
    names = {_relative(Path(file), read.root) or "" for file in files}
    names |= {name for name in given if read.summary(name).suppresses}
    return {str(read.root / name): read(name) for name in sorted(names)}


def _cache(folder: Path | None, root: Path) -> Cache:
    from dlcheck.lint.cache import Cache

    return Cache(root, folder)


def _key(read: Sources, given: set[str], everything: set[str], asked: Asked) -> str | None:
    """Stands for all that a result depends on; ``None`` where that is not known."""
    if asked.own_rules:
        return None
    contents = [(name, name in given, read.summary(name).digest) for name in sorted(everything)]
    settings = [(read.root / name).read_bytes() for name in _SETTINGS if (read.root / name).is_file()]
    told = asked.settings and (
        asked.settings.target_python, asked.settings.target_torch, asked.settings.start_method
    )  # fmt: skip
    parts = (asked.select, asked.ignore, asked.low_confidence, told, contents, settings)
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _errors(read: Sources, given: set[str]) -> list[FileError]:
    """The files that cannot be read; and those with nothing to report that do not even parse, where there are few."""
    rest = sorted(name for name in given if not read.summary(name).mentions)
    unread = [FileError(str(read.root / name), 1, 1, text) for name, text in sorted(read.errors.items())]
    if sum(read.summary(name).size for name in rest) > _MOST_BYTES_TO_PARSE_ANYWAY:
        return unread
    return unread + [e for name in rest for e in _syntax_error(read.root / name, read(name))]
