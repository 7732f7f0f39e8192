"""The page of a rule as Markdown, from the rule alone."""

from __future__ import annotations

import re
import textwrap

from dlcheck.lint.rule import Rule


def rule_page(rule: Rule) -> str:
    """Title, facts, text and one example of each kind."""
    facts = f"severity {rule.severity}, confidence {rule.confidence}"
    parts = [f"# {rule.code} {rule.name}", f"*{facts}*", rule.page.strip()]
    for title, examples in (("Found", rule.found), ("Left alone", rule.clean)):
        if examples:
            parts.append(f"## {title}\n\n```python\n{_tidy(examples[0])}\n```")
    return "\n\n".join(parts)


def _tidy(example: str) -> str:
    return re.sub(r"[ \t]*# <- .*", "", textwrap.dedent(example).strip("\n"))
