"""Comparisons of runs of which it is known what changed."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import ENVIRONMENT, iterator, loader, ns, steady, timeline

from dlcheck.comparison.compare import compare
from dlcheck.comparison.model import LoaderChange
from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import Incident, LoaderLife, MachineSample, ProcessSample, Site
from dlcheck.lint.finding import Finding, Place
from dlcheck.report.compare_json import render_comparison
from dlcheck.report.compare_text import print_comparison
from dlcheck.report.model import Report


def life(service: float, step: float, batches: int = 120, workers: int = 1, **more: Any) -> LoaderLife:
    return replace(loader([iterator([steady(batches, service, step, workers=workers)], workers)]), **more)


def report(*lives: LoaderLife, findings: tuple[Finding, ...] = (), **more: Any) -> Report:
    run = timeline(*lives, **more)
    return Report(diagnose(run, findings), run, "/rec")


def only(change: tuple[LoaderChange, ...]) -> LoaderChange:
    (one,) = change
    return one


def test_a_faster_loader_is_better_and_the_cause_is_named() -> None:
    change = only(compare([report(life(50, 20))], [report(life(10, 20))]).loaders)
    assert change.speed.word == "better" and change.speed.name == "samples per second"
    assert change.speed.a == pytest.approx(8 / 0.05, rel=0.02)
    assert change.speed.change == pytest.approx(2.5, rel=0.02)
    assert change.speed.low is not None and change.speed.low > 2.2
    (share,) = (m for m in change.measures if m.name.startswith("waits"))
    assert (share.word, round(share.a, 2), round(share.b, 2)) == ("better", 0.6, 0.0)
    assert change.causes[0].name == "fetch-io" and change.causes[0].change == pytest.approx(-0.03, rel=0.05)
    assert {m.name: m.word for m in change.measures}["step, per batch"] == "unclear"
    assert change.verdicts == (("fetch-io",), ("healthy",))


def test_a_slower_loader_is_a_regression_and_the_reverse_is_not() -> None:
    slow, quick = [report(life(50, 20))], [report(life(30, 20))]
    worse = compare(quick, slow)
    assert only(worse.loaders).speed.word == "worse"
    assert len(worse.regressions) == 1 and "samples per second are 0.60" in worse.regressions[0]
    assert compare(slow, quick).regressions == ()


def test_equal_runs_differ_in_nothing() -> None:
    same = compare([report(life(50, 20))] * 3, [report(life(50, 20))] * 3)
    assert only(same.loaders).speed.word == "same"
    assert {m.word for m in only(same.loaders).measures} == {"same"}
    assert same.regressions == same.environment == same.cured == ()
    assert not any("One recording of each" in note for note in same.notes)
    single = compare([report(life(50, 20))], [report(life(50, 20))])
    assert only(single.loaders).speed.word in ("same", "unclear") and single.regressions == ()


def test_too_few_batches_are_not_judged() -> None:
    few = compare([report(life(50, 20, batches=8))], [report(life(500, 20, batches=8))])
    speed = only(few.loaders).speed
    assert (speed.word, speed.change, few.regressions) == ("unclear", None, ())
    assert speed.a > 3 * speed.b > 0
    assert any("too few batches" in note for note in few.notes)


def test_a_busy_machine_widens_the_intervals() -> None:
    calm = compare([report(life(50, 20))], [report(life(45, 20))])
    samples = tuple(ProcessSample(ns(500 * n), 1, 0.1 * n, 1) for n in range(20))
    others = tuple(MachineSample(ns(500 * n), 4.0 * n, 1 << 30) for n in range(20))
    busy_a, busy_b = (report(life(ms, 20), processes=samples, machine=others) for ms in (50, 45))
    busy = only(compare([busy_a], [busy_b]).loaders).speed
    quiet = only(calm.loaders).speed
    assert quiet.word == "better" and busy.word == "unclear"
    assert busy.change == pytest.approx(quiet.change)


def test_settings_environment_findings_and_incidents_that_changed() -> None:
    def finding(rule: str, line: int) -> Finding:
        place = Place("/project/data.py", line, 1, line, 9)
        return Finding(rule, "a-name", place, f"{rule} is here", "warning", "high", "help", (1, 90))

    a = report(life(50, 20), findings=(finding("DLC102", 12), finding("DLC101", 5)))
    changed = life(50, 20, created_at=Site("/project/train.py", 14, "main"))
    changed = replace(changed, settings={**changed.settings, "persistent_workers": True})
    incident = Incident("worker-killed", ns(50), 110, "killed")
    b = report(
        changed,
        findings=(finding("DLC101", 9), finding("DLC205", 14)),
        environment={**ENVIRONMENT, "torch": "2.14"},
        incidents=(incident,),
        exit_code=1,
    )
    found = compare([a], [b])
    assert [(v.name, v.a, v.b) for v in only(found.loaders).settings] == [("persistent_workers", None, True)]
    assert [(v.name, v.a, v.b) for v in found.environment] == [("torch", None, "2.14")]
    assert [f["rule"] for f in found.cured] == ["DLC102"]
    assert [f["rule"] for f in found.introduced] == ["DLC205"]
    assert found.regressions == (
        "the command of B failed, that of A did not",
        "worker-killed happened in B, and not in A",
    )


def test_loaders_are_matched_though_their_lines_moved() -> None:
    def at(line: int, dataset: str, ms: float, key: str, file: str = "/project/train.py") -> LoaderLife:
        return life(ms, 20, created_at=Site(file, line, "main"), dataset=dataset, key=key)

    a = report(at(10, "Train", 50, "1:1"), at(11, "Val", 40, "1:2"), at(12, "Gone", 30, "1:3"))
    b = report(at(20, "Val", 40, "1:1"), at(21, "Train", 50, "1:2"), at(3, "New", 1, "1:3", "/project/x.py"),
               at(4, "New", 1, "1:4", "/project/x.py"))  # fmt: skip
    found = compare([a], [b])
    pairs = {change.datasets: (change.at_a.line, change.at_b.line) for change in found.loaders}
    assert pairs == {("Train", "Train"): (10, 21), ("Val", "Val"): (11, 20)}
    assert [name.rpartition(" ")[2] for name in found.only_a] == ["Gone"]
    assert len(found.only_b) == 2


def test_loaders_made_anew_each_epoch_and_on_each_rank_are_one() -> None:
    lives = [life(50, 20, batches=40, key=f"{rank}:{n}", rank=rank) for rank in range(2) for n in range(3)]
    change = only(compare([report(*lives)], [report(*lives)]).loaders)
    assert change.speed.change == pytest.approx(1.0) and change.speed.low is not None


def test_memory_that_grew_is_a_regression() -> None:
    def run(size: int) -> Report:
        samples = tuple(ProcessSample(ns(900 * n), 110, 0.1, 2 * size, private_dirty=size) for n in range(4))
        return report(life(50, 20), processes=samples)

    found = compare([run(100 << 20)], [run(300 << 20)])
    assert any("private memory of a worker is 3.00" in text for text in found.regressions)
    assert compare([run(1 << 20)], [run(3 << 20)]).regressions == ()


def test_text_and_json() -> None:
    a, b = (
        report(life(50, 20, dataset="[bold]Data[/bold]")),
        report(life(10, 20, dataset="[bold]Data[/bold]")),
    )
    found = compare([a], [b])
    file = io.StringIO()
    print_comparison(found, file)
    text = file.getvalue()
    assert "better: 2.49 times" in text and "[bold]Data[/bold]" in text and "\x1b" not in text
    assert "verdict fetch-io -> healthy" in text and "-30 ms" in text
    value = json.loads(render_comparison(found))
    assert value["schema"] == "dlcheck.compare/1"
    assert value["loaders"][0]["speed"]["word"] == "better"
