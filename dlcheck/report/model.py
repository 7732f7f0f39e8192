"""The report of a run: one value that every renderer reads."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlcheck.diagnosis import guard
from dlcheck.diagnosis.model import Diagnosis
from dlcheck.diagnosis.timeline import Timeline
from dlcheck.lint.finding import Finding, Place
from dlcheck.report.excerpts import Excerpts

_MOST_FINDINGS_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A timeline that a report was made from: that of one node. ``later``: ns to add to its times to get those of the
    diagnosis; ``node``: the host, "" where there is only one.
    """

    timeline: Timeline
    later: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A diagnosis, with its findings priced, and what it was made from: the timeline, and where the recording lies.

    ``excerpts``: source lines around the places that it names, where they were kept. ``more``: the timelines of further
    nodes. Timelines hold the loaders that whoever asked for the report wants to see batch by batch.
    """

    diagnosis: Diagnosis
    timeline: Timeline
    recording: str
    excerpts: Excerpts = field(default_factory=dict)
    more: tuple[Source, ...] = ()
    node: str = ""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The timelines of all nodes."""
        return (Source(self.timeline, 0, self.node), *self.more)

    def origin(self, source: Source) -> int:
        """When the run began, on the clock of a timeline."""
        return self.diagnosis.begin_ns - source.later

    @property
    def directory(self) -> str:
        """The working directory of the run, from which paths are shown."""
        return str(self.diagnosis.environment.get("directory") or "")

    def shown(self, file: str) -> str:
        """A path relative to the run's working directory where it lies below it, else as it is."""
        directory = self.directory
        if directory and file.startswith(directory.rstrip(os.sep) + os.sep):
            return os.path.relpath(file, directory)
        return file


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Keep static findings beside a recording, so that its report can be made again without the sources."""
    path.write_text(json.dumps([asdict(finding) for finding in findings]), encoding="utf-8")


def read_findings(path: Path) -> tuple[Finding, ...]:
    """The findings that ``write_findings`` kept. Raises OSError, or ValueError where the file is damaged."""
    try:
        return tuple(map(_finding, guard.read_json(path, _MOST_FINDINGS_BYTES)))
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path.name} holds no findings: {error}") from error


def _finding(entry: dict[str, Any]) -> Finding:
    texts = {name: entry[name] for name in ("rule", "name", "message", "severity", "confidence", "help")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("a text is none")
    first, last = map(int, entry["scope"])
    return Finding(
        **texts,
        place=_place(entry["place"]),
        scope=(first, last),
        also=tuple(map(_place, entry["also"])),
    )


def _place(entry: dict[str, Any]) -> Place:
    numbers = {name: int(entry[name]) for name in ("line", "column", "end_line", "end_column")}
    return Place(file=str(entry["file"]), **numbers)
