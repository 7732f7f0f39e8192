"""Findings as JSON lines: an object for each, as in the JSON report; a problem with a file has the rule ``null``."""

from __future__ import annotations

import json

from dlcheck.lint.api import CheckResult
from dlcheck.report.check_json import error_json, finding_json


def render(result: CheckResult) -> str:
    """One line per finding and per problem."""
    values = [finding_json(finding, result.sources) for finding in result.findings]
    values += [{"rule": None, **error_json(e, result.sources), "severity": "error"} for e in result.errors]
    return "".join(f"{json.dumps(value)}\n" for value in values)
