"""The output formats of ``dlcheck check``: ``check_NAME.py`` renders the format ``NAME``."""

from __future__ import annotations

import importlib

from dlcheck.lint.api import CheckResult
from dlcheck.report.ansi import Paint

# These are read by people: they may have colours, and problems with files are told apart from them.
FOR_PEOPLE = frozenset(("full", "concise", "grouped"))


def render(result: CheckResult, output_format: str, paint: Paint) -> str:
    """The findings in a format, one of ``dlcheck.config.settings.OUTPUT_FORMATS``."""
    module = importlib.import_module(f"dlcheck.report.check_{output_format}")
    return str(module.render(result, paint) if output_format in FOR_PEOPLE else module.render(result))
