"""The edit of the call that makes a loader."""

from __future__ import annotations

import pytest

from dlcheck.tuning.edit import carried_out, plan

CLASS = "torch.utils.data.dataloader.DataLoader"


def edited(source: str, change: dict[str, object], line: int = 1) -> str:
    found = plan(source.encode(), line, CLASS, change)
    assert found.fix is not None, found.why_not
    return carried_out(source.encode(), found.fix).decode()


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("x = DataLoader(d, 8)\n", {"num_workers": 4}, "x = DataLoader(d, 8, num_workers=4)\n"),
        ("x = DataLoader(d, num_workers=1)\n", {"num_workers": 4}, "x = DataLoader(d, num_workers=4)\n"),
        (
            "x = D.DataLoader(dataset=d)\n",
            {"in_order": False},
            "x = D.DataLoader(dataset=d, in_order=False)\n",
        ),
        (
            "x = DataLoader(d, 8, True, None, None, 1)\n",
            {"num_workers": 4, "prefetch_factor": 4},
            "x = DataLoader(d, 8, True, None, None, 4, prefetch_factor=4)\n",
        ),
        (
            "for b in DataLoader(DataLoader2(d), num_workers=2, prefetch_factor=4, timeout=3):\n    pass\n",
            {"num_workers": 0},
            "for b in DataLoader(DataLoader2(d), num_workers=0):\n    pass\n",
        ),
        (
            "x = DataLoader(d, num_workers=2, **more)\n",
            {"num_workers": 4},
            "x = DataLoader(d, num_workers=4, **more)\n",
        ),
    ],
)
def test_arguments_are_set(before: str, change: dict[str, object], after: str) -> None:
    assert edited(before, change) == after


def test_the_line_may_be_any_of_the_call_and_the_name_another() -> None:
    source = "from torch.utils.data import DataLoader as DL\nx = DL(\n    d,\n    num_workers=1,\n)\n"
    for line in (2, 3, 4):
        after = edited(source, {"num_workers": 4, "persistent_workers": True}, line)
        assert "    num_workers=4,\n    persistent_workers=True,\n)" in after


@pytest.mark.parametrize(
    ("source", "change", "why"),
    [
        ("x = DataLoader(d, num_workers=args.workers)\n", {"num_workers": 4}, "args.workers: set that to 4"),
        ("x = DataLoader(d, 8, True, None, None, n)\n", {"num_workers": 4}, "n: set that to 4"),
        ("x = DataLoader(d, **more)\n", {"num_workers": 4}, "dictionary"),
        ("x = DataLoader(*more)\n", {"num_workers": 4}, "sequence"),
        ("x = make(d)\n", {"num_workers": 4}, "no single call"),
        ("x = [DataLoader(d), DataLoader(e)]\n", {"num_workers": 4}, "no single call"),
        ("x = (\n", {"num_workers": 4}, "cannot be parsed"),
    ],
)
def test_what_a_constant_would_break_is_left_to_the_owner(
    source: str, change: dict[str, object], why: str
) -> None:
    found = plan(source.encode(), 1, CLASS, change)
    assert found.fix is None and why in found.why_not


def test_a_class_of_the_programs_own_is_left_alone() -> None:
    found = plan(b"x = Mine(d)\n", 1, "project.loaders.Mine", {"num_workers": 4})
    assert found.fix is None and "project.loaders.Mine" in found.why_not
