"""How often each rule was found."""

from __future__ import annotations

import json
from collections import Counter

from dlcheck.lint.api import CheckResult


def render_statistics(result: CheckResult, output_format: str) -> str:
    """A table, the most frequent rule first, or JSON where the format is JSON. ``fixable``: how many have a safe fix."""
    counts = Counter(finding.rule for finding in result.findings)
    names = {finding.rule: finding.name for finding in result.findings}
    fixable = Counter(f.rule for f in result.findings if f.fix is not None and f.fix.safe)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    if output_format in ("json", "jsonl"):
        values = [
            {"rule": rule, "name": names[rule], "count": count, "fixable": fixable[rule]}
            for rule, count in rows
        ]
        return json.dumps(values, indent=2) + "\n"
    width = len(str(rows[0][1])) if rows else 1
    return "".join(
        f"{count:>{width}}  {rule}  {'[*]' if fixable[rule] else '   '} {names[rule]}\n"
        for rule, count in rows
    )
