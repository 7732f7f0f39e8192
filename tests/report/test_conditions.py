"""Conditions of --fail-on: what they mean, and what is wrong with those that cannot be read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import ProcessSample
from dlcheck.report.conditions import holding, parse
from dlcheck.report.model import Report


def report() -> Report:
    """A loader that waits 60 % of its time on blocked fetches, and one that hardly waits."""
    slow = loader([iterator([steady(100, 50, 20)], 1)])
    quick = replace(loader([iterator([steady(100, 5, 20)], 1)]), key="1:2", dataset="pkg.Validation")
    memory = tuple(ProcessSample(ns(100 * n), 110, 0.1, 3 * 10**9, private_dirty=2 * 10**9) for n in range(9))
    run = timeline(slow, quick, processes=memory)
    return Report(diagnose(run), run, "/rec")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("wait_share > 0.5", True),
        ("wait_share>50%", True),
        ("wait_share > 70 %", False),
        ("Validation: wait_share > 0.5", False),
        ("train.py:10: wait_share > 0.5", True),
        ("Nothing: wait_share > 0.99", True),
        ("fetch-io >= 50%", True),
        ("collate > 1%", False),
        ("wait_s < 1ms", False),
        ("Validation: wait_s < 900 ms", True),
        ("samples_per_s < 160", True),
        ("samples_per_s < 155", False),
        ("batches_per_s > 1e9", False),
        ("verdict != healthy", True),
        ("Validation: verdict != healthy", False),
        ("verdict == fetch-io", True),
        ("worker_private > 1.5GB", True),
        ("worker_rss > 4 GB", False),
        ("findings > 0", False),
        ("events >= 1", False),
        ("exit_code != 0", False),
    ],
)
def test_meaning(text: str, holds: bool) -> None:
    assert (holding(parse(text), report()) is not None) == holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wait_share", "is not a condition such as"),
        ("wait > 3", "there is no 'wait'; there are wait_share"),
        ("wait_share > much", "'much' is no number"),
        ("wait_s > 3 parsecs", "is no number (units: %, s"),
        ("verdict > healthy", "compared by == or !="),
        ("Train: findings > 0", "of the whole run"),
        ("", "is not a condition"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        parse(text)
    assert message in str(caught.value)


def test_what_cannot_be_judged_holds() -> None:
    run = timeline()
    empty = Report(diagnose(run), run, "/rec")
    assert holding(parse("wait_share > 0.9"), empty) == "there is no such loader in this run"
    unseen = loader([iterator([steady(100, 50, 20)], 1)])
    without = timeline(unseen)
    assert holding(parse("worker_rss > 1GB"), Report(diagnose(without), without, "/rec")) == (
        "not known of loader train.py:10"
    )


def test_why_a_condition_holds() -> None:
    assert holding(parse("wait_share > 0.5"), report()) == "0.6016 of loader train.py:10"
