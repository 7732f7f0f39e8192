"""Take out what comments suppress, and report the comments that suppress nothing, are misspelt, or give no reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dlcheck.config.options import nearest
from dlcheck.lint.codes import MISSPELT, NO_REASON, UNUSED
from dlcheck.lint.directives import Directive, find_directives
from dlcheck.lint.finding import Finding, Place, Severity
from dlcheck.lint.fix import ChangeComment, Fix


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The findings of one file that are left, those that a comment suppresses, and what is wrong with the comments."""

    left: list[Finding]
    taken: list[Finding]
    remarks: list[Finding]


def suppress(file: str, source: bytes, findings: list[Finding], names: dict[str, str]) -> Suppressed:
    """What the comments of a file do to all findings in it, of whatever rule. ``names`` are those of the rules by code."""
    directives = find_directives(source)
    if not directives:
        return Suppressed(findings, [], [])
    left: list[Finding] = []
    taken: list[Finding] = []
    used: set[tuple[Directive, str]] = set()
    for finding in findings:
        hits = [
            (directive, word)
            for directive in directives
            if directive.covers(finding.place.line)
            for word in _words_for(directive, finding, names)
        ]
        used.update(hits)
        (taken if hits else left).append(finding)
    remarks = [r for d in directives for r in _remarks(d, file, used, left, names)]
    return Suppressed(left, taken, remarks)


def _words_for(directive: Directive, finding: Finding, names: dict[str, str]) -> Iterator[str]:
    """The words of a directive that mean a finding's rule; the empty word where it means every rule."""
    if directive.kind == "wrong":
        return
    if not directive.words:
        yield ""
    for word in directive.words:
        if _code(word, names) == finding.rule:
            yield word


def _code(word: str, names: dict[str, str]) -> str | None:
    """The code that a word of a comment names: a code in any case, or the name of a rule."""
    if word.upper() in names:
        return word.upper()
    return next((code for code, name in names.items() if name == word.lower()), None)


def _remarks(
    directive: Directive,
    file: str,
    used: set[tuple[Directive, str]],
    left: list[Finding],
    names: dict[str, str],
) -> Iterator[Finding]:
    if directive.kind == "wrong":
        yield _not_understood(directive, file, left, names)
        return
    ours = directive.kind == "ignore"
    if ours and not directive.words and (directive, "") not in used:
        yield _remark(UNUSED, file, directive, "this suppression is unused: nothing is found here", "")
    unused = []
    for word in directive.words:
        code = _code(word, names)
        if code is None:
            if ours:
                yield _unknown(word, directive, file, left, names)
        elif (directive, word) not in used:
            unused.append(word)
    if unused:
        listed = " or ".join(unused)
        text = f"this suppression is unused: there is no finding of {listed} here"
        yield _remark(UNUSED, file, directive, text, _without(directive, unused))
    if ours and not directive.reason:
        text = "this suppression gives no reason: say behind it why the finding is not a fault here"
        yield _remark(NO_REASON, file, directive, text, None)


def _without(directive: Directive, words: Iterable[str]) -> str:
    """The comment without some of its codes; nothing where none is left."""
    kept = [word for word in directive.words if word not in words]
    return _with(directive, kept) if kept else ""


def _with(directive: Directive, words: list[str]) -> str:
    """The comment with other codes."""
    if directive.kind == "ignore":
        return re.sub(r"\[[^\]]*\]", f"[{', '.join(words)}]", directive.text, count=1)
    start = re.match(r"#\s*(?:flake8[:=]\s*)?noqa", directive.text, re.IGNORECASE)
    assert start is not None
    return f"{start.group()}: {','.join(words)}"


def _unknown(
    word: str, directive: Directive, file: str, left: list[Finding], names: dict[str, str]
) -> Finding:
    meant = _meant([word], directive, left, names)
    new = _with(directive, [meant[0] if w == word else w for w in directive.words]) if meant else None
    return _remark(
        MISSPELT,
        file,
        directive,
        f"no rule has the code or name {word!r}{nearest(word, [*names, *names.values()])}",
        new if new is not None else _without(directive, [word]),
    )


def _not_understood(directive: Directive, file: str, left: list[Finding], names: dict[str, str]) -> Finding:
    words = [word for word in re.findall(r"[\w-]+", directive.text)[1:] if re.search(r"\d|-", word)]
    meant = _meant(words, directive, left, names)
    return _remark(
        MISSPELT,
        file,
        directive,
        "this comment suppresses nothing: write '# dlcheck: ignore[CODE] reason'",
        f"# dlcheck: ignore[{', '.join(meant)}]" if meant else "",
    )


def _meant(words: list[str], directive: Directive, left: list[Finding], names: dict[str, str]) -> list[str]:
    """The codes of the findings at a place that misspelt words come near to."""
    import difflib

    here = {f.rule for f in left if directive.covers(f.place.line)}
    spellings = {spelling: code for code in sorted(here) for spelling in (code, names.get(code, code))}
    out: dict[str, None] = {}
    for word in words:
        close = difflib.get_close_matches(word.upper(), spellings, n=1, cutoff=0.75)
        close = close or difflib.get_close_matches(word.lower(), spellings, n=1, cutoff=0.75)
        out |= {spellings[spelling]: None for spelling in close}
    return list(out)


_NAMES = {
    UNUSED: "unused-suppression",
    MISSPELT: "misspelt-suppression",
    NO_REASON: "suppression-without-reason",
}
_SEVERITIES: dict[str, Severity] = {UNUSED: "info", MISSPELT: "warning", NO_REASON: "info"}


def _remark(code: str, file: str, directive: Directive, message: str, new: str | None) -> Finding:
    """A finding about a comment. ``new`` is what is to stand in its place: nothing to take it away, ``None`` for no fix."""
    end = directive.column + len(directive.text)
    fix = None
    if new is not None:
        title = "Correct the suppression" if new else "Remove the suppression"
        fix = Fix(title, (ChangeComment(directive.line, directive.text, new),), safe=True)
    place = Place(file, directive.line, directive.column, directive.line, end)
    scope = (directive.line, directive.line)
    return Finding(code, _NAMES[code], place, message, _SEVERITIES[code], "high", "", scope, (), fix)
