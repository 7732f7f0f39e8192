"""The rules there are: every module of the package ``dlcheck.rules``, and files of a project's own.

A rule's file is called by its code and name, ``dlc102_container_reopened_per_item.py``: what rules there are is known
without importing them.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.errors import UserError

if TYPE_CHECKING:
    from dlcheck.lint.rule import Rule

_loaded: dict[str, Rule] = {}  # the rules of projects' own, by code
_FILE_NAME = re.compile(r"([a-z]+\d+)_(\w+)")


class RuleError(UserError):
    """A file of a project's own rules that cannot be used, and why."""


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of dlcheck's own, in order of code."""
    rules: list[Rule] = [
        importlib.import_module(f"dlcheck.rules.{name}").RULE
        for name in _shipped()
        if _FILE_NAME.fullmatch(name)
    ]
    return tuple(sorted(rules, key=lambda rule: rule.code))


@cache
def own_rules(paths: tuple[Path, ...]) -> tuple[Rule, ...]:
    """The rules in a project's own files. This runs them. Raises ``RuleError`` where one holds no sound rule."""
    rules = tuple(sorted((_load(path) for path in rule_files(paths)), key=lambda rule: rule.code))
    _loaded.update({rule.code: rule for rule in rules})
    return rules


def rule_names(own: tuple[Path, ...] = ()) -> dict[str, str]:
    """The names of all rules by their codes, in order, as the files are called."""
    stems = [*_shipped(), *(path.stem for path in rule_files(own))]
    matches = filter(None, map(_FILE_NAME.fullmatch, stems))
    return {match[1].upper(): match[2].replace("_", "-") for match in sorted(matches, key=lambda m: m[1])}


def rule_files(paths: Iterable[Path]) -> list[Path]:
    """The files of rules among files and in folders."""
    files = [file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    return [file for file in files if _FILE_NAME.fullmatch(file.stem)]


def find_rule(text: str) -> Rule | None:
    """The rule with a code (``DLC102``, any case) or a name; a project's own where ``own_rules`` has loaded it."""
    wanted = text.strip().lower()
    rules = (*all_rules(), *_loaded.values())
    return next((rule for rule in rules if wanted in (rule.code.lower(), rule.name)), None)


def _shipped() -> list[str]:
    package = importlib.import_module("dlcheck.rules")
    return [info.name for info in pkgutil.iter_modules(package.__path__)]


def _load(path: Path) -> Rule:
    from dlcheck.lint.rule import Rule

    name = f"dlcheck_own_rules.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RuleError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RuleError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    rule = getattr(module, "RULE", None)
    if not isinstance(rule, Rule):
        raise RuleError(f"{path}: holds no RULE")
    if rule.code in rule_names():
        raise RuleError(f"{path}: {rule.code} is a rule of dlcheck's own; choose another code")
    expected = f"{rule.code}_{rule.name}".lower().replace("-", "_")
    if path.stem != expected:
        raise RuleError(f"{path}: the file of {rule.code} {rule.name} must be called {expected}.py")
    return rule
