"""The HTML report as text: complete in itself, small, and nothing of a recording becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "diagnosis"))

from building import ENVIRONMENT, iterator, loader, ns, steady, timeline

from dlcheck.diagnosis.diagnose import diagnose
from dlcheck.diagnosis.timeline import Incident, MachineSample, ProcessSample, Site, StackSample, Timeline
from dlcheck.lint.finding import Finding, Place
from dlcheck.report.excerpts import Excerpt
from dlcheck.report.model import Report
from dlcheck.report.run_html import MOST_BYTES, render_html, visible

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "{{ 7 * 7 }}{% raw %}",
    "a\u202egnp.exe\x1b[31m\ud800",
)


def hostile_run() -> tuple[Timeline, list[Finding]]:
    """A run in which whatever a stranger can name is named to do harm."""
    name = " ".join(HOSTILE)
    file = f"/project/{HOSTILE[0]}{HOSTILE[3]}.py"
    life = loader([iterator([steady(60, 50, 10, workers=2)], 2)], sampler=name, nested={name: [name]})
    life = replace(life, created_at=Site(file, 3, name), dataset=name, dataset_at=Site(file, 1, name), rank=0)
    other = replace(life, key="1:2", rank=1)
    samples = tuple(
        StackSample(ns(30) + ns(20) * n, 110, "MainThread", True, (Site(file, 12, name),), ns(20))
        for n in range(60)
    )
    finding = Finding("DLC102", name, Place(file, 12, 1, 12, 9), name, "warning", "high", name, (10, 20))
    incident = Incident("worker-killed", ns(500), 110, name, (Site(file, 9, name),))
    run = timeline(
        life, other, stacks=samples, incidents=(incident,), command=("python", name), notes=(name,)
    )
    return replace(run, environment={**ENVIRONMENT, "host": name, name: name}), [finding]


def page_of(run: Timeline, findings: list[Finding], **more: Any) -> str:
    return render_html(Report(diagnose(run, findings), run, "/rec", **more))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    return tags


def numbers(page: str) -> Any:
    packed = re.search(r'id="numbers">([A-Za-z0-9+/=]+)<', page)
    assert packed is not None
    return json.loads(zlib.decompress(base64.b64decode(packed[1])))


def test_hostile_names_stay_text() -> None:
    run, findings = hostile_run()
    place = (f"/project/{HOSTILE[0]}{HOSTILE[3]}.py", 12)
    page = page_of(run, findings, excerpts={place: Excerpt(11, ("x", HOSTILE[0], HOSTILE[1]))})
    tags = parsed(page)
    assert [attributes.get("type") for tag, attributes in tags.tags if tag == "script"] == [
        "application/octet-stream",
        None,
    ]
    assert not [tag for tag, _ in tags.tags if tag in ("img", "iframe", "object", "embed", "form", "base")]
    assert not [name for _, attributes in tags.tags for name in attributes if name.startswith("on")]
    assert "{{ 7 * 7 }}{% raw %}" in tags.text and HOSTILE[1] in tags.text
    assert "\u202e" not in page and "\x1b" not in page and "\\u202e" in tags.text
    page.encode("utf-8")


def test_nothing_is_fetched_and_only_the_own_script_may_run() -> None:
    run, findings = hostile_run()
    page = page_of(run, findings)
    tags = parsed(page)
    for _, attributes in tags.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), value
    assert not re.search(r"@import|url\(", page)
    (policy,) = (str(a["content"]) for tag, a in tags.tags if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "style=" not in page.replace(".style=", "")


def test_page_says_the_verdict_the_bar_and_what_to_change() -> None:
    run = timeline(loader([iterator([steady(100, 50, 10, workers=2)], 2)]))
    tags = parsed(page_of(run, []))
    (said,) = diagnose(run).loaders
    assert said.sentence in tags.text and said.verdict in tags.text
    assert all(advice.text.replace("`", "") in tags.text for advice in said.advice)
    bar = [float(str(a["width"])) for tag, a in tags.tags if tag == "rect" and a.get("height") == "10"]
    assert sum(bar) == pytest.approx(1000, abs=0.1)


def test_usage_is_laid_on_common_ticks() -> None:
    life = loader([iterator([steady(100, 50, 10, workers=2)], 2)])
    lanes = {1: 0.25, 110: 0.5, 111: 1.0}
    processes = tuple(
        ProcessSample(ns(500 * n), pid, share * 0.5 * n, 1000 + n, private_dirty=10 if n % 2 else None)
        for n in range(6)
        for pid, share in lanes.items()
    )
    machine = tuple(MachineSample(ns(500 * n), 2.0 * 0.5 * n, 1 << 30) for n in range(6))
    usage = numbers(page_of(timeline(life, processes=processes, machine=machine), []))["loaders"][0]["usage"]
    cores = {one["name"]: [v for v in one["cores"] if v is not None] for one in usage["series"]}
    assert {name: values[0] for name, values in cores.items()} == {
        "training process": 0.25,
        "worker 0": 0.5,
        "worker 1": 1.0,
    }
    assert all(value == pytest.approx(values[0]) for values in cores.values() for value in values)
    assert {v for v in usage["machine_cores"] if v is not None} == {2.0}
    assert len(usage["t"]) == len(usage["series"][0]["rss"])


def test_a_run_without_loaders_has_a_page() -> None:
    tags = parsed(page_of(timeline(), []))
    assert "No DataLoader was iterated" in tags.text


def test_many_loaders_are_listed_and_the_page_stays_small() -> None:
    lives = [
        replace(loader([iterator([steady(60, 20 + n, 10, workers=8)], 8)]), key=f"1:{n}", rank=n)
        for n in range(10)
    ]
    page = page_of(timeline(*lives), [])
    assert len(page.encode()) <= MOST_BYTES
    assert page.count('<section class="loader"') == 8
    assert page.count('class="bar small"') == 10 and "10 ranks" in page


def test_visible_writes_out_what_cannot_be_seen() -> None:
    assert visible("a\u202eb\nc\td\x00") == "a\\u202eb\nc\td\\u0000"
    assert visible(3) == 3 and len(visible("x" * 10_000)) == 2000
    assert visible({"a": "\u200b"}) == "{'a': '\\u200b'}"
