"""Which loader of one run is which of another: code moves, and is renamed, between two runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlcheck.comparison.measures import LoaderRun

Key = tuple[str, int, str]
"""Where a loader is made (file, line), and its dataset."""

Runs = tuple[LoaderRun, ...]

# From exact to vague; each pairs what is alike in as many places in both runs, in the order of the lines.
_LIKENESS: tuple[Callable[[LoaderRun], object], ...] = (
    lambda run: (run.file, run.at.line, run.dataset),
    lambda run: (run.file, run.at.function, run.dataset),
    lambda run: (run.file, run.dataset),
    lambda run: run.dataset,
    lambda run: (run.file, run.at.line),
    lambda run: (run.file.rpartition("/")[2], run.at.function),
    lambda run: "loader",
)


def match(
    a: Sequence[Mapping[Key, LoaderRun]], b: Sequence[Mapping[Key, LoaderRun]]
) -> tuple[list[tuple[Runs, Runs]], tuple[str, ...], tuple[str, ...]]:
    """Pairs of loaders, each with all its runs, and the names of those that are on one side only.

    A loader must be in every recording of its side: of several recordings of one program, each has it.
    """
    left, right = _common(a), _common(b)
    pairs: list[tuple[Runs, Runs]] = []
    for likeness in _LIKENESS:
        ours, theirs = _by(likeness, left), _by(likeness, right)
        for what, own in ours.items():
            other = theirs.get(what, [])
            if len(own) == len(other):
                pairs += [
                    (left.pop(key), right.pop(its))
                    for key, its in zip(sorted(own), sorted(other), strict=True)
                ]
    return pairs, tuple(map(_name, left)), tuple(map(_name, right))


def _common(side: Sequence[Mapping[Key, LoaderRun]]) -> dict[Key, Runs]:
    return {key: tuple(run[key] for run in side) for key in side[0] if all(key in run for run in side)}


def _by(likeness: Callable[[LoaderRun], object], runs: Mapping[Key, Runs]) -> dict[object, list[Key]]:
    found: dict[object, list[Key]] = {}
    for key, own in runs.items():
        found.setdefault(likeness(own[0]), []).append(key)
    return found


def _name(key: Key) -> str:
    return f"{key[0]}:{key[1]} {key[2]}"
