"""The defaults of command-line options: of ``argparse`` parsers, and of ``click``'s decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcheck.facts.model import Call, Const, Param, dotted
from dlcheck.program.scope import Scope
from dlcheck.program.values import UNKNOWN, Known, Values, join

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator

SETTINGS_NAMES = frozenset(
    "args opt opts option options arg argv params hparams config cfg conf flags FLAGS opt_ namespace "
    "settings".split()
)
"""What programs call their parsed options, and trees of settings."""


def parser_default(evaluator: Evaluator, dest: str, scope: Scope) -> Values:
    """The default of a command-line argument: of a parser in the same file, else of the nearest file that has one."""
    sites = evaluator.callers.option(dest)
    if not sites:
        return ()
    here = scope.module.path

    def shared(path: str) -> int:
        a, b = here.split("/"), path.split("/")
        return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

    nearest = max(shared(site.scope.module.path) for site in sites)
    out: list[Values] = []
    for site in sites:
        if shared(site.scope.module.path) != nearest:
            continue
        keywords = dict(site.call.keywords)
        action = keywords.get("action")
        if "default" in keywords:
            out.append(evaluator.values(keywords["default"], site.scope))
        elif isinstance(action, Const) and action.value == "store_true":
            out.append((Known(False),))
        elif isinstance(action, Const) and action.value == "store_false":
            out.append((Known(True),))
        elif isinstance(keywords.get("required"), Const):
            out.append((UNKNOWN,))
        else:
            out.append((Known(None),))
    return tuple(Known(v.value, True) if isinstance(v, Known) else v for v in join(*out))


def command_line_option(evaluator: Evaluator, scope: Scope, param: Param) -> Values | None:
    """The default that ``@click.option("--num-workers", default=4)`` gives to a parameter."""
    for decorator in getattr(scope.node, "decorators", ()):
        if not isinstance(decorator, Call) or not dotted(decorator.func).endswith("option"):
            continue
        names = [a.value for a in decorator.args if isinstance(a, Const) and isinstance(a.value, str)]
        if param.name in names or any(n.lstrip("-").replace("-", "_") == param.name for n in names):
            for key, value in decorator.keywords:
                if key == "default":
                    known = [v for v in evaluator.values(value, scope.module.scope) if isinstance(v, Known)]
                    return tuple(Known(v.value, True) for v in known)
    return None
