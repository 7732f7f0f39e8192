"""The rules there are: every module of the package ``dlcheck.rules`` that holds a ``RULE``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from dlcheck.lint.rule import Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in order of code."""
    package = importlib.import_module("dlcheck.rules")
    rules: list[Rule] = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("dlc"):
            rules.append(importlib.import_module(f"dlcheck.rules.{info.name}").RULE)
    return tuple(sorted(rules, key=lambda rule: rule.code))


def find_rule(text: str) -> Rule | None:
    """The rule with a code (``DLC102``, any case) or a name."""
    wanted = text.strip().lower()
    return next((rule for rule in all_rules() if wanted in (rule.code.lower(), rule.name)), None)
