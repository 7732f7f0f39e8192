"""Stack samples as trees: one for each stage of loading, and one for the loop's own step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcheck.diagnosis.attribution import Wait
from dlcheck.diagnosis.hotlines import stage_stacks
from dlcheck.diagnosis.loops import merged
from dlcheck.diagnosis.timeline import LoaderLife, Site, StackSample, Timeline
from dlcheck.report.model import Report

_LEAST_SHARE = 0.004
_MOST_DEPTH = 60


@dataclass
class Node:
    """A function at the end of one path of calls. ``ns``: time of the samples that pass through it."""

    name: str
    ns: int = 0
    children: dict[str, Node] = field(default_factory=dict)


def stacks_by_stage(
    timeline: Timeline, loader: LoaderLife, waits: Sequence[Wait]
) -> dict[str, tuple[StackSample, ...]]:
    """The samples of fetching, collating, drawing indices, and of the loop's step; stages without any left out.

    Where there are enough of them, only those taken while the loop waited; the stage's name then says so.
    """
    stages = {
        f"{stacks.stage}, while the loop waited" if stacks.waited else stacks.stage: stacks.samples
        for stacks in stage_stacks(timeline, loader, waits)
    }
    waiting = merged([(wait.begin, wait.end) for wait in waits])
    span = (waiting[0][0], waiting[-1][1]) if waiting else (0, 0)
    step = []
    for sample in timeline.stacks:
        if sample.pid == loader.pid and sample.thread == "MainThread" and span[0] <= sample.t < span[1]:
            position = bisect_right(waiting, (sample.t, 1 << 63)) - 1
            if position < 0 or sample.t >= waiting[position][1]:
                step.append(sample)
    stages["step"] = tuple(step)
    return {name: samples for name, samples in stages.items() if samples}


def tree(samples: Iterable[StackSample], report: Report) -> Node:
    """The samples' calls, from the outermost function in."""
    root = Node("all")
    for sample in samples:
        node = root
        node.ns += sample.weight_ns
        for site in sample.frames[:_MOST_DEPTH]:
            name = frame_name(site, report)
            node = node.children.setdefault(name, Node(name))
            node.ns += sample.weight_ns
    return root


def frame_name(site: Site, report: Report) -> str:
    """A frame as it is shown: its function and place."""
    return f"{site.function or '?'} ({report.shown(site.file)}:{site.line})"


def flames(
    report: Report, timeline: Timeline, loader: LoaderLife, waits: Sequence[Wait]
) -> list[dict[str, Any]]:
    """A tree for each stage as nested lists: name, ns, children; what is too thin to be seen is left out."""
    stages = stacks_by_stage(timeline, loader, waits)
    result = []
    for name, samples in stages.items():
        root = tree(samples, report)
        least = _LEAST_SHARE * root.ns
        result.append({"stage": name, "samples": len(samples), "root": _packed(root, least)})
    return result


def _packed(node: Node, least: float) -> list[Any]:
    wide = sorted((child for child in node.children.values() if child.ns >= least), key=lambda n: -n.ns)
    return [node.name[:200], node.ns, [_packed(child, least) for child in wide]]
