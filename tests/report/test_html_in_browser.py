"""The HTML report in a real browser: it draws, answers, complains of nothing, and runs nothing of a recording's."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))
sys.path.insert(0, str(Path(__file__).parent))

from building import iterator, loader, ns, steady, timeline
from test_run_html import HOSTILE, hostile_run

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import MachineSample, ProcessSample, Site, StackSample, Timeline
from dlcheck.report.model import Report
from dlcheck.report.run_html import render_html

pytestmark = pytest.mark.slow

PAINTED = """canvas => {
  const {width, height} = canvas, data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return colours.size;
}"""


def run_of_two_workers() -> Timeline:
    """Batch 21, of worker 1, takes 900 ms instead of 50."""
    life = loader([iterator([steady(100, 50, 10, workers=2, cpu_share=0.5, slow={21: 900.0})], 2)])
    processes = tuple(
        ProcessSample(ns(500 * n), pid, 0.3 * n, 10**8 + 10**6 * n, private_dirty=10**7, read_bytes=10**6 * n)
        for n in range(8)
        for pid in (1, 110, 111)
    )
    stacks = tuple(
        StackSample(ns(5 + 20 * n), 110, "MainThread", False, (Site("/project/data.py", 12, "read"),), ns(20))
        for n in range(100)
    )
    machine = tuple(MachineSample(ns(500 * n), 1.0 * n, 1 << 30) for n in range(8))
    return timeline(life, processes=processes, stacks=stacks, machine=machine)


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page of a run, with a watch on what it complains of and asks for."""
    contexts = []

    def show(report: Report, **options: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(render_html(report), encoding="utf-8")
        context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.asked = []
        page.on("console", lambda message: page.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        page.locator(".charts").first.scroll_into_view_if_needed()
        page.wait_for_selector(".charts[data-drawn]")
        return page

    yield show
    for context in contexts:
        context.close()


def of(run: Timeline) -> Report:
    return Report(diagnose(run), run, "/rec")


def test_it_draws_every_chart_and_complains_of_nothing(shown: Callable[..., Any]) -> None:
    page = shown(of(run_of_two_workers()))
    names = ("timeline", "queue", "rate", "cores", "memory", "read", "predictions")
    drawn = {name: page.locator(f'[data-chart="{name}"] canvas').evaluate(PAINTED) for name in names}
    assert all(colours > 3 for colours in drawn.values()), drawn
    assert page.locator(".flame .frame").all_inner_texts() == ["all", "read (data.py:12)"]
    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_a_click_on_a_wait_says_which_batch_and_why(shown: Callable[..., Any]) -> None:
    run = run_of_two_workers()
    page = shown(of(run))
    (epoch,) = run.loaders[0].iterators[0].epochs
    slow = epoch.batches[21]
    assert slow.asked is not None and slow.got is not None and epoch.end is not None
    over = page.locator('[data-chart="timeline"] .u-over')
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = (slow.asked + slow.got) / 2 / epoch.end
    page.mouse.click(box["x"] + box["width"] * middle, box["y"] + box["height"] / 6)
    said = page.locator(".picked").inner_text()
    assert "for batch 21 of epoch 1, made by worker 1" in said
    assert "fetch-io" in said and "Fetching it took 900 ms (50 % of it on the CPU)" in said
    page.mouse.click(box["x"] + box["width"] * middle, box["y"] + box["height"] / 6 * 5)
    assert "batch 21 of" in page.locator(".picked").inner_text()


def test_buttons_keys_and_drags_zoom_all_charts_together(shown: Callable[..., Any]) -> None:
    page = shown(of(run_of_two_workers()))
    page.click('[data-action="longest"]')
    assert "for batch 21 of" in page.locator(".picked").inner_text()
    page.click('[data-action="next"]')
    assert "for batch 21 of" not in page.locator(".picked").inner_text()
    page.click('[data-action="all"]')

    def labels(name: str) -> str:
        # What is painted differs when the stretch of time does.
        return str(page.locator(f'[data-chart="{name}"] canvas').evaluate("canvas => canvas.toDataURL()"))

    whole = {name: labels(name) for name in ("timeline", "rate", "cores")}
    for act in (
        lambda: page.click('[data-action="in"]'),
        lambda: page.locator(".charts").press("+"),
        lambda: _drag(page, 0.2, 0.4),
    ):
        act()
        page.wait_for_timeout(100)
        assert all(labels(name) != picture for name, picture in whole.items())
        page.locator(".charts").press("0")
        page.wait_for_timeout(100)
        assert {name: labels(name) for name in whole} == whole


def _drag(page: Any, begin: float, end: float) -> None:
    over = page.locator('[data-chart="timeline"] .u-over')
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * begin, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + 10, steps=4)
    page.mouse.up()


def test_flame_graph_opens_one_call_and_the_way_back(shown: Callable[..., Any]) -> None:
    page = shown(of(run_of_two_workers()))
    frames = page.locator(".flame .frame")
    frames.nth(1).click()
    assert frames.all_inner_texts() == ["all", "read (data.py:12)"]
    frames.nth(0).click()
    assert frames.count() == 2


def test_light_and_dark(shown: Callable[..., Any]) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page = shown(of(run_of_two_workers()), color_scheme="dark")
    dark = page.evaluate(background)
    page.click("#theme")
    light = page.evaluate(background)
    assert dark != light == "rgb(255, 255, 255)"
    page.click("#theme")
    assert page.evaluate(background) == dark
    assert shown(of(run_of_two_workers())).evaluate(background) == light


def test_hostile_names_stay_text(shown: Callable[..., Any]) -> None:
    run, findings = hostile_run()
    page = shown(Report(diagnose(run, findings), run, "/rec"))
    page.click('#loader-1 [data-action="longest"]')
    page.locator(".flame .frame").first.hover()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main iframe").count() == 0
    assert HOSTILE[1] in page.inner_text("#loader-1")
    assert page.complaints == []


def test_a_page_without_batches_complains_of_nothing(
    shown: Callable[..., Any], browser: Any, tmp_path: Path
) -> None:
    life = loader([iterator([], 2)])
    page = shown(of(timeline(life, replace(loader([iterator([steady(9, 5, 5)], 1)]), key="1:2"))))
    assert page.complaints == []


def test_an_hour_at_100_batches_per_second_opens_at_once(browser: Any, tmp_path: Path) -> None:
    draw = random.Random(1)
    times = {idx: draw.lognormvariate(3.3, 0.5) for idx in range(360_000)}
    life = loader([iterator([steady(360_000, 30, 9, workers=4, cpu_share=0.5, slow=times)], 4)])
    # What is said of an hour is no longer than what is said of its first minute, and takes longer to find out.
    minute = loader([iterator([steady(6_000, 30, 9, workers=4, cpu_share=0.5, slow=times)], 4)])
    page_text = render_html(Report(diagnose(timeline(minute)), timeline(life), "/rec"))
    assert len(page_text.encode()) <= 1_500_000
    path = tmp_path / "hour.html"
    path.write_text(page_text, encoding="utf-8")
    # The best of three: what other programs do meanwhile is not the page's doing.
    took = []
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        begun = time.monotonic()
        page.goto(path.as_uri())
        page.wait_for_selector(".charts[data-drawn]")
        took.append(time.monotonic() - begun)
        assert page.locator('[data-chart="timeline"] canvas').evaluate(PAINTED) > 3
        page.close()
    print(f"page of {len(page_text) / 1e6:.2f} MB opens in {min(took):.2f} s")
    assert min(took) < 3
