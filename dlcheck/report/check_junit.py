"""A JUnit report, for servers that show test results: a suite per file, a failed case per finding."""

from __future__ import annotations

import re
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from dlcheck.lint.api import CheckResult
from dlcheck.report.check_parts import error_spot, shown_path, spot

# Characters that XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: CheckResult) -> str:
    """The report; where nothing is found, one suite with one case that passed."""
    cases = [
        (f.place.file, spot(f.place, result.sources).text, f"{f.rule} {f.name}", "failure", f.message, f.help)
        for f in result.findings
    ]
    cases += [
        (e.file, error_spot(e, result.sources).text, "cannot be checked", "error", e.message, "")
        for e in result.errors
    ]
    suites = [
        _suite(shown_path(file), list(group)) for file, group in groupby(cases, key=lambda case: case[0])
    ]
    if not suites:
        passed = '    <testcase name="dlcheck"/>\n'
        suites = [f'  <testsuite name="dlcheck" tests="1" failures="0" errors="0">\n{passed}  </testsuite>\n']
    failures = sum(case[3] == "failure" for case in cases)
    head = f'<testsuites name="dlcheck" tests="{max(1, len(cases))}" failures="{failures}" errors="{len(cases) - failures}">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{"".join(suites)}</testsuites>\n'


def _suite(name: str, cases: list[tuple[str, str, str, str, str, str]]) -> str:
    failures = sum(case[3] == "failure" for case in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{len(cases) - failures}"'
    body = "".join(
        f"    <testcase name={_attribute(title)} classname={_attribute(place)} file={_attribute(name)}>\n"
        f"      <{kind} message={_attribute(message)}>{_text(f'{place}: {message} {advice}'.rstrip())}</{kind}>\n"
        f"    </testcase>\n"
        for _, place, title, kind, message, advice in cases
    )
    return f"  <testsuite name={_attribute(name)} {counts}>\n{body}  </testsuite>\n"


def _attribute(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", text), {"\n": "&#10;"})


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))
