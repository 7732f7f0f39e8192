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


@dataclass(frozen=True, slots=True)
class Sampled:
    """What samples say of a loop. ``waits_s``: its waits by what for ("workers": for a batch of theirs; "fetch" and
    "collate": it loads itself). ``doing_s``: what each worker did while the loop waited. ``queued_s``: how long the
    main thread of each process waited for a core.
    """

    wall_s: float
    waits_s: Mapping[str, float]
    doing_s: Mapping[int, Mapping[str, float]]
    workers: tuple[WorkerUse, ...]
    cpu_s: Mapping[int, float]
    queued_s: Mapping[int, float]
    usable: float | None
    others: float | None
    stands_still: bool
    inline: bool

    @property
    def wait_share(self) -> float:
        return sum(self.waits_s.values()) / self.wall_s

    def waited_for_s(self, stage: str) -> float:
        """Seconds of waiting for a stage ("fetch" or "collate") of workers, or of the loop itself."""
        own = self.waits_s.get(stage, 0.0)
        return own + self.waits_s.get("workers", 0.0) * self._part(stage)

    def causes_s(self) -> dict[str, float]:
        """The waits by cause, as in a report of a run."""
        causes: dict[str, float] = {}
        for name, seconds in self.waits_s.items():
            if name == "workers":
                for stage in ("fetch", "collate", "put"):
                    part = seconds * self._part(stage)
                    if part:
                        for cause, of_it in self._causes_of(stage).items():
                            causes[cause] = causes.get(cause, 0.0) + part * of_it
                left = seconds - sum(seconds * self._part(stage) for stage in ("fetch", "collate", "put"))
                if left > 1e-9:
                    causes["transfer"] = causes.get("transfer", 0.0) + left
            else:
                cause = "main" if name in ("fetch", "collate") else name
                causes[cause] = causes.get(cause, 0.0) + seconds
        return causes

    def _causes_of(self, stage: str) -> dict[str, float]:
        if stage != "fetch":
            return {"collate" if stage == "collate" else "transfer": 1.0}
        cpu, queued, blocked = self.fetch_split()
        return {"fetch-cpu": cpu, "cpu-wait": queued, "fetch-io": blocked}

    def fetch_split(self) -> tuple[float, float, float]:
        """How the busy time of those who load divides into CPU, waiting for a core, and blocked."""
        pids = list(self.doing_s) or list(self.cpu_s)
        busy = sum((use.busy_share or 0.0) * self.wall_s for use in self.workers) if self.doing_s else 0.0
        if not self.doing_s:
            busy = self.wall_s
        cpu = min(busy, sum(self.cpu_s.get(pid, 0.0) for pid in pids))
        queued = min(busy - cpu, sum(self.queued_s.get(pid, 0.0) for pid in pids))
        if busy <= 0:
            return 0.0, 0.0, 1.0
        return cpu / busy, queued / busy, 1.0 - (cpu + queued) / busy

    def _part(self, stage: str) -> float:
        """Of what busy workers did while the loop waited, how much was this stage; nothing where they were idle."""
        busy = {s: sum(own.get(s, 0.0) for own in self.doing_s.values()) for s in ("fetch", "collate", "put")}
        whole = sum(busy.values())
        waited = self.waits_s.get("workers", 0.0)
        if whole <= 0 or waited <= 0:
            return 0.0
        # The loop waits for somebody's work as long as at least one of them works.
        some = min(1.0, whole / waited)
        return some * busy[stage] / whole


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
    if _is_straggler(seen):
        return Verdict(
            "straggler", f"{waits} Mostly one worker is busy{where}, while the others have nothing to do."
        )
    wanted = sum(seen.cpu_s.get(pid, 0.0) + seen.queued_s.get(pid, 0.0) for pid in seen.doing_s) / seen.wall_s
    if leading == "cpu-wait" and seen.usable is not None and wanted > 1.1 * seen.usable:
        text = (
            f"{waits} {len(seen.doing_s)} workers want {cores(wanted)}, and {cores(seen.usable)} may be used."
        )
        return Verdict("oversubscribed", text)
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
    wanted = sum(seen.cpu_s.get(pid, 0.0) for pid in seen.doing_s) / seen.wall_s
    free = seen.usable - wanted - (seen.others or 0.0)
    if free < max(0.2, wanted / len(busy)):
        return None
    return f"{len(busy)} workers are busy all the time, and {cores(free)} left: more workers would help."


def _is_straggler(seen: Sampled) -> bool:
    """Whether most of the waiting happens while a single worker of several is busy."""
    if len(seen.doing_s) < 2:
        return False
    busy = sorted(
        (sum(s for n, s in own.items() if n != "idle") for own in seen.doing_s.values()), reverse=True
    )
    waited = seen.waits_s.get("workers", 0.0)
    return (
        waited > _HALF * sum(seen.waits_s.values())
        and waited > 0
        and sum(busy) < 0.6 * waited * len(busy)
        and (sum(busy) > 0.6 * waited)
    )


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
