"""The formats in which a report can be had, by name. Each renderer is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dlcheck.report.model import Report

FORMATS = ("text", "json", "html")


def write_report(report: Report, name: str, file: TextIO) -> None:
    """Write ``report`` in the format ``name`` to ``file``."""
    if name == "text":
        from dlcheck.report.run_text import print_report

        print_report(report, file)
    elif name == "json":
        from dlcheck.report.run_json import render_json

        file.write(render_json(report))
    elif name == "html":
        from dlcheck.report.run_html import render_html

        file.write(render_html(report))
    else:
        raise ValueError(f"no such format: {name}")
