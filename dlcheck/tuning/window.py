"""How fast a loop was, over the same batches of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcheck.diagnosis.timeline import Epoch, LoaderLife, Site, Timeline


@dataclass(frozen=True, slots=True)
class Target:
    """A loader, in any run of the program: where it is made, and over what."""

    site: Site
    dataset: str

    @property
    def place(self) -> list[str | int]:
        """As ``dlcheck.probe.override.is_at`` takes it."""
        return [self.site.file, self.site.line]

    def shown(self) -> str:
        """The place, for a person."""
        path = Path(self.site.file)
        if path.is_absolute() and path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return f"{path}:{self.site.line}"

    def find(self, timeline: Timeline) -> LoaderLife | None:
        """The loader in this run; of several (ranks, loaders made at one place), the one with the most batches."""
        own = [
            loader
            for loader in timeline.loaders
            if loader.created_at == self.site and loader.dataset == self.dataset
        ]
        return max(own, key=count, default=None)


def count(loader: LoaderLife) -> int:
    """Batches that the loop got."""
    return sum(len(gots_of(epoch)) for epoch in epochs_of(loader))


def epoch_length(loader: LoaderLife) -> int | None:
    """Batches of the first epoch; None where it was not seen to its end."""
    first = next(iter(epochs_of(loader)), None)
    return len(gots_of(first)) if first is not None and first.exhausted else None


def seconds(loader: LoaderLife, first: int, last: int) -> float | None:
    """How long the loop took from getting batch ``first`` to getting batch ``last`` (numbered through all epochs, from
    1), what lay between its epochs left out; None where it got no so many. ``first`` 0: from the loop's beginning.
    """
    ns = number = 0
    for epoch in epochs_of(loader):
        gots = gots_of(epoch)
        reached = (epoch.begin, *gots)
        if first <= number + len(gots):
            begun = reached[first - number] if first > number else epoch.begin
            if last <= number + len(gots):
                return (ns + reached[last - number] - begun) / 1e9
            end = epoch.end if epoch.exhausted and epoch.end is not None else reached[-1]
            ns += max(begun, end) - begun
        number += len(gots)
    return None


def first_ask_s(timeline: Timeline, loader: LoaderLife) -> float:
    """Seconds from the start of the program to its first request for an epoch of this loader."""
    return (min((epoch.begin for epoch in epochs_of(loader)), default=timeline.end) - timeline.begin) / 1e9


def epochs_of(loader: LoaderLife) -> Sequence[Epoch]:
    """All passes of the loop, in order of time."""
    epochs = [epoch for iterator in loader.iterators for epoch in iterator.epochs]
    return sorted(epochs, key=lambda epoch: epoch.begin)


def gots_of(epoch: Epoch) -> list[int]:
    """When the loop got each batch, in order."""
    return sorted(batch.got for batch in epoch.batches if batch.got is not None)
