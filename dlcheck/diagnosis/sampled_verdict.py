"""The decision table of ``dlcheck attach``, and its words. A verdict needs a tenth of the loop's time: shares of
samples are coarse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlcheck.diagnosis.faults import Verdict
from dlcheck.diagnosis.model import Culprit, WorkerUse
from dlcheck.diagnosis.timeline import Site
from dlcheck.diagnosis.units import cores, duration, share

_HEALTHY = 0.1
_HALF = 0.5
_BUSY = 0.8
_STAGES = ("fetch", "collate", "put", "start")


@dataclass(frozen=True, slots=True)
class Sampled:
    """What samples say of a loop.

    ``waits_s``: its waits by what for ("workers": for a batch of theirs; "answer": for a worker to hand over memory;
    "fetch" and "collate": it loads itself). ``count``: workers at the beginning; ``workers``: all that were seen.
    ``doing_s``: what each of them did while the loop waited. ``queued_s``: how long the main thread of each process
    waited for a core. ``own_cores``: used by the job.
    """

    wall_s: float
    waits_s: Mapping[str, float]
    doing_s: Mapping[int, Mapping[str, float]]
    count: int
    workers: tuple[WorkerUse, ...]
    own_cores: float
    queued_s: Mapping[int, float]
    usable: float | None
    others: float | None
    stands_still: bool
    inline: bool

    @property
    def wait_share(self) -> float:
        return sum(self.waits_s.values()) / self.wall_s

    @property
    def for_workers_s(self) -> float:
        """Seconds of waiting for batches that workers make. A worker that computes does not get round to handing
        memory over: that is waiting for its work, too.
        """
        waited = self.waits_s.get("workers", 0.0)
        busy, cpu = self.at_once()[1], self.fetch_split()[0]
        return waited + (self.waits_s.get("answer", 0.0) if busy > _HALF and cpu > _HALF else 0.0)

    def waited_for_s(self, stage: str) -> float:
        """Seconds of waiting for a stage ("fetch" or "collate") of workers, or of the loop itself."""
        return self.waits_s.get(stage, 0.0) + self.for_workers_s * self._part(stage)

    def causes_s(self) -> dict[str, float]:
        """The waits by cause, as in a report of a run."""
        causes: dict[str, float] = {}

        def add(cause: str, seconds: float) -> None:
            if seconds > 1e-9:
                causes[cause] = causes.get(cause, 0.0) + seconds

        making = {stage: self.for_workers_s * self._part(stage) for stage in _STAGES}
        for stage, seconds in making.items():
            for cause, of_it in self._causes_of(stage).items():
                add(cause, seconds * of_it)
        handed = self.waits_s.get("workers", 0.0) + self.waits_s.get("answer", 0.0)
        add("transfer", handed - sum(making.values()))
        for name, seconds in self.waits_s.items():
            if name not in ("workers", "answer"):
                add("main" if name in _STAGES else name, seconds)
        return causes

    def _causes_of(self, stage: str) -> dict[str, float]:
        if stage != "fetch":
            return {{"collate": "collate", "start": "startup"}.get(stage, "transfer"): 1.0}
        cpu, queued, blocked = self.fetch_split()
        return {"fetch-cpu": cpu, "cpu-wait": queued, "fetch-io": blocked}

    def fetch_split(self) -> tuple[float, float, float]:
        """How the busy time of those who load divides into CPU, waiting for a core, and blocked."""
        known = [use for use in self.workers if use.cpu_share is not None]
        busy = sum(use.busy_share or 0.0 for use in known)
        if busy <= 0:
            return 0.0, 0.0, 1.0
        cpu = min(1.0, sum(use.cpu_share or 0.0 for use in known) / busy)
        there = [use for use in known if use.pids[0] in self.queued_s]
        queued = sum(self.queued_s[use.pids[0]] for use in there) / self.wall_s
        busy_there = sum(use.busy_share or 0.0 for use in there)
        waited = min(1.0 - cpu, queued / busy_there) if busy_there else 0.0
        return cpu, waited, 1.0 - cpu - waited

    def at_once(self) -> tuple[float, float]:
        """How many workers there are at once while the loop waits, and how many of them are busy."""
        waited = sum(self.waits_s.values())
        if waited <= 0:
            return 0.0, 0.0
        there = sum(sum(own.values()) for own in self.doing_s.values())
        busy = sum(s for own in self.doing_s.values() for name, s in own.items() if name != "idle")
        return there / waited, busy / waited

    def _part(self, stage: str) -> float:
        """Of the waiting for workers, how much was for this stage; nothing where they were idle."""
        busy = {s: sum(own.get(s, 0.0) for own in self.doing_s.values()) for s in _STAGES}
        whole = sum(busy.values())
        # The loop waits for somebody's work as long as at least one of them works.
        return min(1.0, self.at_once()[1]) * busy[stage] / whole if whole > 0 else 0.0


def judge(seen: Sampled, lines: Sequence[Culprit], still: tuple[int, Site | None] | None) -> Verdict:
    """The verdict, with its sentence."""
    if still is not None:
        pid, site = still
        where = f" at {_name(site)}" if site is not None else ""
        return Verdict(
            "hang",
            f"Nothing moved for {duration(seen.wall_s * 1e9)}: process {pid} stands{where}, and the loop waits.",
        )
    waits = f"The loop waits for data about {share(seen.wait_share)} of its time."
    if seen.wait_share < _HEALTHY:
        return Verdict("healthy", f"Batches are ready in time. {waits}")
    causes = seen.causes_s()
    leading = max(causes, key=lambda cause: causes[cause])
    where = _where(lines, "collate" if leading == "collate" else "fetch")
    if seen.inline and leading == "main":
        return Verdict("main-process", f"{waits} It loads each batch itself (no workers){where}.")
    few = _too_few(seen, lines) if leading in ("fetch-cpu", "fetch-io") else None
    if few is not None:
        return Verdict("too-few-workers", f"{waits} {few}")
    there, busy = seen.at_once()
    used = seen.own_cores + (seen.others or 0.0)
    if seen.usable is not None and used > _BUSY * seen.usable and busy > 1.5 * seen.usable:
        text = f"{waits} {busy:.0f} workers are busy at once, and {cores(seen.usable)} may be used."
        return Verdict("oversubscribed", text)
    if seen.for_workers_s > _HALF * sum(seen.waits_s.values()) and there > 1.5 and 0.6 < busy < 0.6 * there:
        return Verdict(
            "straggler", f"{waits} Mostly one worker is busy{where}, while the others have nothing to do."
        )
    name = "fetch-cpu" if leading == "cpu-wait" else "main-process" if leading == "main" else leading
    return Verdict(name, f"{waits} {_WHY[name].format(where=where)}")


_WHY = {
    "fetch-cpu": "The workers are busy computing in the dataset{where}.",
    "fetch-io": "The workers are held up in the dataset by a disk, the network, a lock or a sleep{where}.",
    "collate": "The workers are busy putting samples together into batches (collate){where}.",
    "transfer": "Batches take long from the worker to the loop.",
    "startup": "Workers are being started, or shut down.",
    "dispatch": "The sampler is slow to draw the indices of a batch.",
    "main-process": "The training process is busy with it itself{where}.",
    "pin-memory": "Batches wait for the thread that copies them to pinned memory.",
}


def _too_few(seen: Sampled, lines: Sequence[Culprit]) -> str | None:
    busy = [use.busy_share or 0.0 for use in seen.workers]
    spread = not lines or lines[0].share < _HALF
    if not busy or min(busy) < _BUSY or not spread or seen.usable is None:
        return None
    each = sum(use.cpu_share or 0.0 for use in seen.workers) / len(busy)
    free = seen.usable - seen.count * each - (seen.others or 0.0)
    if free < max(0.2, each):
        return None
    who = "1 worker is" if seen.count == 1 else f"{seen.count} workers are"
    return f"{who} busy all the time, and {cores(free)} left: more workers would help."


def advice_on(seen: Sampled, verdict: str, lines: Sequence[Culprit]) -> list[str]:
    """What to change, or to look at."""
    if verdict == "healthy":
        return ["Nothing: a faster loader would not make the run faster."]
    texts = []
    if verdict == "main-process" and seen.inline:
        texts.append("Set num_workers to 1 or more: workers load while the step runs.")
    if verdict == "straggler":
        texts.append("Set in_order=False (torch 2.6), or make the slowest items cheaper.")
    if verdict == "startup":
        texts.append("Set persistent_workers=True, and make the loader once.")
    if verdict == "oversubscribed":
        texts.append("Use fewer workers: they take each other's cores.")
    if lines and verdict in ("fetch-cpu", "fetch-io", "collate", "main-process", "straggler", "hang"):
        line = lines[0]
        text = f"Look at {_name(line.site)} ({line.site.function})"
        if line.finding is not None:
            text += f". {line.finding.rule}: {line.finding.help or line.finding.message}"
        texts.append(text.rstrip(".") + ".")
    texts.append("For causes and predictions by measurement, start the job under 'dlcheck run'.")
    return texts


def _where(lines: Sequence[Culprit], stage: str) -> str:
    for line in lines:
        if line.stage == stage:
            return f", {share(line.share)} of that at {_name(line.site)} ({line.site.function})"
    return ""


def _name(site: Site) -> str:
    return f"{site.file.replace(chr(92), '/').rpartition('/')[2]}:{site.line}"
