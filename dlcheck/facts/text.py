"""Source bytes to text, as Python reads them: by byte order mark or coding comment, else UTF-8."""

from __future__ import annotations

import re

_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)


def encoded(text: str) -> bytes:
    """A text as the bytes of a source, in the encoding that it declares."""
    source = text.encode("utf-8", "surrogatepass")
    try:
        return text.encode(encoding_of(source))
    except UnicodeEncodeError:
        return source


_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def encoding_of(source: bytes) -> str:
    """The encoding that a source declares (PEP 263), or UTF-8."""
    head = b"\n".join(source.split(b"\n", 2)[:2])
    found = _CODING.search(head)
    if found is None:
        return "utf-8"
    name = found.group(1).decode("ascii")
    try:
        "".encode(name)
    except LookupError:
        return "utf-8"
    return name


def decode(source: bytes) -> str:
    """The text of a source, without a byte order mark; what cannot be read becomes replacement characters."""
    if source.startswith(b"\xef\xbb\xbf"):
        return source[3:].decode("utf-8", "replace")
    return source.decode(encoding_of(source), "replace")


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends, as the parser counts them: form feeds and the like end none."""
    return _LINES.findall(text)


def utf8(source: bytes) -> bytes:
    """The source as the parser counts its columns: in UTF-8, without a byte order mark."""
    if not source.startswith(b"\xef\xbb\xbf") and encoding_of(source).lower().replace("_", "-") in (
        "utf-8",
        "utf8",
    ):
        return source
    return decode(source).encode("utf-8", "surrogatepass")
