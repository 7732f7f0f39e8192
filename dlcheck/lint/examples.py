"""The examples of a rule, run: what it must find, on the line that says so, and what it must leave alone."""

from __future__ import annotations

import re
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from dlcheck.config.resolve import Resolver
from dlcheck.lint.checker import check
from dlcheck.lint.rule import Rule

_MARK = re.compile(r"# <- ([A-Z]+\d+)")


def files_of(example: str) -> dict[str, str]:
    """The files of an example: one, or several that are each headed by ``# file: name.py``."""
    text = textwrap.dedent(example).strip("\n") + "\n"
    if not text.startswith("# file: "):
        return {"example.py": text}
    pieces = re.split(r"^# file: (\S+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def run_example(
    example: str, code: str, folder: Path, own: tuple[Path, ...] = ()
) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """The places, as (file, line), that an example marks for a rule, and those that the rule finds.

    The example is laid out in an empty folder. ``own``: where the rules of the project's own are. Raises ``ValueError``
    where it cannot be parsed.
    """
    expected = set()
    for name, text in files_of(example).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if code in _MARK.findall(line):
                expected.add((name, number))
    result = check([folder], Resolver([{"select": (code,), "rules": own}], isolated=True), root=folder)
    if result.errors:
        raise ValueError(result.errors[0].message)
    found = {(Path(f.place.file).relative_to(folder).as_posix(), f.place.line) for f in result.findings}
    return expected, found


def failures(rule: Rule, own: tuple[Path, ...] = ()) -> Iterator[str]:
    """What is wrong with a rule's examples, in a line each."""
    for kind, examples in (("found", rule.found), ("clean", rule.clean)):
        for number, example in enumerate(examples, 1):
            name = f"{rule.code} {kind}[{number - 1}]"
            with tempfile.TemporaryDirectory() as folder:
                try:
                    expected, found = run_example(example, rule.code, Path(folder).resolve(), own)
                except ValueError as error:
                    yield f"{name}: {error}"
                    continue
            if kind == "found" and not expected:
                yield f"{name}: no line is marked with '# <- {rule.code}'"
            if kind == "clean":
                expected = set()
            for file, line in sorted(expected - found):
                yield f"{name}: {file}:{line} is not found"
            for file, line in sorted(found - expected):
                yield f"{name}: {file}:{line} is found, and should not be"
