"""Makes the rules' part of the site from the rules themselves: a list, and a page for each."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from dlcheck.lint.registry import all_rules
from dlcheck.lint.rule import Rule
from dlcheck.report.rule_page import rule_page

_GROUPS = {
    "DLC0": "Suppressions",
    "DLC1": "What the dataset does",
    "DLC2": "How the loader is set up",
    "DLC3": "Processes and threads",
    "DLC4": "What comes out is wrong",
    "DLC5": "The loop that consumes",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the list of rules and the page of each rule."""
    rules = sorted(all_rules(), key=lambda rule: rule.code)
    files.append(File.generated(config, "rules.md", content=_list(rules)))
    for rule in rules:
        page = File.generated(config, f"rules/{rule.code.lower()}.md", content=rule_page(rule))
        page.inclusion = page.inclusion.NOT_IN_NAV
        files.append(page)
    return files


def _list(rules: list[Rule]) -> str:
    parts = ["# Rules\n\n`dlcheck explain CODE` prints the same pages. Every example in them is a test."]
    for prefix, title in _GROUPS.items():
        rows = [
            f"| [{rule.code}](rules/{rule.code.lower()}.md) | {rule.name} | {rule.severity} | {_first_line(rule)} |"
            for rule in rules
            if rule.code.startswith(prefix)
        ]
        if rows:
            parts.append(
                f"## {title}\n\n| code | name | severity | |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
            )
    return "\n\n".join(parts)


def _first_line(rule: Rule) -> str:
    return rule.page.strip().splitlines()[0]
