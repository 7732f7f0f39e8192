"""Fixes: what a rule wants changed in one file, as plain values. ``dlcheck.lint.edit`` carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dlcheck.facts.model import At


@dataclass(frozen=True, slots=True)
class SetArgument:
    """Give the call at a place the keyword argument ``name`` with the source ``value``, in place of one it has."""

    call: At
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RemoveArgument:
    """Take the keyword argument ``name`` out of the call at a place."""

    call: At
    name: str


Edit: TypeAlias = SetArgument | RemoveArgument


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits of one file that belong together. ``safe``: the program does the same as before, only faster."""

    title: str
    edits: tuple[Edit, ...]
    safe: bool
