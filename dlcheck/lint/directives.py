"""Comments that suppress findings: ``# dlcheck: ignore[DLC102] reason``, ``# dlcheck: ignore-file[...]``, ``# noqa: DLC102``.

A comment counts for the whole statement that it stands in or behind (for a loop or a function: its head); alone on a line, for
the next statement. Without codes it counts for every rule. What ``noqa`` means is flake8's
(https://flake8.pycqa.org/en/stable/user/violations.html#in-line-ignoring-errors).
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

_OURS = re.compile(r"#\s*dlcheck:\s*(ignore-file|ignore)(?:\s*\[([^\]]*)\])?(?=\s|$)\s*(.*)")
_LIKE_OURS = re.compile(
    r"#\s*dlcheck\s*(?::|[=-]?\s*(?:no-?qa|ignore|ignored?s?|disable|skip|suppress|off)\b)", re.IGNORECASE
)
_NOQA = re.compile(
    r"#\s*(flake8[:=]\s*)?noqa(?::\s?(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*(?![a-z])))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Directive:
    """One suppression. ``words`` are the codes as written; none stands for every rule. ``first`` and ``last`` are the lines
    that it counts for. ``text`` is the comment's part that it is, at ``line`` and ``column`` (both from 1).
    """

    kind: str  # "ignore", "noqa", or "wrong": what was meant is not clear
    words: tuple[str, ...]
    reason: str
    text: str
    line: int
    column: int
    first: int
    last: int

    def covers(self, line: int) -> bool:
        """Whether a finding at a line is meant."""
        return self.first <= line <= self.last


_WHOLE_FILE = (0, 1 << 60)
# What the tokenizer gives between statements.
_BETWEEN = (
    tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip


def find_directives(source: bytes) -> list[Directive]:
    """The suppressions of a file, in order; none where it cannot be read as Python."""
    out: list[Directive] = []
    for comment, lines in _comments(_tokens(source)):
        for part in re.finditer(r"#[^#]*", comment.string):
            found = _directive(
                part.group().rstrip(), comment.start[0], comment.start[1] + part.start() + 1, lines
            )
            if found is not None:
                out.append(found)
    return out


@dataclass(frozen=True, slots=True)
class StatementLines:
    """Where comments fit: ``free`` lines take one at their end; ``last`` is the last line of a line's statement, which does."""

    free: frozenset[int]
    last: dict[int, int]


def statement_lines(source: bytes) -> StatementLines:
    """Where comments fit in a source."""
    taken: set[int] = set()  # lines that end within a string
    last: dict[int, int] = {}
    start = 0
    strings: list[int] = []
    for token in _tokens(source):
        name = tokenize.tok_name[token.type]
        if name in ("FSTRING_START", "TSTRING_START"):
            strings.append(token.start[0])
        begin = strings.pop() if name in ("FSTRING_END", "TSTRING_END") else token.start[0]
        if name in ("STRING", "FSTRING_END", "TSTRING_END"):
            taken.update(range(begin, token.end[0]))
        if token.type == tokenize.NEWLINE:
            last |= dict.fromkeys(range(start or token.start[0], token.start[0] + 1), token.start[0])
            start = 0
        elif token.type not in _BETWEEN:
            start = start or token.start[0]
    lines = source.splitlines()
    free = (n for n in last if n not in taken and not lines[n - 1].rstrip().endswith(b"\\"))
    return StatementLines(frozenset(free), last)


def _tokens(source: bytes) -> list[tokenize.TokenInfo]:
    """The tokens of a source; none where it cannot be read as Python."""
    try:
        return list(tokenize.tokenize(io.BytesIO(source).readline))
    except (SyntaxError, tokenize.TokenError, ValueError):
        return []


def _directive(text: str, line: int, column: int, lines: tuple[int, int]) -> Directive | None:
    ours = _OURS.match(text)
    if ours:
        words = tuple(word.strip() for word in (ours[2] or "").split(",") if word.strip())
        if not words and (ours[2] is not None or re.match(r"\(?[A-Z]+[0-9]+", ours[3])):
            return Directive("wrong", (), "", text, line, column, *lines)
        lines = _WHOLE_FILE if ours[1] == "ignore-file" else lines
        return Directive("ignore", words, ours[3].strip(), text, line, column, *lines)
    if _LIKE_OURS.match(text):
        return Directive("wrong", (), "", text, line, column, *lines)
    noqa = _NOQA.match(text)
    if noqa:
        words = tuple(re.split(r"[,\s]+", noqa["codes"].strip())) if noqa["codes"] else ()
        return Directive("noqa", words, "", text, line, column, *(_WHOLE_FILE if noqa[1] else lines))
    return None


def _comments(tokens: list[tokenize.TokenInfo]) -> Iterator[tuple[tokenize.TokenInfo, tuple[int, int]]]:
    """Every comment, with the first and last line of the statement that it belongs to."""
    waiting: list[tokenize.TokenInfo] = []  # whose statement has not ended
    start = 0  # the line that the statement begins on; 0 between statements
    decorated = False
    previous = tokenize.NEWLINE
    for token in tokens:
        kind = token.type
        if kind == tokenize.COMMENT:
            waiting.append(token)
        elif kind == tokenize.NEWLINE:
            if not decorated:
                yield from ((comment, (start, token.start[0])) for comment in waiting)
                waiting, start = [], 0
            decorated = False
        elif kind == tokenize.NL:
            if not start and previous != tokenize.COMMENT:
                # An empty line: what stands above it belongs to nothing.
                yield from ((comment, (comment.start[0],) * 2) for comment in waiting)
                waiting = []
        elif kind not in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER):
            if not start or (previous == tokenize.NEWLINE and start):
                decorated = token.string == "@"
            start = start or token.start[0]
        if kind not in (tokenize.INDENT, tokenize.DEDENT):
            previous = kind
    yield from ((comment, (comment.start[0],) * 2) for comment in waiting)
