"""The stack samples of a run for flame graph viewers: speedscope's JSON, and collapsed stacks (one line per stack).

One profile for each stage of each loader (fetch, collate, sampler, and the loop's own step).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

from dlcheck import __version__
from dlcheck.diagnosis.attribution import attribute
from dlcheck.diagnosis.timeline import Site, StackSample
from dlcheck.report.chart_flame import frame_name, stacks_by_stage
from dlcheck.report.model import Report

# Semicolons part frames and line breaks part stacks in the collapsed form.
_SEPARATORS = re.compile(r"[;\s]+")


def write_speedscope(report: Report, file: TextIO) -> None:
    """Write a speedscope file (https://www.speedscope.app/file-format-schema.json)."""
    frames: dict[Site, int] = {}
    profiles: list[dict[str, Any]] = []
    for name, samples in _profiles(report):
        stacks = [[frames.setdefault(frame, len(frames)) for frame in sample.frames] for sample in samples]
        weights = [sample.weight_ns for sample in samples]
        profiles.append(
            {
                "type": "sampled",
                "name": name,
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": stacks,
                "weights": weights,
            }
        )
    shared = [
        {"name": frame.function or "?", "file": report.shown(frame.file), "line": frame.line}
        for frame in frames
    ]
    value = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"dlcheck {__version__}",
        "name": " ".join(report.diagnosis.command),
        "activeProfileIndex": 0,
        "shared": {"frames": shared},
        "profiles": profiles,
    }
    json.dump(value, file)
    file.write("\n")


def write_collapsed(report: Report, file: TextIO) -> None:
    """Write collapsed stacks: the frames from the outermost in, parted by semicolons, and microseconds."""
    for name, samples in _profiles(report):
        counts: Counter[str] = Counter()
        for sample in samples:
            names = [name, *(frame_name(frame, report) for frame in sample.frames)]
            counts[";".join(_SEPARATORS.sub(" ", one) for one in names)] += sample.weight_ns
        for stack, ns in sorted(counts.items()):
            file.write(f"{stack} {max(1, round(ns / 1e3))}\n")


def _profiles(report: Report) -> Iterator[tuple[str, tuple[StackSample, ...]]]:
    for source in report.sources:
        timeline = source.timeline
        node = f" on {source.node}" if source.node else ""
        for loader in timeline.loaders:
            waits = attribute(loader, timeline.end)
            place = f"{report.shown(loader.created_at.file)}:{loader.created_at.line}"
            rank = f" rank {loader.rank}" if loader.rank is not None else ""
            for stage, samples in stacks_by_stage(timeline, loader, waits).items():
                yield f"{place}{rank}{node} {stage}", samples
