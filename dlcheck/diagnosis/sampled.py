"""A diagnosis of a job that was only looked at from outside (``dlcheck attach``): no events, but stacks and counters.

The loop waits while its thread is inside the iterator's ``__next__``; what for is told by the frames below, and
where it waits for the workers, by what these do at that moment. Shares are those of samples, so that they are
coarse, and no prediction can be made.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.hotlines import Project, innermost
from dlcheck.diagnosis.join import covering
from dlcheck.diagnosis.model import Advice, Culprit, LoaderDiagnosis, WorkerUse
from dlcheck.diagnosis.sampled_verdict import Sampled, advice_on, judge
from dlcheck.diagnosis.timeline import ProcessSample, Site, StackSample, Timeline
from dlcheck.lint.finding import Finding

_LOADER_FILES = ("torch/utils/data/dataloader.py", "stateful_dataloader/stateful_dataloader.py")
_FETCH_FILE = "torch/utils/data/_utils/fetch.py"
_STARTS = (
    "_get_iterator",
    "_MultiProcessingDataLoaderIter.__init__",
    "_StatefulMultiProcessingDataLoaderIter.__init__",
)
_ENDS = ("_shutdown_workers", "_reset")
_BLOCKED = ("select", "poll", "_poll", "wait", "acquire", "_wait_for_tstate_lock", "get")
_SERVICE = ("QueueFeederThread", "(_serve)", "pt_data_pin")
_MOST_CULPRITS = 8
# A loop that made no progress while it was watched for so long stands still.
_STILL_S = 8.0


@dataclass
class _Job:
    """The samples of one training process and of its workers."""

    trainer: int
    workers: tuple[int, ...]
    loop: list[StackSample] = field(default_factory=list)
    made: dict[int, list[StackSample]] = field(default_factory=dict)


def diagnose_sampled(
    timeline: Timeline, findings: Sequence[Finding], project: Project
) -> tuple[LoaderDiagnosis, ...]:
    """What is to be said of each training process that was attached to."""
    if not timeline.environment.get("attached"):
        return ()
    by_pid: dict[int, list[StackSample]] = {}
    for sample in timeline.stacks:
        by_pid.setdefault(sample.pid, []).append(sample)
    usage: dict[int, list[ProcessSample]] = {}
    for process in timeline.processes:
        usage.setdefault(process.pid, []).append(process)
    found = []
    for entry in timeline.environment["attached"]:
        job = _job(entry, by_pid)
        found.append(_diagnose(timeline, job, entry, usage, findings, project))
    return tuple(found)


def _job(entry: Mapping[str, Any], by_pid: Mapping[int, Sequence[StackSample]]) -> _Job:
    trainer = int(entry["trainer"])
    started = [int(pid) for pid in entry.get("started") or () if not _is_server(by_pid.get(int(pid), ()))]
    job = _Job(trainer, (*map(int, entry["workers"]), *started))
    threads: dict[str, list[StackSample]] = {}
    for sample in by_pid.get(trainer, ()):
        threads.setdefault(sample.thread, []).append(sample)

    def waiting(name: str) -> tuple[int, bool]:
        weight = sum(s.weight_ns for s in threads[name] if waits_for(s.frames))
        return weight, name == "MainThread"

    if threads:
        job.loop = threads[max(threads, key=waiting)]
    for pid in job.workers:
        own = [s for s in by_pid.get(pid, ()) if not any(word in s.thread for word in _SERVICE)]
        if own:
            job.made[pid] = own
    return job


def _is_server(samples: Sequence[StackSample]) -> bool:
    """Whether a child is one of multiprocessing's own: its resource tracker, its fork server."""
    return any(
        Path(f.file).name in ("resource_tracker.py", "forkserver.py") for s in samples for f in s.frames
    )


def waits_for(frames: Sequence[Site]) -> str:
    """What the loop waits for, where it is inside the iterator of a loader; "" where it is not."""
    names = [frame.function.rpartition(".")[2] for frame in frames]
    if any(frame.function in _STARTS or name in _ENDS for frame, name in zip(frames, names, strict=True)):
        return "startup"
    inside = [n for n, frame in enumerate(frames) if names[n] == "__next__" and _is_loader(frame.file)]
    if not inside:
        return ""
    below = names[inside[-1] + 1 :]
    if "_try_put_index" in below or "_next_index" in below:
        return "dispatch"
    if "_try_get_data" in below or "_get_data" in below:
        if any(Path(frame.file).name == "resource_sharer.py" for frame in frames[inside[-1] :]):
            return "answer"
        # Receiving is reading from a pipe and unpickling; before that, there is nothing to receive.
        return "workers" if below[-1] in _BLOCKED else "transfer"
    stage = stage_of(frames[inside[-1] :])
    return stage if stage in _MAKING else "main"


_MAKING = ("fetch", "collate")


def stage_of(frames: Sequence[Site]) -> str:
    """What a worker does: "start", "fetch", "collate", "put", or "idle"."""
    for position, frame in enumerate(frames):
        if frame.file.replace("\\", "/").endswith(_FETCH_FILE) and frame.function.endswith("fetch"):
            text = linecache.getline(frame.file, frame.line)
            in_collate = "collate_fn" in text if text else _mentions_collate(frames[position + 1 :])
            return "collate" if in_collate else "fetch"
    queued = [frame for frame in frames if Path(frame.file).name == "queues.py"]
    if queued:
        return "put" if queued[-1].function.endswith("put") else "idle"
    # Neither loading nor at a queue: it is being started, sets up its dataset, or runs worker_init_fn.
    return "start" if frames else "idle"


def _mentions_collate(frames: Iterable[Site]) -> bool:
    return any("collate" in frame.function for frame in frames)


def _is_loader(file: str) -> bool:
    return file.replace("\\", "/").endswith(_LOADER_FILES)


def _diagnose(
    timeline: Timeline,
    job: _Job,
    entry: Mapping[str, Any],
    usage: Mapping[int, Sequence[ProcessSample]],
    findings: Sequence[Finding],
    project: Project,
) -> LoaderDiagnosis:
    wall = sum(sample.weight_ns for sample in job.loop) or 1
    waits: dict[str, int] = {}
    awaited: list[tuple[int, int]] = []
    for sample in job.loop:
        what = waits_for(sample.frames)
        if what:
            waits[what] = waits.get(what, 0) + sample.weight_ns
            awaited.append((sample.t, sample.t + sample.weight_ns))
    doing = _doing(job, awaited)
    queued = {int(pid): float(s) for pid, s in (entry.get("queued_s") or {}).items()}
    seen = Sampled(
        wall_s=wall / 1e9,
        waits_s={name: ns / 1e9 for name, ns in waits.items()},
        doing_s=doing,
        count=len(entry["workers"]),
        workers=tuple(_use(pid, n, job, usage.get(pid, ())) for n, pid in enumerate(sorted(job.made))),
        own_cores=sum(_used_s(usage.get(pid, ())) for pid in (job.trainer, *job.made)) * 1e9 / wall,
        queued_s=queued,
        usable=_usable(timeline.environment),
        others=_others(timeline, usage),
        stands_still=bool(waits)
        and sum(waits.values()) == wall
        and wall >= _STILL_S * 1e9
        and _is_still(job),
        inline=not job.workers,
    )
    causes = seen.causes_s()
    lines = _lines(job, awaited, seen, findings, project)
    verdict = judge(seen, lines, _standing(timeline, job, project) if seen.stands_still else None)
    return LoaderDiagnosis(
        key=f"{job.trainer}:0",
        created_at=Site("", 0),
        dataset=_dataset(job),
        settings={"num_workers": len(entry["workers"])},
        rank=None,
        batches=0,
        samples=None,
        epochs=0,
        wall_s=wall / 1e9,
        wait_s=sum(causes.values()),
        causes_s=causes,
        details_s={},
        phases_s={},
        verdict=verdict.name,
        sentence=verdict.sentence,
        also=(),
        culprits=lines,
        predictions=(),
        ceiling=None,
        advice=tuple(Advice(text, {}, None) for text in advice_on(seen, verdict.name, lines)),
        workers=seen.workers,
        slow_samples=(),
        cores={"usable": seen.usable, "others": seen.others},
        notes=(),
    )


def _doing(job: _Job, awaited: Sequence[tuple[int, int]]) -> dict[int, dict[str, float]]:
    """Seconds that each worker spent in each stage, while the loop waited if it did, else in all."""
    doing: dict[int, dict[str, float]] = {}
    for pid, samples in job.made.items():
        own = doing.setdefault(pid, {})
        for sample in samples:
            stage = stage_of(sample.frames)
            for begin, end in awaited or [(sample.t, sample.t + sample.weight_ns)]:
                ns = min(end, sample.t + sample.weight_ns) - max(begin, sample.t)
                if ns > 0:
                    own[stage] = own.get(stage, 0.0) + ns / 1e9
    return doing


def _use(pid: int, number: int, job: _Job, samples: Sequence[ProcessSample]) -> WorkerUse:
    own = job.made[pid]
    wall = sum(sample.weight_ns for sample in own) or 1
    busy = sum(sample.weight_ns for sample in own if stage_of(sample.frames) != "idle")
    seconds = (samples[-1].t - samples[0].t) / 1e9 if len(samples) > 1 else 0.0
    private = [value for s in samples if (value := s.private_dirty or s.uss)]
    return WorkerUse(
        worker=number,
        pids=(pid,),
        batches=0,
        cpu_share=_used_s(samples) / seconds if seconds else None,
        busy_share=busy / wall,
        waited_s=0.0,
        rss_bytes=max((s.rss for s in samples), default=None),
        private_bytes=max(private, default=None),
        threads=max((s.threads for s in samples if s.threads is not None), default=None),
    )


def _used_s(samples: Sequence[ProcessSample]) -> float:
    return samples[-1].cpu_s - samples[0].cpu_s if len(samples) > 1 else 0.0


def _usable(environment: Mapping[str, Any]) -> float | None:
    limits = [environment.get(key) for key in ("affinity", "cpu_quota", "cpu_count")]
    return min((float(limit) for limit in limits if limit), default=None)


def _others(timeline: Timeline, usage: Mapping[int, Sequence[ProcessSample]]) -> float | None:
    machine = timeline.machine
    if len(machine) < 2:
        return None
    seconds = (machine[-1].t - machine[0].t) / 1e9
    busy = (
        machine[-1].cpu_busy_s - machine[0].cpu_busy_s - sum(_used_s(samples) for samples in usage.values())
    )
    return max(0.0, busy / seconds) if seconds else None


def _is_still(job: _Job) -> bool:
    """Whether no thread changed its stack: of the loop, and of each worker."""
    return all(len({sample.frames for sample in own}) == 1 for own in (job.loop, *job.made.values()))


def _standing(timeline: Timeline, job: _Job, project: Project) -> tuple[int, Site | None]:
    """Who stands still, and at which line: a worker that is making a batch, else the loop."""
    for pid, samples in job.made.items():
        if samples and stage_of(samples[-1].frames) in _MAKING:
            return pid, innermost(samples[-1].frames, project)[0]
    return job.trainer, innermost(job.loop[-1].frames, project)[0]


def _dataset(job: _Job) -> str:
    """The class whose ``__getitem__`` or ``__iter__`` is called by torch's fetcher, as the stacks name it."""
    for samples in (*job.made.values(), job.loop):
        for sample in samples:
            for before, frame in zip(sample.frames, sample.frames[1:], strict=False):
                owner, _, name = frame.function.rpartition(".")
                if _FETCH_FILE in before.file.replace("\\", "/") and name in (
                    "__getitem__",
                    "__iter__",
                    "__getitems__",
                ):
                    return owner
    return ""


def _lines(
    job: _Job,
    awaited: Sequence[tuple[int, int]],
    seen: Sampled,
    findings: Sequence[Finding],
    project: Project,
) -> tuple[Culprit, ...]:
    weights: dict[tuple[str, Site, str], list[int]] = {}
    samples = [sample for own in job.made.values() for sample in own] or job.loop
    for sample in samples:
        stage = stage_of(sample.frames)
        during = not awaited or any(
            begin < sample.t + sample.weight_ns and end > sample.t for begin, end in awaited
        )
        if stage in _MAKING and during:
            at = [n for n, f in enumerate(sample.frames) if f.file.replace("\\", "/").endswith(_FETCH_FILE)]
            line, calls = innermost(sample.frames[at[0] :], project)
            if line is not None:
                site = Site(project.absolute(line.file), line.line, line.function)
                weights.setdefault((stage, site, calls), []).append(sample.weight_ns)
    whole: dict[str, int] = {}
    for (stage, _, _), own in weights.items():
        whole[stage] = whole.get(stage, 0) + sum(own)
    waited = {stage: seen.waited_for_s(stage) for stage in whole}
    lines = [
        Culprit(
            site,
            stage,
            sum(own) / whole[stage],
            sum(own) / whole[stage] * waited[stage],
            calls,
            len(own),
            covering(findings, site.file, site.line, project),
        )
        for (stage, site, calls), own in weights.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.wait_s, -line.share))[:_MOST_CULPRITS])
