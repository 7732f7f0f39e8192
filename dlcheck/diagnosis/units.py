"""Numbers with their units, for a person."""

from __future__ import annotations


def duration(ns: float) -> str:
    """Nanoseconds as "250 us", "12 ms", "3.4 s", "12 min", "3.5 h" or "4 days"."""
    seconds = ns / 1e9
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1e3:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def amount(size: float) -> str:
    """Bytes as "12 B", "3 KB", "34 MB", "1.2 GB" (powers of 1000)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            value = size / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size:.0f} B"


def share(value: float) -> str:
    """A fraction as "43 %", small ones as "0.4 %"."""
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 0.95 or percent == 0 else f"{percent:.1f} %"


def cores(value: float) -> str:
    """Cores as "1 core", "1.5 cores"."""
    text = f"{value:.1f}".removesuffix(".0")
    return f"{text} core{'' if text == '1' else 's'}"
