"""``dlcheck rules``: list the rules."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command (it has no options)."""
    commands.add_parser("rules", help="list the rules")


def run(arguments: argparse.Namespace) -> int:
    """Print one line per rule."""
    from dlcheck.lint.registry import all_rules

    rules = all_rules()
    width = max(len(rule.name) for rule in rules)
    for rule in rules:
        print(f"{rule.code}  {rule.name:<{width}}  {rule.severity:<7}  {rule.summary}")
    return 0
