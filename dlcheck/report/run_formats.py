"""The formats in which a report can be had, by name. Each renderer is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dlcheck.report.model import Report

_WRITERS = {
    "text": ("run_text", "print_report"),
    "json": ("run_json", "write_json"),
    "html": ("run_html", "write_html"),
    "chrome": ("run_chrome", "write_chrome"),
    "speedscope": ("run_stacks", "write_speedscope"),
    "collapsed": ("run_stacks", "write_collapsed"),
    "openmetrics": ("run_metrics", "write_openmetrics"),
    "otlp": ("run_metrics", "write_otlp"),
}
"""Module and function of each format. The function takes the report, and the file to write to."""

FORMATS = tuple(_WRITERS)
"""Those of text. Parquet is none, and several tables: see ``dlcheck.report.run_parquet``."""

_SHOWN = {"text": 0, "json": 0, "openmetrics": 0, "otlp": 0, "parquet": 0, "html": 8}


def loaders_shown(name: str) -> int | None:
    """Of how many loaders a format shows single batches; None: of all."""
    return _SHOWN.get(name)


def write_report(report: Report, name: str, file: TextIO) -> None:
    """Write ``report`` in the format ``name`` to ``file``."""
    module, function = _WRITERS[name]
    getattr(importlib.import_module(f"dlcheck.report.{module}"), function)(report, file)
