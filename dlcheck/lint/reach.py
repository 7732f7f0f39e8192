"""Which files a check starts from: those that may hold datasets, loaders or their uses, and bear on the given files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from dlcheck.facts.model import FileFacts
from dlcheck.facts.summary import Summary
from dlcheck.program.project import Project

_BUILT_ON_TORCH = frozenset(
    "lightning accelerate transformers datasets monai fastai timm webdataset litdata".split()
)

_Imports = tuple[str, str, tuple[str, ...]]


def starting_files(given: set[str], everything: set[str], summary: Callable[[str], Summary]) -> list[str]:
    """The files to parse first; what else these import is parsed when it is needed.

    Where not all files are given, only those count that import a given file, directly or not, and the files with loaders
    that all these import: what is built elsewhere can neither use nor be used by what a given file holds.
    """
    if not any(_is_about_torch(summary(name)) for name in everything):
        return []  # other things are called loaders and data sets, too
    seeds = _speaking_of_data(everything, summary)
    if not seeds <= given:
        importers = _importers(given, everything, summary)
        imported = _imported(importers, everything, summary)
        seeds = {name for name in seeds if name in importers or (name in imported and summary(name).gives)}
    return sorted(seeds)


def _is_about_torch(summary: Summary) -> bool:
    roots = {module.partition(".")[0] for module, _ in summary.imports}
    return any("torch" in root or root in _BUILT_ON_TORCH for root in roots)


def _speaking_of_data(everything: set[str], summary: Callable[[str], Summary]) -> set[str]:
    """The files that mention datasets or loaders, and those that import what builds loaders."""
    seeds = {name for name in everything if summary(name).mentions}
    # What may hand out a loader, by file: names of its own, or names that it passes on.
    giving = {name: set(summary(name).names) for name in seeds if summary(name).gives}
    finder = _finder(everything, summary)
    for _ in range(2):
        wanted = {text for names in giving.values() for text in names}
        stems = {_stem(name) for name in giving}
        passed: dict[str, set[str]] = {}
        for name in sorted(everything - seeds):
            for module, bound in summary(name).imports:
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
    return seeds


def _importers(given: set[str], everything: Iterable[str], summary: Callable[[str], Summary]) -> set[str]:
    """The given files and all that import them, directly or through others."""
    naming: dict[str, list[_Imports]] = {}
    for name in sorted(everything):
        for module, bound in summary(name).imports:
            for word in {_last_part(module, name), *bound}:
                naming.setdefault(word, []).append((name, module, bound))
    finder = _finder(everything, summary)
    found = set(given)
    waiting = sorted(given)
    while waiting:
        target = waiting.pop()
        for name, module, bound in naming.get(_stem(target), ()):
            if name not in found and target in finder.targets(module, bound, name):
                found.add(name)
                waiting.append(name)
    return found


def _imported(names: Iterable[str], everything: Iterable[str], summary: Callable[[str], Summary]) -> set[str]:
    """The files and what they import loaders by, directly or through others."""
    giving = [name for name in everything if summary(name).gives]
    wanted = (
        {text for name in giving for text in summary(name).names} | {_stem(name) for name in giving} | {"*"}
    )
    finder = _finder(everything, summary)
    found = set(names)
    waiting = sorted(found)
    while waiting:
        name = waiting.pop()
        for module, bound in summary(name).imports:
            if bound and wanted.isdisjoint(bound):
                continue
            new = [target for target in finder.targets(module, bound, name) if target not in found]
            found.update(new)
            waiting += new
    return found


def _last_part(module: str, importer: str) -> str:
    """The last word of a module's name; of ``from . import a``, the package's own."""
    if module.strip("."):
        return module.rpartition(".")[2]
    parents = PurePosixPath(importer).parents
    return parents[min(len(module), len(parents)) - 1].name


def _finder(everything: Iterable[str], summary: Callable[[str], Summary]) -> Project:
    """Finds the files of imports, without reading them."""
    return Project(everything, _no_facts, searched=lambda name: summary(name).folders)


def _no_facts(path: str) -> FileFacts:
    raise LookupError(path)


def _stem(name: str) -> str:
    parts = name.rpartition(".")[0].split("/")
    return parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]
