"""Finds faster settings for a loader: one run to record, a search by simulation, short real runs of the best few."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from dlcheck.diagnosis.evidence import Evidence, gather_all
from dlcheck.diagnosis.prediction import setup_of
from dlcheck.diagnosis.recording import load_processes_of, read_host
from dlcheck.diagnosis.timeline import LoaderLife
from dlcheck.errors import UserError
from dlcheck.probe.override import is_at
from dlcheck.probe.stopping import STOPPED
from dlcheck.tuning.allowed import allowed
from dlcheck.tuning.contest import Entrant, Outcome, contest
from dlcheck.tuning.edit import Plan, in_words, plan
from dlcheck.tuning.ratios import Ratio
from dlcheck.tuning.room import room
from dlcheck.tuning.search import Choice, Search, search
from dlcheck.tuning.trials import Bounds, Trial, failure, first_run, trial
from dlcheck.tuning.window import Target, count, epoch_length, first_ask_s, seconds

_FEWEST_BATCHES = 12
_RUN_S = (3.0, 15.0)
"""For how long the loop of a short run goes on, at the least and at the most, at the present speed."""
_ROUNDS = 4
_SLACK = 3.0
_DEADLINE_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """``seconds``: of loop in the first run; ``budget_s``: for everything; ``most``: settings that are tried;
    ``place``: the loader that is meant; ``keep_order``: in_order is not to be changed.
    """

    seconds: float = 20.0
    budget_s: float = 300.0
    most: int = 3
    place: list[Any] | None = None
    keep_order: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting that was run: what it changes, what was expected, and what was measured against the present one.

    ``batch_s``: loop time per batch in each run. ``out``: why it was not run to the end.
    """

    choice: Choice
    batch_s: tuple[float, ...]
    ratio: Ratio | None
    out: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """All that came of it. ``tried``: the present setting first. ``outcome``: None where nothing was worth a run.

    ``wait_share``: of the loop in the first run; ``plan``: the edit for the winner; ``also``: datasets of other loaders
    that are made at the same place. ``why``: why settings were left out. ``content``: of the ``source`` file when the
    first run had ended; None: it cannot be read.
    """

    target: Target
    settings: Mapping[str, Any]
    batches: int
    loop_s: float
    wait_share: float
    search: Search
    why: tuple[str, ...]
    tried: tuple[Tried, ...]
    outcome: Outcome | None
    plan: Plan | None
    source: Path
    content: bytes | None
    also: tuple[str, ...]
    window: tuple[int, int]
    runs: int
    spent_s: float

    @property
    def winner(self) -> Tried | None:
        """The setting to take."""
        number = self.outcome.winner if self.outcome is not None else None
        return None if number is None else self.tried[number]


def tune(command: list[str], folder: Path, options: Options, say: Say) -> Tuning:
    """Tune one loader of the program that ``command`` runs; its recordings go into ``folder``.

    Raises UserError where it cannot be run, or hardly uses a loader.
    """
    begun = time.monotonic()
    say(f"first run: until its loop has run for {options.seconds:g} s")
    recording = folder / "first"
    result = first_run(command, recording, options.seconds, options.place)
    if result.exit_code and not (recording / STOPPED).exists():
        raise UserError(f"the program fails as it is: {failure(result)}")
    host = read_host(recording)
    timeline = load_processes_of(host, host.logs)
    evidence = _subject(gather_all(timeline), options.place)
    loader = evidence.loader
    target = Target(loader.created_at, loader.dataset)
    may = allowed(host, evidence, options.keep_order)
    found = search(evidence, room(timeline, evidence, setup_of(loader).prefetch_factor), may, options.most)
    source = Path(evidence.project.absolute(target.site.file))
    others = [
        o.dataset for o in timeline.loaders if o.created_at == target.site and o.dataset != target.dataset
    ]
    nothing = Tuning(
        target=target,
        settings=loader.settings,
        batches=evidence.batches,
        loop_s=evidence.wall / 1e9,
        wait_share=evidence.wait_share,
        search=found,
        why=may.why,
        tried=(),
        outcome=None,
        plan=None,
        source=source,
        content=_read(source),
        also=tuple(dict.fromkeys(others)),
        window=(0, 0),
        runs=1,
        spent_s=time.monotonic() - begun,
    )
    if not found.best:
        return nothing
    choices = (Choice({}, None), *found.best)
    startup_s = first_ask_s(timeline, loader)
    left_s = options.budget_s - nothing.spent_s
    bounds = plan_runs(evidence, choices, startup_s, left_s, options.seconds)
    entrants = [Entrant(choice.effort) for choice in choices]

    def run(number: int, turn: int) -> Trial:
        name = in_words(choices[number].change) or "as it is"
        done = trial(command, folder / f"{turn + 1}-{number}", target, choices[number].change, bounds)
        shown = done.failed if done.batch_s is None else f"{done.batch_s * 1e3:.3g} ms a batch"
        say(f"round {turn + 1}: {name}: {shown}")
        return done

    outcome = contest(entrants, run, lambda: options.budget_s - (time.monotonic() - begun), bounds.expected_s)
    present = entrants[0]
    if present.out:
        raise UserError(f"the program, run as it is, did not come far: {present.out}")
    tried = tuple(
        Tried(
            choice,
            tuple(s for s in entrant.times if s is not None),
            entrant.against(present) if entrant is not present else None,
            entrant.out,
        )
        for choice, entrant in zip(choices, entrants, strict=True)
    )
    winner = None if outcome.winner is None else tried[outcome.winner]
    return replace(
        nothing,
        tried=tried,
        outcome=outcome,
        plan=_plan(nothing.content, target, loader, winner) if winner is not None else None,
        window=(bounds.first, bounds.last),
        runs=1 + sum(len(entrant.walls) for entrant in entrants),
        spent_s=time.monotonic() - begun,
    )


def plan_runs(
    evidence: Evidence, choices: Sequence[Choice], startup_s: float, left_s: float, most_s: float
) -> Bounds:
    """Over which batches the settings are compared: the same in each run, those ready at the start left out.

    Where epochs are short, whole epochs: what is paid once per epoch counts as often as it does in training.
    """
    loader, now = evidence.loader, setup_of(evidence.loader)
    held = [
        c.change.get("num_workers", now.num_workers) * c.change.get("prefetch_factor", now.prefetch_factor)
        for c in choices
    ]
    reached = count(loader)
    batch_s = (seconds(loader, reached // 3, reached) or evidence.wall / 1e9) / (reached - reached // 3)
    loop_s = min(max(left_s / (len(choices) * _ROUNDS) - startup_s, _RUN_S[0]), _RUN_S[1], most_s)
    first, wanted = max(_FEWEST_BATCHES // 3, *held), ceil(loop_s / batch_s)
    length = epoch_length(loader)
    if length is None:
        last = first + max(wanted, first)
    elif reached >= 2 * length and length * batch_s <= 2 * loop_s:
        first, last = length, length * (1 + max(1, min(round(wanted / length), reached // length - 1)))
    else:
        first = min(first, length // 3)
        last = min(first + max(wanted, first), length)
    most = startup_s + _SLACK * last * batch_s + 5.0
    return Bounds(first, last, startup_s + last * batch_s, most, 2 * startup_s + most + _DEADLINE_S)


def _subject(evidences: Sequence[Evidence], place: list[Any] | None) -> Evidence:
    """The loader to tune: the one that is meant, else the one whose loop waits most."""
    known = [
        e
        for e in evidences
        if is_at(place, [(e.loader.created_at.file, e.loader.created_at.line, e.loader.created_at.function)])
    ]
    if not evidences:
        raise UserError("no DataLoader was iterated in the first run")
    if not known:
        made = sorted({Target(e.loader.created_at, "").shown() for e in evidences})
        raise UserError(f"no DataLoader is made there; they are made at {', '.join(made)}")
    best = max(known, key=lambda e: (sum(e.recurring.values()), e.wall))
    if best.batches < _FEWEST_BATCHES:
        raise UserError(
            f"its loop got {best.batches} batches in the first run, which is too few: give more --seconds, or a"
            " program that trains for longer"
        )
    return best


def _plan(content: bytes | None, target: Target, loader: LoaderLife, winner: Tried) -> Plan:
    if content is None:
        return Plan(None, "the file cannot be read")
    return plan(content, target.site.line, str(loader.settings.get("class")), winner.choice.change)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
