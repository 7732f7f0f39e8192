"""Conditions of ``--fail-on``: what a run must not be, so that a script can tell by the exit status.

    wait_share > 0.2            a loader's loop waits more than a fifth of its time
    wait_share > 20%            the same
    Train: wait_share > 0.2     the same of loaders whose dataset, or the place where they are made, holds "Train"
    fetch-io > 10%              a cause of waits, as a share of the loop's time
    verdict != healthy
    worker_private > 2GB
    findings > 0

A condition holds when it does for any loader that it speaks of. One that cannot be judged (no such loader, the
measure is not known) counts as holding: a gate must not open because nothing was measured.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dlcheck.diagnosis.attribution import CAUSES
from dlcheck.diagnosis.model import LoaderDiagnosis
from dlcheck.report.model import Report

FAILED = 3
"""Exit status where a condition holds and nothing else went wrong."""

_Value = float | str | None

_LOADER: dict[str, Callable[[LoaderDiagnosis], _Value]] = {
    "wait_share": lambda loader: loader.wait_s / loader.wall_s if loader.wall_s else None,
    "wait_s": lambda loader: loader.wait_s,
    "wall_s": lambda loader: loader.wall_s,
    "batches_per_s": lambda loader: loader.batches / loader.wall_s if loader.wall_s else None,
    "samples_per_s": lambda loader: (
        loader.samples / loader.wall_s if loader.wall_s and loader.samples is not None else None
    ),
    "worker_rss": lambda loader: _most(use.rss_bytes for use in loader.workers),
    "worker_private": lambda loader: _most(use.private_bytes for use in loader.workers),
    "verdict": lambda loader: loader.verdict,
}
_RUN: dict[str, Callable[[Report], _Value]] = {
    "findings": lambda report: len(report.diagnosis.findings),
    "events": lambda report: len(report.diagnosis.incidents),
    "exit_code": lambda report: report.diagnosis.exit_code,
}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_UNITS = {"": 1.0, "%": 0.01, "s": 1.0, "ms": 1e-3, "us": 1e-6, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_TEXT = re.compile(
    r"(?:(?P<which>.+?)\s*:\s+)?(?P<name>[\w-]+)\s*(?P<sign>[<>]=?|[=!]=)\s*(?P<value>\S+(?: ?\S+)?)"
)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?) ?([A-Za-z%]*)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. ``which``: part of a dataset's name, or of the place where a loader is made; "" for all."""

    text: str
    which: str
    name: str
    sign: str
    value: float | str


def parse(text: str) -> Condition:
    """Read a condition. Raises ValueError, with what is wrong, for one that cannot be read."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a condition such as 'wait_share > 0.2'")
    name, sign, value = match["name"], match["sign"], match["value"]
    if name not in _names():
        raise ValueError(f"{text!r}: there is no {name!r}; there are {', '.join(_names())}")
    if name in _RUN and match["which"]:
        raise ValueError(f"{text!r}: {name} is of the whole run, and not of a loader")
    if name == "verdict":
        if sign not in ("==", "!="):
            raise ValueError(f"{text!r}: a verdict is compared by == or !=")
        return Condition(text, match["which"] or "", name, sign, value)
    number = _NUMBER.fullmatch(value)
    if number is None or number[2] not in _UNITS:
        raise ValueError(f"{text!r}: {value!r} is no number (units: {', '.join(filter(None, _UNITS))})")
    return Condition(text, match["which"] or "", name, sign, float(number[1]) * _UNITS[number[2]])


def holding(condition: Condition, report: Report) -> str | None:
    """Why a condition holds, in a few words; None where it does not."""
    if condition.name in _RUN:
        value = _RUN[condition.name](report)
        return _said(value) if _is_met(condition, value) else None
    loaders = [loader for loader in report.diagnosis.loaders if _is_meant(condition, loader, report)]
    for loader in loaders:
        value = _measure(condition.name, loader)
        if _is_met(condition, value):
            at = loader.created_at
            return f"{_said(value)} of loader {report.shown(at.file)}:{at.line}"
    return None if loaders else "there is no such loader in this run"


def _names() -> tuple[str, ...]:
    return (*_LOADER, *CAUSES, *_RUN)


def _measure(name: str, loader: LoaderDiagnosis) -> _Value:
    if name in _LOADER:
        return _LOADER[name](loader)
    return loader.causes_s.get(name, 0.0) / loader.wall_s if loader.wall_s else None


def _is_meant(condition: Condition, loader: LoaderDiagnosis, report: Report) -> bool:
    place = f"{report.shown(loader.created_at.file)}:{loader.created_at.line}"
    return condition.which in loader.dataset or condition.which in place


def _is_met(condition: Condition, value: _Value) -> bool:
    if value is None:
        return True
    if isinstance(value, str) or isinstance(condition.value, str):
        return (value == condition.value) == (condition.sign == "==")
    return _SIGNS[condition.sign](value, condition.value)


def _said(value: _Value) -> str:
    if value is None:
        return "not known"
    return value if isinstance(value, str) else f"{value:.4g}"


def _most(sizes: Iterable[int | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return float(max(known)) if known else None
