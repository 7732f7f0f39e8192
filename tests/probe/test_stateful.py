"""torchdata's StatefulDataLoader, which has iterators and a worker loop of its own."""

from __future__ import annotations

import json

import pytest

from .conftest import PROGRAMS, Probe, plain

STATEFUL = str(PROGRAMS / "stateful.py")
WAYS = ("inline", "workers", "iterable", "spawned")


@pytest.mark.slow
def test_stateful_loader_is_seen_and_yields_the_same(probe: Probe) -> None:
    pytest.importorskip("torchdata")
    seen, without = probe(STATEFUL, *WAYS), plain(STATEFUL, *WAYS)
    assert (seen.stdout, seen.stderr, seen.exit_code) == (without.stdout, without.stderr, without.returncode)
    assert seen.timeline.notes == ()
    for line in seen.stdout.splitlines():
        way, first, resumed = json.loads(line)
        loader = seen.loader(way)
        got = [
            [batch for batch in epoch.batches if batch.got is not None]
            for iterator in loader.iterators
            for epoch in iterator.epochs
        ]
        # Where an iterator has no state of its own, torchdata draws the first batches again and drops them.
        assert len(got[0]) == len(first), way
        assert len(got[1]) in (len(resumed), len(first)), way
        made = [(b.fetch_begin, b.collate_begin, b.collate_end, b.fetch) for batches in got for b in batches]
        assert all(None not in stages for stages in made), way
