"""A comparison as JSON: schema ``dlcheck.compare/1``.

Seconds, bytes and shares as they are; ``change`` is B over A where ``is_ratio``, else B minus A. null: not known.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from dlcheck.comparison.model import Comparison

SCHEMA = "dlcheck.compare/1"


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as a JSON object."""
    return {"schema": SCHEMA, **asdict(comparison)}


def render_comparison(comparison: Comparison) -> str:
    """The same as text, with a line break at its end."""
    return json.dumps(comparison_json(comparison), indent=2, default=str) + "\n"
