"""A YAML or JSON file of settings as an expression, as if it stood in the code that reads it. Only its values are read: no tag
makes an object.
"""

from __future__ import annotations

from typing import Any

from dlcheck.facts.model import Const, Expr, Mapping, Other, Seq

SUFFIXES = (".yaml", ".yml", ".json")
_NOWHERE = (0, 0, 0, 0)
_DEEPEST = 30
_MOST_PARTS = 20_000


def parse_settings(name: str, content: bytes) -> Expr | None:
    """The content of a file; ``None`` where it is none of settings, is broken, or is too large to be written by hand.

    A scalar is ``Other("setting", (Const,))``: its value may be another one in the next run.
    """
    value = _load(name, content)
    if not isinstance(value, dict):
        return None
    try:
        return _Converter().convert(value, 0)
    except _TooLargeError:
        return None


def _load(name: str, content: bytes) -> Any:
    try:
        if name.endswith(".json"):
            import json

            return json.loads(content)
        import yaml

        return yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, RecursionError):
        return None
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "yaml":
            return None
        raise


class _TooLargeError(Exception):
    pass


class _Converter:
    """Counts what it converts: aliases make a small file large."""

    def __init__(self) -> None:
        self._parts = 0

    def convert(self, value: Any, depth: int) -> Expr:
        self._parts += 1
        if self._parts > _MOST_PARTS or depth > _DEEPEST:
            raise _TooLargeError
        if isinstance(value, dict):
            items = ((k, v) for k, v in value.items() if isinstance(k, (str, int)))
            return Mapping(
                tuple((Const(k, _NOWHERE), self.convert(v, depth + 1)) for k, v in items), _NOWHERE
            )
        if isinstance(value, list):
            return Seq("list", tuple(self.convert(v, depth + 1) for v in value), _NOWHERE)
        if value is None or isinstance(value, (str, int, float, bool)):
            return Other("setting", (Const(value, _NOWHERE),), _NOWHERE)
        return Other("unknown", (), _NOWHERE)
