"""The programs, by what they are about."""

from __future__ import annotations

from benchmarks.diagnosis.pipelines import (
    dividing,
    fetching,
    handing,
    healthy,
    memory,
    ordering,
    several,
    starting,
    stopping,
)
from benchmarks.diagnosis.program import Pipeline

PIPELINES = (
    *healthy.PIPELINES,
    *fetching.PIPELINES,
    *handing.PIPELINES,
    *ordering.PIPELINES,
    *starting.PIPELINES,
    *memory.PIPELINES,
    *dividing.PIPELINES,
    *several.PIPELINES,
    *stopping.PIPELINES,
)


def pipeline(name: str) -> Pipeline:
    """The pipeline of that name."""
    return next(p for p in PIPELINES if p.name == name)
