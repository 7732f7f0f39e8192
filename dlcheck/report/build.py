"""From a recording to a report: the timeline is read, the code of the run is checked, and both are joined."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dlcheck.diagnosis.diagnose import examine
from dlcheck.diagnosis.fleet import Job, diagnose_parts, divide
from dlcheck.diagnosis.guard import visible
from dlcheck.diagnosis.hotlines import Project
from dlcheck.diagnosis.load_files import ProcessLog
from dlcheck.diagnosis.model import Diagnosis
from dlcheck.diagnosis.nodes import Node, nodes_of
from dlcheck.diagnosis.pieces import join
from dlcheck.diagnosis.recording import Host, load_processes_of, read_host
from dlcheck.diagnosis.timeline import Site, Timeline
from dlcheck.report.excerpts import Excerpt, read_excerpts, take_excerpts, write_excerpts
from dlcheck.report.model import Report, Source
from dlcheck.report.run_findings import findings_on

EXCERPTS = "excerpts.json"


def build_report(
    recording: Path | Sequence[Path], *, check: bool, fresh: bool = False, most_loaders: int | None = None
) -> Report:
    """The report of a recording, or of those of several nodes of one job.

    ``check``: check the sources that the run used, and keep the findings beside the recording; otherwise take
    those that were kept, if any. ``fresh``: the run has just ended on this machine, and the source lines that
    the report names are kept beside the recording too. ``most_loaders``: of how many loaders the batches are wanted,
    the first ones of the diagnosis; the others are diagnosed and forgotten. Raises FileNotFoundError or ValueError where
    there is no recording.
    """
    paths = [recording] if isinstance(recording, Path) else list(recording)
    hosts = [read_host(path) for path in paths]
    for host in hosts:
        if host.manifest.get("replay"):
            raise ValueError(
                f"{host.path} is a replay with cached batches: what it measured is in its replay.json"
            )
    nodes = nodes_of(hosts) if len(hosts) > 1 else [Node("", 0)]
    notes: list[str] = []
    findings = tuple(dict.fromkeys(finding for host in hosts for finding in findings_on(host, check, notes)))
    parts = [(number, logs) for number, host in enumerate(hosts) for logs in divide(host)]
    job = Job(tuple(hosts), tuple(host.usage() for host in hosts), findings, tuple(parts))
    # What is small enough to be read at once is read once.
    whole = load_processes_of(hosts[0], hosts[0].logs) if len(parts) == 1 else None
    pieces = [examine(whole, findings, job.usages[0])] if whole is not None else list(diagnose_parts(job))
    for number, host in enumerate(hosts):
        place = [at for at, _ in parts].index(number)
        pieces[place] = replace(pieces[place], notes=(*host.notes, *pieces[place].notes))
    if len(hosts) > 1:
        on = [(nodes[number], number) for number, _ in parts]
        pieces = [
            piece.on(node.name, number, node.later) for (node, number), piece in zip(on, pieces, strict=True)
        ]
    diagnosis = join(pieces, findings)
    wanted = {loader.key for loader in diagnosis.loaders[:most_loaders]}
    if whole is not None:
        sources = [Source(replace(whole, incidents=diagnosis.incidents))]
    else:
        sources = [
            Source(_timeline(host, number, parts, wanted, len(hosts) > 1), node.later, node.name)
            for number, (host, node) in enumerate(zip(hosts, nodes, strict=True))
        ]
    excerpts = _excerpts(paths, diagnosis, fresh, notes)
    diagnosis = replace(diagnosis, notes=tuple(dict.fromkeys((*diagnosis.notes, *notes))))
    first, *more = sources
    where = visible(" ".join(map(str, paths)))
    return Report(diagnosis, first.timeline, where, excerpts, tuple(more), first.node)


def each_source(recordings: Sequence[Path]) -> Iterator[Source]:
    """The timelines of a job with all their loaders, one training process after the other: ``Report.sources`` where these
    would be too large together.
    """
    hosts = [read_host(path) for path in recordings]
    nodes = nodes_of(hosts) if len(hosts) > 1 else [Node("", 0)]
    for host, node in zip(hosts, nodes, strict=True):
        for logs in divide(host):
            yield Source(load_processes_of(host, logs), node.later, node.name)


def _timeline(
    host: Host,
    number: int,
    parts: Sequence[tuple[int, Sequence[ProcessLog]]],
    wanted: Collection[str],
    several: bool,
) -> Timeline:
    """The timeline of those training processes of the host ``number`` whose loaders are wanted, by their keys."""
    # As ``Piece.on`` names them.
    prefix = f"{number}/" if several else ""
    pids = {key.removeprefix(prefix).partition(":")[0] for key in wanted if key.startswith(prefix)}
    own = [logs for at, logs in parts if at == number]
    logs = [log for part in own if any(str(log.pid) in pids for log in part) for log in part]
    timeline = load_processes_of(host, logs)
    loaders = tuple(replace(life, key=prefix + life.key) for life in timeline.loaders)
    return replace(timeline, loaders=tuple(life for life in loaders if life.key in wanted))


def _excerpts(
    recordings: Sequence[Path], diagnosis: Diagnosis, fresh: bool, notes: list[str]
) -> dict[tuple[str, int], Excerpt]:
    excerpts: dict[tuple[str, int], Excerpt] = {}
    try:
        if fresh:
            excerpts = take_excerpts(_places(diagnosis))
            write_excerpts(recordings[0] / EXCERPTS, excerpts)
            return excerpts
        for path in recordings:
            if (path / EXCERPTS).exists():
                excerpts |= read_excerpts(path / EXCERPTS)
    except (OSError, ValueError) as error:
        notes.append(f"no source lines are shown: {error}")
    return excerpts


def _places(diagnosis: Diagnosis) -> Iterator[Site]:
    """The lines of the project that a report names, in the order in which it does."""
    project = Project(dict(diagnosis.environment))
    for loader in diagnosis.loaders:
        for culprit in loader.culprits:
            if project.owns(culprit.site.file):
                yield replace(culprit.site, file=project.absolute(culprit.site.file))
    for priced in diagnosis.findings:
        yield Site(priced.finding.place.file, priced.finding.place.line)
