"""A look at the bytes of a file, before anything is parsed: may it say something about data loading?"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MENTIONS = re.compile(
    rb"torch\.utils\.data|DataLoader|IterableDataset|[Dd]ataloader|__getitem__|DistributedSampler|stateful_dataloader"
    rb"|torch\.utils import data|Dataset\)|torch_geometric"
)
_BUILDS_LOADER = re.compile(rb"Loader\s*\(|[lL]oader_?(?:class|cls)|data_?loader")
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*([^\n]*)|import[ \t]+([^\n]+))", re.MULTILINE)


def mentions_data_loading(source: bytes) -> bool:
    """Whether a file names datasets or loaders at all. A file that does not holds no finding of its own."""
    if b"torch" not in source and b"__getitem__" not in source and b"oader" not in source:
        return False
    return _MENTIONS.search(source) is not None


def may_build_loader(source: bytes) -> bool:
    """Whether a file may build a loader, or hand one on."""
    return _BUILDS_LOADER.search(source) is not None


def imported_modules(source: bytes, stems: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The (module, names) of the import statements that name one of the given last parts of a module's path.

    ``module`` keeps its leading dots.
    """
    wanted = set(stems)
    out: list[tuple[str, tuple[str, ...]]] = []
    for match in _IMPORTS.finditer(source):
        module, names, plain = (part.decode("utf-8", "replace") if part else "" for part in match.groups())
        if plain:
            for piece in plain.split(","):
                name = piece.split(" as ")[0].strip()
                if name.rpartition(".")[2] in wanted:
                    out.append((name, ()))
            continue
        bound = tuple(n.split(" as ")[0].strip(" ()\\\r") for n in names.split("#")[0].split(","))
        if module.rpartition(".")[2] in wanted or any(n in wanted for n in bound):
            out.append((module, bound))
    return out
