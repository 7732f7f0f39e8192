"""What loaders are called, so that not every argument of every call is followed."""

from __future__ import annotations

from functools import cache

from dlcheck.facts.model import Attr, Call, Expr, Mapping, Name, Seq, Star, Sub

_LAST_WORDS = frozenset(
    "data ds train trn val valid validation dev test batches it iter iterator iterable generator gen stream source "
    "prefetcher feeder queue pipeline pipe".split()
)


def may_hold_loader(expr: Expr) -> bool:
    """Whether an expression may hold a loader, by its names: those of variables, and of functions that may make one."""
    if isinstance(expr, Name):
        return _names_loader(expr.id)
    if isinstance(expr, Attr):
        return _names_loader(expr.attr)
    if isinstance(expr, Call):
        return may_hold_loader(expr.func) or any(map(may_hold_loader, expr.args))
    if isinstance(expr, Sub):
        return may_hold_loader(expr.base)
    if isinstance(expr, Star):
        return may_hold_loader(expr.value)
    if isinstance(expr, Seq):
        return any(map(may_hold_loader, expr.items))
    if isinstance(expr, Mapping):
        return any(may_hold_loader(value) for _, value in expr.items)
    return False


def may_hold_named(key: object, expr: Expr) -> bool:
    """The same of an entry of a dict, or of keyword arguments: either name may say it."""
    return not isinstance(key, str) or _names_loader(key) or may_hold_loader(expr)


@cache
def _names_loader(name: str) -> bool:
    """``train_loader``, ``valdl``, ``self.data``, ``test_iter``. The last word says what it is: no ``batch_size``."""
    name = name.lower()
    return "loader" in name or name.endswith(("dl", "dls")) or name.rpartition("_")[2] in _LAST_WORDS
