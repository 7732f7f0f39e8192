"""What the probe has put in the place of torch's own functions, and taking it away again."""

from __future__ import annotations

from typing import Any

_ABSENT = object()
_replaced: list[tuple[Any, str, Any, Any]] = []


def replace(owner: Any, name: str, wrapper: Any) -> None:
    """Set an attribute of a class or a module, and remember what was there."""
    before = vars(owner).get(name, _ABSENT)
    setattr(owner, name, wrapper)
    _replaced.append((owner, name, before, wrapper))


def restore() -> None:
    """Put back all that was replaced, but what someone else has replaced since: our wrapper may be inside of it."""
    while _replaced:
        owner, name, before, wrapper = _replaced.pop()
        if vars(owner).get(name) is not wrapper:
            continue
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
