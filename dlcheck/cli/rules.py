"""``dlcheck rules``: list the rules, those of the project's own with them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from dlcheck.errors import UserError

if TYPE_CHECKING:
    from dlcheck.lint.rule import Rule


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser("rules", help="list the rules")
    parser.add_argument(
        "--output-format", choices=("text", "json"), default="text", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--test", action="store_true", help="run the examples of the project's own rules, and stop"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line per rule, or all about them as JSON; or test those of the project."""
    from dlcheck.lint.registry import all_rules

    if arguments.test:
        return _test()
    rules = [*all_rules(), *rules_of_project()]
    if arguments.output_format == "json":
        print(json.dumps([_as_json(rule) for rule in rules], indent=2))
        return 0
    width = max(len(rule.name) for rule in rules)
    for rule in rules:
        print(f"{rule.code}  {rule.name:<{width}}  {rule.severity:<7}  {rule.summary}")
    return 0


def rules_of_project() -> tuple[Rule, ...]:
    """The rules that the settings of the working directory name."""
    from dlcheck.lint.registry import own_rules

    return own_rules(_own_paths())


def _own_paths() -> tuple[Path, ...]:
    from dlcheck.config.resolve import Resolver

    return Resolver().settings(Path.cwd()).rules


def _test() -> int:
    from dlcheck.lint.examples import failures
    from dlcheck.report.words import plural

    rules = rules_of_project()
    if not rules:
        raise UserError("the settings name no rules of the project's own ('rules')")
    wrong = [line for rule in rules for line in failures(rule, _own_paths())]
    for line in wrong:
        print(line)
    count = sum(len(rule.found) + len(rule.clean) for rule in rules)
    print(f"{plural(len(rules), 'rule')}, {plural(count, 'example')}, {plural(len(wrong), 'failure')}.")
    return 1 if wrong else 0


def _as_json(rule: Rule) -> dict[str, object]:
    from dlcheck.report.rule_page import rule_page

    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "confidence": rule.confidence,
        "summary": rule.summary,
        "page": rule_page(rule),
    }
