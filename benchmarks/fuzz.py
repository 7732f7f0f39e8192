"""Programs that nobody would write: the rules' examples, mutated and spliced, are checked and fixed.

    python benchmarks/fuzz.py [--seed N] [--seconds S] [--keep DIR]

Statements and expressions of all examples are put in each other's places, left out and doubled, by chance, but always
so that the program parses. Each is checked with every rule, and everything is fixed that can be. Nothing may raise, no
fixed file may fail to parse, and a second run must not find the same to fix again. Printed: how many programs were
checked, the slowest, and each kind of failure with the place that raised it; ``--keep`` keeps a program of each kind.
The exit status is 1 where there was a failure.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.examples import files_of
from dlcheck.lint.fixing import fix_all
from dlcheck.lint.registry import all_rules


@dataclass(frozen=True)
class Material:
    """What programs are made of: the modules of all examples, and their statements, expressions and names."""

    modules: list[ast.Module]
    statements: list[ast.stmt]
    expressions: list[ast.expr]
    names: list[str]


@dataclass
class Outcome:
    """``failures``: by kind and place, the text of the error and the program."""

    programs: int = 0
    slowest_s: float = 0.0
    failures: dict[tuple[str, str], tuple[str, dict[str, str]]] = field(default_factory=dict)


def main() -> int:
    """Check programs until the time is over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="(default: %(default)g)")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep a program of each kind of failure here"
    )
    options = parser.parse_args()
    os.environ["DLCHECK_DEBUG"] = "1"  # a rule that breaks down raises
    end = time.monotonic() + options.seconds
    outcome = Outcome()
    chance, material = random.Random(options.seed), material_of_examples()
    while time.monotonic() < end:
        attempt(program(chance, material), outcome)
    print(
        f"{outcome.programs} programs, {len(outcome.failures)} kinds of failure, slowest {outcome.slowest_s:.2f} s"
    )
    for number, ((kind, place), (text, files)) in enumerate(outcome.failures.items()):
        print(f"{kind} at {place}: {text[:200]}")
        if options.keep is not None:
            folder = options.keep / f"{options.seed}-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            for name, source in files.items():
                (folder / name).write_text(source, encoding="utf-8")
    return 1 if outcome.failures else 0


def material_of_examples() -> Material:
    """The syntax trees of all examples of all rules."""
    modules = []
    for rule in all_rules():
        for example in (*rule.found, *rule.clean):
            for name, text in files_of(example).items():
                if name.endswith(".py"):
                    modules.append(ast.parse(text))
    nodes = [node for module in modules for node in ast.walk(module)]
    expressions = [n for n in nodes if isinstance(n, ast.expr) and not _is_target(n)]
    return Material(
        modules,
        [node for node in nodes if isinstance(node, ast.stmt)],
        expressions,
        [node.id for node in expressions if isinstance(node, ast.Name)],
    )


def _is_target(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))


class _Mutation(ast.NodeTransformer):
    def __init__(self, chance: random.Random, material: Material, share: float) -> None:
        self._chance, self._material, self._share = chance, material, share

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        chance, share = self._chance, self._share
        if isinstance(node, ast.expr) and not _is_target(node) and chance.random() < share:
            return copy.deepcopy(chance.choice(self._material.expressions))
        if isinstance(node, ast.Name) and chance.random() < share:
            node.id = chance.choice(self._material.names)
        for part in ("body", "orelse", "finalbody"):
            body = getattr(node, part, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                if chance.random() < 2 * share:
                    added = copy.deepcopy(chance.choice(self._material.statements))
                    body.insert(chance.randrange(len(body) + 1), added)
                if len(body) > 1 and chance.random() < 2 * share:
                    body.pop(chance.randrange(len(body)))
        return node


def program(chance: random.Random, material: Material) -> dict[str, str]:
    """One or two files, by name."""
    files = {}
    for name in ("a.py", "b.py")[: chance.randint(1, 2)]:
        chosen = chance.sample(material.modules, chance.randint(1, 3))
        tree = ast.Module([copy.deepcopy(node) for module in chosen for node in module.body], [])
        tree = _Mutation(chance, material, chance.choice((0.01, 0.03, 0.1))).visit(tree)
        try:
            files[name] = ast.unparse(ast.fix_missing_locations(tree))
            ast.parse(files[name])
        except (SyntaxError, ValueError, TypeError, AttributeError):  # a tree that no text has
            files[name] = "x = 1\n"
    return files


def attempt(files: dict[str, str], outcome: Outcome) -> None:
    """Check and fix a program, and note what goes wrong."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, source in files.items():
            (folder / name).write_text(source, encoding="utf-8")
        try:
            _check_and_fix(folder)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno}"
            outcome.failures.setdefault((type(error).__name__, place), (str(error), files))
    outcome.programs += 1
    outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - begun)


def _check_and_fix(folder: Path) -> None:
    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([folder], folder, low_confidence=True, overlay=overlay)

    fixed = fix_all(check, unsafe=True)
    for _, new in fixed.changes.values():
        ast.parse(new)
    left = [finding.rule for finding in fixed.result.findings if finding.fix is not None]
    if fixed.problems or (left and fix_all(check, unsafe=True).changes != fixed.changes):
        raise AssertionError(f"not fixed: {fixed.problems or left}")


if __name__ == "__main__":
    sys.exit(main())
