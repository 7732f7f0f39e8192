"""A file of known findings: those that a project has not yet come to, so that only new ones are reported.

A finding is known by its rule, its file and the text of its line, not by the line's number: it may move. Of equal ones as
many are known as the file says. Where the file of an entry is gone, the finding may stand in another file.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from dlcheck.errors import UserError
from dlcheck.lint.api import CheckResult
from dlcheck.lint.finding import Finding
from dlcheck.lint.lines import line_text

_SCHEMA = "dlcheck.baseline/1"
_Known = tuple[str, str, str]


class BaselineError(UserError):
    """A baseline that cannot be used."""


def read_baseline(path: Path) -> Counter[_Known]:
    """How often each (rule, file, text of the line) is known. Raises ``BaselineError``."""
    shown = os.path.relpath(path)
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
            raise BaselineError(
                f"{shown}: is not a baseline of this version; write it anew with --write-baseline"
            )
        known: Counter[_Known] = Counter()
        for entry in content["findings"]:
            known[(str(entry["rule"]), str(entry["file"]), str(entry["text"]))] += int(entry["count"])
        return known
    except OSError as error:
        raise BaselineError(f"{shown}: {error.strerror}; --write-baseline makes one") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BaselineError(f"{shown}: is damaged ({error}); write it anew with --write-baseline") from error


def write_baseline(path: Path, result: CheckResult) -> int:
    """Write down all findings, in an order that makes small differences of small changes. Returns their number."""
    known = Counter(_key(finding, result, path.parent) for finding in result.findings)
    entries = [
        {"rule": rule, "file": file, "text": text, "count": count}
        for (rule, file, text), count in sorted(
            known.items(), key=lambda item: (item[0][1], item[0][0], item[0][2])
        )
    ]
    content = json.dumps({"schema": _SCHEMA, "findings": entries}, indent=1, ensure_ascii=False)
    path.write_text(f"{content}\n", "utf-8")
    return known.total()


def without_known(result: CheckResult, known: Counter[_Known], path: Path) -> CheckResult:
    """The findings that the baseline at ``path`` does not know."""
    left = Counter(known)
    unknown: list[Finding] = []
    for finding in result.findings:
        key = _key(finding, result, path.parent)
        if left[key] > 0:
            left[key] -= 1
        else:
            unknown.append(finding)
    gone = Counter[tuple[str, str]]()
    for (rule, file, text), count in left.items():
        if count > 0 and not (path.parent / file).exists():
            gone[(rule, text)] += count
    new: list[Finding] = []
    for finding in unknown:
        rule, _, text = _key(finding, result, path.parent)
        if gone[(rule, text)] > 0:
            gone[(rule, text)] -= 1
        else:
            new.append(finding)
    hidden = {**result.hidden, "known to the baseline": len(result.findings) - len(new)}
    return replace(result, findings=tuple(new), hidden=hidden)


def _key(finding: Finding, result: CheckResult, folder: Path) -> _Known:
    file = Path(os.path.relpath(finding.place.file, folder)).as_posix()
    return finding.rule, file, " ".join(line_text(finding, result.sources).split())
