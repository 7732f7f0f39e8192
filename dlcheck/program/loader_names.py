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
    match expr:
        case Name(text, _) | Attr(_, text, _):
            return _names_loader(text)
        case Sub(base, _, _) | Star(base, _):
            return may_hold_loader(base)
        case Seq(_, items, _):
            return any(map(may_hold_loader, items))
        case Mapping(items, _):
            return any(may_hold_loader(value) for _, value in items)
        case Call(func, args, _, _):
            return may_hold_loader(func) or any(map(may_hold_loader, args))
    return False


def may_hold_named(key: object, expr: Expr) -> bool:
    """The same of an entry of a dict, or of keyword arguments: either name may say it."""
    return not isinstance(key, str) or _names_loader(key) or may_hold_loader(expr)


@cache
def _names_loader(name: str) -> bool:
    """``train_loader``, ``valdl``, ``self.data``, ``test_iter``. The last word says what it is: no ``batch_size``."""
    name = name.lower()
    return "loader" in name or name.endswith(("dl", "dls")) or name.rpartition("_")[2] in _LAST_WORDS
