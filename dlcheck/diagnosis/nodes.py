"""Which recordings are the nodes of one job, and how much later the clock of each began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcheck.diagnosis.guard import visible
from dlcheck.diagnosis.recording import Host


@dataclass(frozen=True, slots=True)
class Node:
    """A recording among several of one job. ``later``: ns to add to its times to get those of the first's clock."""

    name: str
    later: int


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """The recordings that are meant: each folder is one, or holds some. Raises FileNotFoundError."""
    found: list[Path] = []
    for path in paths:
        inside = [] if _is_recording(path) else sorted(filter(_is_recording, path.glob("*")))
        found += inside or [path]
    return list(dict.fromkeys(found))


def _is_recording(path: Path) -> bool:
    return (path / "recording.json").exists() or (path / "events").is_dir()


def nodes_of(hosts: Sequence[Host]) -> list[Node]:
    """The nodes, in the order of their recordings. Their clocks are compared by the time of day at which each began.

    Raises ValueError where they are not of the same time, and so cannot be one job.
    """
    spans = []
    for host in hosts:
        begin, end = host.manifest.get("begin_wall_s"), host.manifest.get("end_wall_s")
        if not isinstance(begin, (int, float)) or not isinstance(host.manifest.get("begin"), int):
            raise ValueError(f"{host.path} does not say when it began: it cannot be joined with others")
        spans.append((float(begin), float(end) if isinstance(end, (int, float)) else float("inf")))
    for host, (begin, end) in zip(hosts, spans, strict=True):
        if begin > spans[0][1] or end < spans[0][0]:
            raise ValueError(
                f"{hosts[0].path} and {host.path} were not recorded at the same time, so they are not one job; to"
                " compare two runs: dlcheck compare A B"
            )
    names = [str((host.manifest.get("environment") or {}).get("host") or "") for host in hosts]
    if len(set(names)) < len(names) or not all(names):
        names = [visible(host.path.name) for host in hosts]
    if len(set(names)) < len(names):
        names = [visible(str(host.path)) for host in hosts]
    zeros = [
        round(begin * 1e9) - int(host.manifest["begin"])
        for (begin, _), host in zip(spans, hosts, strict=True)
    ]
    return [Node(name, zero - zeros[0]) for name, zero in zip(names, zeros, strict=True)]
