"""What is said of the processes of a run one by one, joined to what is said of the run.

A large job is diagnosed rank by rank, each by itself, and one that ran on several nodes has a recording on each. What
comes of a rank is small: its loaders are diagnosed, what findings cost in it is a sum, and of its batches only the
times remain at which the loop got them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlcheck.diagnosis.faults import FATAL
from dlcheck.diagnosis.join import Cost, price
from dlcheck.diagnosis.load_incidents import grouped
from dlcheck.diagnosis.model import Diagnosis, LoaderDiagnosis
from dlcheck.diagnosis.ranks import Passes, lateness
from dlcheck.diagnosis.timeline import Incident
from dlcheck.diagnosis.units import cores
from dlcheck.lint.finding import Finding

_NOT_SEEN = "No DataLoader was iterated in this run."
_UNKNOWN_COMMAND: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What is to be said of some processes of a run. Times in ns on their own clock.

    ``costs``: of each finding, in their order. ``others``: cores that other programs used, at most.
    """

    command: tuple[str, ...]
    exit_code: int | None
    begin: int
    end: int
    loaders: tuple[LoaderDiagnosis, ...]
    incidents: tuple[Incident, ...]
    costs: tuple[Cost, ...]
    passes: tuple[Passes, ...]
    others: float
    environment: Mapping[str, Any]
    overhead: Mapping[str, Any]
    notes: tuple[str, ...]

    def on(self, node: str, number: int, later: int) -> Piece:
        """The same as a part of a run on several nodes: this is the recording ``number``, made on ``node``, and
        ``later`` is to be added to its times.
        """
        return replace(
            self,
            begin=self.begin + later,
            end=self.end + later,
            loaders=tuple(replace(own, key=f"{number}/{own.key}", node=node) for own in self.loaders),
            incidents=tuple(
                replace(each, t=each.t + later, detail=f"{node}: {each.detail}") for each in self.incidents
            ),
            passes=tuple(own.later(later, node) for own in self.passes),
            notes=tuple(f"{node}: {note}" for note in self.notes),
        )


def join(pieces: Sequence[Piece], findings: Sequence[Finding]) -> Diagnosis:
    """What is to be said of the whole run. Of what is one for all pieces (command, environment), the first tells."""
    first = pieces[0]
    begin = min(piece.begin for piece in pieces)
    loaders = [loader for piece in pieces for loader in piece.loaders]
    incidents = sorted((each for piece in pieces for each in piece.incidents), key=lambda each: each.t)
    notes = [note for piece in pieces for note in piece.notes]
    return Diagnosis(
        command=next((piece.command for piece in pieces if piece.command), _UNKNOWN_COMMAND),
        exit_code=_exit_code(pieces),
        wall_s=(max(piece.end for piece in pieces) - begin) / 1e9,
        begin_ns=begin,
        # What ended the run comes first, then what it waited for most.
        loaders=tuple(sorted(loaders, key=lambda loader: (loader.verdict not in FATAL, -loader.wait_s))),
        incidents=grouped(incidents),
        findings=price(findings, [piece.costs for piece in pieces]),
        environment=first.environment,
        overhead=first.overhead,
        notes=tuple(dict.fromkeys((*notes, *_of_all(pieces)))),
        ranks=lateness(own for piece in pieces for own in piece.passes),
    )


def _exit_code(pieces: Sequence[Piece]) -> int | None:
    """That of a node that failed, if one did."""
    codes = [piece.exit_code for piece in pieces]
    return next((code for code in codes if code), None if None in codes else 0)


def _of_all(pieces: Sequence[Piece]) -> Iterator[str]:
    if not any(piece.loaders or piece.environment.get("attached") for piece in pieces):
        yield _NOT_SEEN
    others = max(piece.others for piece in pieces)
    if others > 0.5:
        yield (
            f"Other programs used up to {cores(others)} of this machine: times and predictions would be better"
            " without them."
        )
