"""``--fail-on``, as several commands have it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlcheck.report.conditions import Condition
    from dlcheck.report.model import Report


def read_conditions(texts: Sequence[str]) -> list[Condition]:
    """The conditions as values. Raises ValueError for one that cannot be read."""
    if not texts:
        return []
    from dlcheck.report.conditions import parse

    try:
        return [parse(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"--fail-on {error}") from None


def status_of(conditions: Sequence[Condition], report: Report) -> int:
    """0, or FAILED with a line on standard error for each condition that holds."""
    if not conditions:
        return 0
    from dlcheck.report.conditions import FAILED, holding

    found = [(condition, why) for condition in conditions if (why := holding(condition, report)) is not None]
    for condition, why in found:
        print(f"dlcheck: --fail-on {condition.text}: {why}", file=sys.stderr)
    return FAILED if found else 0
