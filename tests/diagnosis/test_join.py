"""Static findings meet measurements: a cost for each, and a finding on the culprit's line."""

from __future__ import annotations

import pytest
from building import MS, batch, cost, epoch, iterator, loader, ns, restarted, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import Site, StackSample
from dlcheck.lint.finding import Finding, Place

OPENS = Site("/project/data.py", 12, "Data.read")


def finding(rule: str, file: str, line: int, scope: tuple[int, int] = (0, 0)) -> Finding:
    return Finding(
        rule, "name", Place(file, line, 1, line, 20), "message", "warning", "high", "do this", scope
    )


def sampled(*sites: Site) -> tuple[StackSample, ...]:
    return tuple(
        StackSample(ns(1001) + n * MS, 110, "MainThread", True, (site,), MS)
        for site in sites
        for n in range(20)
    )


def test_a_finding_in_the_item_path_costs_what_its_line_costs() -> None:
    life = loader([iterator([steady(100, 50, 10)], 1)])
    here = finding("DLC102", "/project/data.py", 12, (10, 20))
    elsewhere = finding("DLC102", "/project/other.py", 12, (10, 20))
    result = diagnose(timeline(life, stacks=sampled(OPENS)), [elsewhere, here])
    first, second = result.findings
    assert first.finding is here and first.cost_s == pytest.approx(result.loaders[0].causes_s["fetch-io"])
    assert first.cost_s is not None
    assert first.cost_share == pytest.approx(first.cost_s / result.loaders[0].wall_s)
    assert second.cost_s is None and second.why
    assert result.loaders[0].culprits[0].finding is here
    assert "DLC102" in "".join(advice.text for advice in result.loaders[0].advice)


def test_a_finding_of_the_same_function_covers_the_line_and_one_of_another_does_not() -> None:
    life = loader([iterator([steady(100, 50, 10)], 1)])
    near, far = (finding("DLC104", "/project/data.py", 15, s) for s in ((10, 20), (14, 20)))
    run = timeline(life, stacks=sampled(OPENS))
    assert diagnose(run, [far]).loaders[0].culprits[0].finding is None
    assert diagnose(run, [far, near]).loaders[0].culprits[0].finding is near
    # It need not be why the line takes long.
    advice = "".join(each.text for each in diagnose(run, [near]).loaders[0].advice)
    assert "DLC104 at line 15, in the same function" in advice


def test_rules_on_the_loader_are_priced_by_its_waits() -> None:
    batches = [
        batch(i, None, asked=100 * i, got=100 * i + 60, fetch=(100 * i, 100 * i + 60), clocks=cost(60, 50))
        for i in range(30)
    ]
    inline = loader([iterator([epoch(batches, end=3000)])])
    result = diagnose(timeline(inline), [finding("DLC203", "/project/train.py", 10)])
    # The first batch is no recurring cost.
    assert result.findings[0].cost_s == pytest.approx(29 * 0.06)
    unused = diagnose(timeline(inline), [finding("DLC203", "/project/train.py", 90)])
    assert unused.findings[0].cost_s is None and "not used" in unused.findings[0].why


def test_a_changing_dataset_forbids_persistent_workers() -> None:
    iterators = restarted(5)
    run = timeline(loader(iterators))
    changes = [
        [a.change for a in diagnose(run, [finding(rule, "/project/train.py", 10)]).loaders[0].advice]
        for rule in ("DLC205", "DLC405")
    ]
    assert {"persistent_workers": True} in changes[0]
    assert not any("persistent_workers" in change for change in changes[1])


def test_a_finding_about_what_is_right_has_no_price() -> None:
    life = loader([iterator([steady(100, 50, 10)], 1)])
    unclosed = finding("DLC106", "/project/data.py", 12, (10, 20))
    result = diagnose(timeline(life, stacks=sampled(OPENS)), [unclosed])
    assert result.findings[0].cost_s is None
    assert result.loaders[0].culprits[0].finding is None
