"""Loaders that are handed to others, who sample or drive them in a way of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dlcheck.program.loaders import Loader

if TYPE_CHECKING:
    from dlcheck.program.program import Program

SAMPLES_ANEW = ("make_private", "make_private_with_epsilon")
"""Methods that give a loader back with a sampler of their own (Opacus: Poisson sampling)."""


def is_handed_to(program: Program, loader: Loader, names: Iterable[str]) -> bool:
    """Whether a call of one of these last names is given the loader."""
    for name in names:
        for site in program.evaluator.callers.named(name):
            arguments = (*site.call.args, *(value for _, value in site.call.keywords))
            if any(loader in program.consumption.loaders_in(argument, site.scope) for argument in arguments):
                return True
    return False
