"""A review as JSON: ``{"schema", "base", "introduced": [...], "cured": [...]}``."""

from __future__ import annotations

import json
from typing import Any

from dlcheck.lint.compare import Comparison, worst_first
from dlcheck.lint.finding import Finding
from dlcheck.report.check_json import finding_json
from dlcheck.report.markdown import Costs


def render_review_json(comparison: Comparison, commit: str, costs: Costs | None) -> str:
    """Findings as in the JSON report of ``dlcheck check``, worst first, with ``cost_s`` and ``cost_share`` or ``null``."""

    def seconds(finding: Finding) -> float | None:
        cost = (costs or {}).get(finding)
        return cost.seconds if cost is not None else None

    def entry(finding: Finding, sources: dict[str, bytes]) -> dict[str, Any]:
        cost = (costs or {}).get(finding)
        share = cost.share if cost is not None else None
        return {**finding_json(finding, sources), "cost_s": seconds(finding), "cost_share": share}

    value = {
        "schema": "dlcheck.review/1",
        "base": commit,
        "introduced": [entry(f, comparison.now.sources) for f in worst_first(comparison.introduced, seconds)],
        "cured": [entry(f, comparison.before.sources) for f in worst_first(comparison.cured, seconds)],
        "findings": len(comparison.now.findings),
    }
    return json.dumps(value, indent=2) + "\n"
