"""Batches out of events."""

from __future__ import annotations

from dlcheck.diagnosis.load_loaders import _sent_if_read


def test_what_was_read_was_sent_though_the_worker_ended_before_it_said_so() -> None:
    seen = {"idx": 5, "pickle_end": 30, "read": 70}
    assert _sent_if_read(seen) == seen | {"send_begin": 30, "send_end": 70}
    assert _sent_if_read({"idx": 5, "pickle_end": 30}) == {"idx": 5, "pickle_end": 30}
    said = seen | {"send_begin": 40, "send_end": 50}
    assert _sent_if_read(said) == said
