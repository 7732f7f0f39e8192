"""The examples of the rules: those of their pages, and more of them in ``tests/rules/more``."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Literal

from dlcheck.lint.rule import Rule

_MORE = Path(__file__).parent / "rules" / "more"


def examples(rule: Rule, kind: Literal["found", "clean"]) -> tuple[str, ...]:
    """What the rule must find, or leave alone."""
    own: tuple[str, ...] = getattr(rule, kind)
    path = _MORE / f"{rule.code.lower()}.py"
    more: tuple[str, ...] = runpy.run_path(str(path))[kind.upper()] if path.exists() else ()
    return own + more
