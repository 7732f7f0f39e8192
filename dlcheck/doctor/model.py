"""What the doctor has to say of the ground that a training runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["good", "note", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at. ``found``: what it is; ``means``: what that does to loading; ``remedy``: what to do."""

    topic: str
    status: Status
    found: str
    means: str = ""
    remedy: str = ""
