"""Reads a recording: the directory that a probed run left becomes a Timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.guard import visible
from dlcheck.diagnosis.helpers import with_helpers
from dlcheck.diagnosis.load_files import ProcessLog, read_events, read_manifest, read_words
from dlcheck.diagnosis.load_incidents import grouped, load_incidents
from dlcheck.diagnosis.load_loaders import load_loaders
from dlcheck.diagnosis.load_stacks import Activity, load_stacks
from dlcheck.diagnosis.load_system import load_machine, load_processes
from dlcheck.diagnosis.machine import Usage
from dlcheck.diagnosis.openings import with_openings
from dlcheck.diagnosis.starting import with_starts
from dlcheck.diagnosis.timeline import MachineSample, ProcessSample, Timeline


@dataclass(frozen=True, slots=True)
class Host:
    """What a recording says of all its processes together. ``logs``: what each said in words; ``notes``: of the whole."""

    path: Path
    manifest: dict[str, Any]
    logs: tuple[ProcessLog, ...]
    processes: tuple[ProcessSample, ...]
    machine: tuple[MachineSample, ...]
    activity: Activity
    notes: tuple[str, ...]

    def usage(self) -> Usage:
        """Its cores."""
        said = ((log.pid, line) for log in self.logs for line in log.said("worker"))
        workers = {
            line["pid"]: (pid, line["begun"]) for pid, line in said if line.get("pid") and line.get("begun")
        }
        return Usage(self.processes, self.machine, dict(self.manifest.get("overhead") or {}), workers)


def load(path: Path) -> Timeline:
    """The timeline of the recording in the directory ``path``.

    What is missing, cut or damaged is left out, with a note for each. Raises FileNotFoundError where there is
    no recording at all, and ValueError for one of another format.
    """
    host = read_host(path)
    timeline = load_processes_of(host, host.logs)
    notes = dict.fromkeys((*host.notes, *timeline.notes))
    return replace(timeline, notes=tuple(notes), incidents=grouped(timeline.incidents))


def read_host(path: Path) -> Host:
    """Everything but the events and the stacks of its processes. Raises as ``load`` does."""
    if not (path / "recording.json").exists() and not (path / "events").is_dir():
        raise FileNotFoundError(f"{path} is not a recording")
    notes: list[str] = []
    manifest = read_manifest(path, notes)
    notes += [str(note) for note in manifest.get("notes") or ()]
    if "begin" in manifest and "end" not in manifest:
        notes.append(
            "the end of the run was not recorded: it still goes on, or dlcheck was killed; its exit status is not known"
        )
    logs = read_words(path, notes)
    notes += _overridden(manifest, logs)
    processes, machine = load_processes(path, notes), load_machine(path, notes)
    activity = Activity(path / "stacks", notes)
    return Host(path, manifest, tuple(logs), processes, machine, activity, _told(notes))


def load_processes_of(host: Host, logs: Sequence[ProcessLog]) -> Timeline:
    """The timeline of some of a recording's processes. Its incidents are told one by one."""
    notes: list[str] = []
    path, manifest = host.path, host.manifest
    # The events are this function's own: what was read before stays as it is.
    logs = [replace(log) for log in logs]
    for log in logs:
        read_events(path, log, notes)
        for line in log.said("trouble"):
            notes.append(f"the probe failed in process {log.pid} ({line.get('hook')}): {line.get('error')}")
    if any(line for log in logs for line in log.said("unseen")):
        notes.append(
            "a loader with persistent workers that were started before the probe was iterated, and is not in this"
            " report: make the loader in the probed block"
        )
    begin, end = _span(host, logs)
    loaders = load_loaders(logs, notes)
    pids = {log.pid for log in logs} if len(logs) < len(host.logs) else None
    loaders = tuple(
        with_openings(with_helpers(with_starts(loader, host.processes), host.processes)) for loader in loaders
    )
    stacks = load_stacks(path, loaders, notes, host.activity, pids)
    incidents = load_incidents(path, logs, loaders, (host.processes, host.machine), end, notes)
    return Timeline(
        begin=begin,
        end=end,
        command=tuple(map(str, manifest.get("command") or ())),
        exit_code=manifest.get("exit_code"),
        environment=environment_of(manifest, logs),
        loaders=loaders,
        processes=host.processes,
        machine=host.machine,
        stacks=stacks,
        incidents=incidents,
        notes=_told(notes),
        overhead=dict(manifest.get("overhead") or {}),
    )


def _told(notes: list[str]) -> tuple[str, ...]:
    """Notes, each once. They name files, and those may be called anything."""
    return tuple(dict.fromkeys(map(visible, notes)))


def _overridden(manifest: dict[str, Any], logs: Sequence[ProcessLog]) -> Iterator[str]:
    """What ``dlcheck run --set`` changed, and what it could not."""
    asked = manifest.get("overrides")
    if not asked:
        return
    made = [line for log in logs for line in log.said("override")]
    for line in made:
        file, number, _ = line["site"]
        where = f"{Path(file).name}:{number}"
        for name, (before, value) in line["changes"].items():
            yield f"--set: {name}={value!r} instead of {before!r} at {where}"
        for name, reason in line["left_out"].items():
            yield f"--set: {name} was left as it is at {where}: {reason}"
    if not made:
        place = asked.get("loader")
        where = f" at {place[0]}:{place[1]}" if place else ""
        yield f"--set changed nothing: no DataLoader was made{where}"


def _span(host: Host, logs: Sequence[ProcessLog]) -> tuple[int, int]:
    times = [event.t for log in logs for event in log.events[:1] + log.events[-1:]]
    begin = host.manifest.get("begin", min(times, default=0))
    # Of a run that goes on, or whose launcher was killed: the last that is known of any of its processes.
    times += [sample.t for sample in host.processes[-1:]]
    return begin, host.manifest.get("end", max(times, default=begin))


def _is_job(entry: Any) -> bool:
    """Whether an entry of ``attached`` is whole."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("trainer"), int)
        and isinstance(entry.get("workers"), list)
    )


def environment_of(manifest: dict[str, Any], logs: Sequence[ProcessLog]) -> dict[str, Any]:
    """The machine as the launcher saw it, and what the first training process says of its interpreter."""
    environment = dict(manifest.get("environment") or {})
    environment["directory"] = manifest.get("directory")
    if manifest.get("attached"):
        environment["attached"] = [entry for entry in manifest["attached"] if _is_job(entry)]
    environment["begun_at_s"] = manifest.get("begin_wall_s")
    # A launcher of ranks (torchrun, accelerate launch) imports torch too, and is not what trains.
    for log in sorted(logs, key=lambda log: not any(log.said("loader"))):
        for line in log.said("process"):
            own = {
                key: line[key]
                for key in ("python", "executable", "torch", "main", "directory")
                if line.get(key)
            }
            return environment | own
    return environment
