"""The report of a run as one HTML file: complete in itself, it opens offline and asks for nothing.

Everything that comes from the recording is text: the template escapes it, the charts get it as packed numbers
and set it as text. The page's own policy runs the one script and the one style sheet whose hashes it names,
so that what slips through would still not be run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Mapping
from importlib import resources
from typing import Any, TextIO

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from dlcheck import __version__
from dlcheck.diagnosis.attribution import CAUSES
from dlcheck.diagnosis.model import Diagnosis, LoaderDiagnosis
from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.report.chart_data import chart_data
from dlcheck.report.excerpts import Excerpt
from dlcheck.report.model import Report
from dlcheck.report.words import plural

MOST_BYTES = 1_500_000

_MOST_LOADERS = 8
_MOST_LISTED = 600
_MOST_FINDINGS = 50
_MOST_ROWS = 24_000
_MOST_CHARACTERS = 2000
_SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "format.js",
    "data.js",
    "charts.js",
    "timeline.js",
    "flame.js",
    "main.js",
)
_STYLES = ("vendor/uPlot.min.css", "style.css")

# Control characters, directions of writing and halves of surrogates: they would hide or turn around what follows.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def render_html(report: Report) -> str:
    """The page. It shows fewer single batches and loaders, until it is no larger than MOST_BYTES."""
    rows, loaders = _MOST_ROWS, _MOST_LOADERS
    while True:
        page = _render(report, rows, loaders)
        if len(page.encode()) <= MOST_BYTES or rows < 100:
            return page
        rows, loaders = rows // 2, max(1, loaders - 1)


def write_html(report: Report, file: TextIO) -> None:
    """Write the page."""
    file.write(render_html(report))


def _render(report: Report, rows: int, most_loaders: int) -> str:
    diagnosis = report.diagnosis
    shown = diagnosis.loaders[:most_loaders]
    script = _script()
    style = "\n".join(_asset(name) for name in _STYLES)
    environment = _environment(report)
    return environment.from_string(_asset("report.html")).render(
        version=__version__,
        command=shlex.join(diagnosis.command) or "command not known",
        facts=_facts(diagnosis),
        diagnosis=diagnosis,
        recording=report.recording,
        shown_loaders=len(shown),
        most_listed=_MOST_LISTED,
        most_findings=_MOST_FINDINGS,
        longest_s=max((loader.wall_s for loader in diagnosis.loaders), default=0.0) or 1.0,
        ranks=len({loader.rank for loader in diagnosis.loaders if loader.rank is not None}),
        nodes=any(loader.node for loader in diagnosis.loaders),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        numbers=_packed(chart_data(report, shown, rows)),
    )


def _environment(report: Report) -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=visible, trim_blocks=True)
    environment.filters |= {
        "seconds": lambda s: duration(s * 1e9),
        "ns": lambda ns: duration(max(0, ns)),
        "share": share,
        "amount": amount,
        "shown": report.shown,
        "parts": parts,
        "headline": _headline,
        "change": lambda change: _change(change, report),
        "marked": _marked,
        "excerpt": lambda place: _excerpt(report, place),
    }
    return environment


def visible(value: Any) -> Any:
    """What a template prints, with characters that cannot be seen written out, and no longer than a page can bear."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", value[:_MOST_CHARACTERS])
    if isinstance(value, (int, float, type(None))) or hasattr(value, "__html__"):
        return value
    return visible(str(value))


def parts(loader: LoaderDiagnosis) -> list[tuple[str, float]]:
    """Where the loop's time went: its steps, and the causes of its waits, in a fixed order."""
    causes = [(cause, s) for cause in CAUSES if (s := loader.causes_s.get(cause, 0.0)) > 0]
    return [("step", max(0.0, loader.wall_s - loader.wait_s)), *causes]


def _facts(diagnosis: Diagnosis) -> list[str]:
    environment = diagnosis.environment
    status = "not known" if diagnosis.exit_code is None else diagnosis.exit_code
    facts = [duration(diagnosis.wall_s * 1e9), f"exit status {status}"]
    named = (("host", ""), ("torch", "torch "), ("python", "Python "), ("affinity", "cores to use: "))
    return facts + [f"{before}{environment[name]}" for name, before in named if environment.get(name)]


def _headline(loader: LoaderDiagnosis) -> list[str]:
    settings = loader.settings
    facts = [loader.dataset or "dataset not known"]
    facts += [f"{settings['num_workers']} workers"] if settings.get("num_workers") is not None else []
    facts += [f"batch size {settings['batch_size']}"] if settings.get("batch_size") is not None else []
    facts += [f"{loader.batches} batches in {plural(loader.epochs, 'epoch')}"]
    facts += [f"{loader.batches / loader.wall_s:.3g} batches per second"] if loader.wall_s else []
    facts += [f"rank {loader.rank}"] if loader.rank is not None else []
    return facts + ([f"on {loader.node}"] if loader.node else [])


def _change(change: Mapping[str, Any], report: Report) -> str:
    if "line" in change:
        return f"{report.shown(str(change['line']))} {change.get('times_faster')} times as fast"
    return ", ".join(f"{name}={value}" for name, value in change.items())


def _marked(text: str) -> Markup:
    """Text with what stands between backticks set as code."""
    pieces = [escape(visible(piece)) for piece in text.split("`")]
    if len(pieces) % 2 == 0:
        return escape(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def _excerpt(report: Report, place: tuple[str, int]) -> Excerpt | None:
    return report.excerpts.get(place)


def _asset(name: str) -> str:
    return resources.files("dlcheck.report").joinpath("html", *name.split("/")).read_text(encoding="utf-8")


def _script() -> str:
    library, *own = (_asset(name) for name in _SCRIPTS)
    return library + "\n(() => {\n'use strict';\n" + "\n".join(own) + "\n})();"


def _hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), default=str)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()
