"""py-spy's output as a compact table: of stacks and samples (``chrometrace``), or of lines (``raw``).

py-spy 0.4 writes begin and end events with absolute microseconds since its own start. It compares each stack
with the one it saw last under the same *pthread id*, which forked workers share with their parent, so that
the ends of one process' frames carry the id of the next: the frames are a stack per pthread id, and belong to
the process named by the latest begin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dlcheck.probe.journal import is_own_file

_THREAD = re.compile(r"thread \((\d+)\): (.*)")
_WAITING = frozenset(
    (
        "wait",
        "select",
        "poll",
        "_poll",
        "accept",
        "Condition.wait",
        "socket.accept",
        "_PollLikeSelector.select",
    )
)
_SERVICE = ("QueueFeederThread", "(_serve)", "dlcheck_")
_MOST_FRAMES = 80
_CHUNK = 1 << 18
_RAW_FRAME = re.compile(r"(.*) \((.+):(\d+)\)")


def read_events(path: Path) -> Iterator[Any]:
    """The events of a file of chrometrace, one after the other: all at once they would take several times its size.

    Raises OSError, and ValueError where the file is cut or damaged.
    """
    decode = json.JSONDecoder().raw_decode
    rest, at = "", 0
    with path.open(encoding="utf-8", errors="replace") as file:
        while chunk := file.read(_CHUNK):
            rest, at = rest[at:] + chunk, 0
            while (begin := rest.find("{", at)) >= 0:
                at = begin
                try:
                    event, at = decode(rest, at)
                except ValueError:
                    # It goes on in the next chunk.
                    break
                yield event
    if rest[at:].strip(" \r\n,[") != "]":
        raise ValueError("a trace without an end")


def compact(events: Iterable[Any], origin_ns: int, end_ns: int, period_ns: int) -> dict[str, Any]:
    """``{"threads": [name], "frames": [[file, line, function]], "stacks": [[frame]], "samples": [...]}``.

    A sample is [t, pid, native thread id, thread, stack, weight_ns], with a stack innermost last. Service
    threads of the queues that only wait are left out. A stack that did not change was written once: it weighs
    as long as it stood, and at least one sampling period.
    """
    tables: dict[str, dict[Any, int]] = {"threads": {}, "frames": {}, "stacks": {}}
    samples: list[list[int]] = []
    running: dict[int, list[tuple[str, int, str]]] = {}
    latest: dict[int, tuple[int, int]] = {}

    def finish(tid: int, until_us: int) -> None:
        pid, since_us = latest.pop(tid)
        sample = _sample(tables, pid, running[tid])
        if sample is not None:
            weight = max(period_ns, (until_us - since_us) * 1000)
            samples.append([origin_ns + since_us * 1000, pid, *sample, weight])

    for event in events:
        if not isinstance(event, dict) or event.get("ph") not in ("B", "E"):
            continue
        tid, ts = event["tid"], event["ts"]
        if tid in latest and latest[tid][1] != ts:
            finish(tid, ts)
        stack = running.setdefault(tid, [])
        if event["ph"] == "B":
            place = event.get("args", {})
            stack.append((place.get("filename", ""), place.get("line", 0), event["name"]))
            latest[tid] = event["pid"], ts
        elif stack:
            stack.pop()
    for tid in list(latest):
        finish(tid, (end_ns - origin_ns) // 1000)
    table = {name: list(entries) for name, entries in tables.items()}
    return {**table, "samples": sorted(samples)}


def _sample(
    tables: dict[str, dict[Any, int]], pid: int, stack: list[tuple[str, int, str]]
) -> tuple[int, int, int] | None:
    native, thread, frames = pid, "", []
    for file, line, function in stack:
        named = None if file else _THREAD.match(function)
        if named:
            native, thread = int(named[1]), named[2]
        elif file:
            frames.append((file, line, function))
    if not frames or (any(name in thread for name in _SERVICE) and frames[-1][2] in _WAITING):
        return None
    place = tables["frames"]
    numbers = tuple(place.setdefault(frame, len(place)) for frame in frames[-_MOST_FRAMES:])
    return (
        native,
        tables["threads"].setdefault(thread, len(tables["threads"])),
        tables["stacks"].setdefault(numbers, len(tables["stacks"])),
    )


def innermost_lines(lines: Iterable[str]) -> list[list[Any]]:
    """``raw`` output (``frame;...;frame count``) as [file, line, function, samples], without the probe's
    frames."""
    counts: dict[tuple[str, int, str], int] = {}
    for line in lines:
        stack, _, count = line.rpartition(" ")
        for frame in reversed(stack.split(";")):
            named = _RAW_FRAME.fullmatch(frame)
            if named and not is_own_file(named[2]):
                key = named[2], int(named[3]), named[1]
                counts[key] = counts.get(key, 0) + int(count)
                break
    return [[*key, count] for key, count in counts.items()]
