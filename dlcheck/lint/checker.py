"""``check``: findings as the settings of each file want them, without what comments suppress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dlcheck.config.patterns import matcher
from dlcheck.config.resolve import Resolver
from dlcheck.config.settings import Settings
from dlcheck.facts.prefilter import may_suppress
from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.codes import NO_REASON
from dlcheck.lint.discovery import Walk, given_files
from dlcheck.lint.finding import Finding
from dlcheck.lint.registry import own_rules, rule_names


def check(
    paths: Iterable[Path],
    resolver: Resolver,
    *,
    root: Path | None = None,
    overlay: Mapping[str, bytes] | None = None,
    without: frozenset[str] = frozenset(),
    cached: bool = False,
) -> CheckResult:
    """Check files and folders under their settings. ``cached``: use what earlier checks found out, and remember it.
    ``without``: files (by absolute path) that are taken not to be there.

    Every rule is asked, whatever is chosen, since only then is it known which suppressions are used.
    """
    paths = [path.absolute() for path in paths]
    given = _settings_of(paths, resolver)
    own = tuple(dict.fromkeys(path for settings in given for path in settings.rules))
    result = check_paths(
        paths,
        root,
        low_confidence=True,
        overlay=overlay,
        walk=_walk(given, resolver, without),
        own_rules=own_rules(own),
        cached=cached,
        cache_dir=next((settings.cache_dir for settings in given if settings.cache_dir is not None), None),
        settings=given[0] if given else None,
    )
    names = rule_names(own)
    by_file: dict[str, list[Finding]] = {file: [] for file in result.sources}
    for finding in result.findings:
        by_file[finding.place.file].append(finding)
    left: list[Finding] = []
    hidden = 0
    for file, findings in by_file.items():
        kept, suppressed = _unsuppressed(file, result.sources[file], findings, names)
        wanted = _wanted(resolver.for_file(file), file)
        left += filter(wanted, kept)
        hidden += sum(map(wanted, suppressed))
    left.sort(key=lambda f: (f.place.file, f.place.line, f.place.column, f.rule, f.message))
    return replace(result, findings=tuple(left), hidden={"suppressed": hidden})


def files_to_check(paths: Iterable[Path], resolver: Resolver) -> list[Path]:
    """The files that a check of these paths reports on."""
    paths = [path.absolute() for path in paths]
    return given_files(paths, _walk(_settings_of(paths, resolver), resolver))


def _settings_of(paths: Iterable[Path], resolver: Resolver) -> list[Settings]:
    return [resolver.settings(path if path.is_dir() else path.parent) for path in paths]


def _walk(given: list[Settings], resolver: Resolver, without: frozenset[str] = frozenset()) -> Walk:
    return Walk(
        (lambda path: path in without or resolver.excluded(path)) if without else resolver.excluded,
        all(settings.respect_gitignore for settings in given),
        any(settings.force_exclude for settings in given),
    )


def _unsuppressed(
    file: str, source: bytes, findings: list[Finding], names: dict[str, str]
) -> tuple[list[Finding], list[Finding]]:
    """The findings that no comment suppresses, with those about the comments; and those that one does."""
    if not may_suppress(source) and b"noqa" not in source.lower():
        return findings, []
    from dlcheck.lint.suppress import suppress

    done = suppress(file, source, findings, names)
    return [*done.left, *done.remarks], done.taken


def _wanted(settings: Settings, file: str) -> Callable[[Finding], bool]:
    """Which findings the settings want for a file."""
    ignored = tuple(
        prefix
        for pattern, codes in settings.per_file_ignores
        for prefix in codes
        if matcher((pattern,))(file)
    )

    def wanted(finding: Finding) -> bool:
        code = finding.rule
        if code == NO_REASON and not settings.require_reason and NO_REASON not in settings.select:
            return False
        chosen = settings.chooses(code) and not code.startswith(ignored)
        return chosen and settings.keeps(finding.severity, finding.confidence)

    return wanted
