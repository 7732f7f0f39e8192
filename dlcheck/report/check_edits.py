"""What the fix of a finding changes, as whole lines to replace: the form that review tools and editors take."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from dlcheck.facts.text import decode, split_lines
from dlcheck.lint.finding import Finding


@dataclass(frozen=True, slots=True)
class Replacement:
    """The lines from ``first`` to ``last`` (from 1, both inclusive; ``last`` is ``first - 1`` where lines are put in before
    ``first``) are to be ``text``, which ends in a line break where it is not empty.
    """

    first: int
    last: int
    text: str


def replacements(finding: Finding, sources: Mapping[str, bytes]) -> list[Replacement]:
    """The changes that a finding's fix makes, from the first line to the last; none where it has no fix that fits."""
    if finding.fix is None or finding.place.file not in sources:
        return []
    from dlcheck.lint.edit import apply_fixes

    source = sources[finding.place.file]
    try:
        changed, done = apply_fixes(source, [finding.fix])
    except ValueError:
        return []
    return differences(decode(source), decode(changed)) if done else []


def differences(before: str, after: str) -> list[Replacement]:
    """What changes between two texts."""
    old, new = split_lines(before), split_lines(after)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [
        Replacement(i1 + 1, i2, "".join(new[j1:j2]))
        for kind, i1, i2, j1, j2 in matcher.get_opcodes()
        if kind != "equal"
    ]
