"""Splits a stretch of time among spans that overlap, each nanosecond to one part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Part = tuple[str, str]
"""A cause and what lies beneath it ("" where nothing more is known)."""

Shares = tuple[tuple[str, str, int], ...]
"""Parts of a span with their weights; the weights need not add up to anything."""

Span = tuple[int, int, Shares]

Interval = tuple[int, int]


def fill(begin: int, end: int, spans: Iterable[Span], rest: str) -> dict[Part, int]:
    """Split ``begin``..``end`` among ``spans``: where two overlap, the first in the list has it; ``rest`` has
    the gaps.
    """
    parts: dict[Part, int] = {}
    gaps = [(begin, end)] if end > begin else []
    for span_begin, span_end, shares in spans:
        if not gaps:
            break
        if span_end <= gaps[0][0] or gaps[-1][1] <= span_begin:
            continue
        left: list[Interval] = []
        covered = 0
        for gap_begin, gap_end in gaps:
            low, high = max(gap_begin, span_begin), min(gap_end, span_end)
            if low >= high:
                left.append((gap_begin, gap_end))
                continue
            covered += high - low
            left += [gap for gap in ((gap_begin, low), (high, gap_end)) if gap[0] < gap[1]]
        gaps = left
        if covered:
            for part, ns in _divide(covered, shares):
                add(parts, part, ns)
    for gap_begin, gap_end in gaps:
        add(parts, (rest, ""), gap_end - gap_begin)
    return parts


def _divide(ns: int, shares: Shares) -> Iterator[tuple[Part, int]]:
    """Divide whole nanoseconds in the ratio of the weights, leaving none over."""
    weights = sum(weight for _, _, weight in shares)
    given = seen = 0
    for cause, detail, weight in shares:
        seen += weight
        share = ns * seen // weights - given if weights else 0
        given += share
        if share:
            yield (cause, detail), share
    if given < ns:
        yield ("unknown", ""), ns - given


def add(parts: dict[Part, int], part: Part, ns: int) -> None:
    """Count nanoseconds to a part; none leave no entry."""
    if ns:
        parts[part] = parts.get(part, 0) + ns
