"""``dlcheck explain``: print the page of a rule."""

from __future__ import annotations

import argparse
import difflib
import sys


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser("explain", help="print the page of a rule")
    parser.add_argument(
        "rule", metavar="RULE", help="a code (DLC102) or a name (container-reopened-per-item)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the page; 2 where there is no such rule."""
    from dlcheck.cli.rules import rules_of_project
    from dlcheck.lint.registry import all_rules, find_rule

    own = rules_of_project()
    rule = find_rule(arguments.rule)
    if rule is None:
        names = [text for r in (*all_rules(), *own) for text in (r.code, r.name)]
        close = difflib.get_close_matches(arguments.rule, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; see 'dlcheck rules'"
        print(f"dlcheck: no rule is called {arguments.rule!r}{hint}", file=sys.stderr)
        return 2
    from dlcheck.report.rule_page import rule_page

    text = rule_page(rule)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console(width=min(100, Console().width)).print(Markdown(text))
    else:
        print(text)
    return 0
