"""What a look at the bytes of a file says about it: enough to tell which files a check must parse."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dlcheck.facts.prefilter import (
    imports,
    may_build_loader,
    may_suppress,
    mentions_data_loading,
    names_that_load,
    search_folders,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A file, before it is parsed.

    ``digest`` stands for its content. ``mentions``: it names datasets or loaders, so that it may have findings.
    ``hints``: it may at least use a loader that another file gives it. ``suppresses``: it may hold comments for dlcheck.
    ``gives``: it may build loaders or hand them on, by the functions and classes in ``names``. ``imports`` holds
    (module, names), with the leading dots of relative ones; ``folders`` what it adds to the search path of imports.
    """

    digest: str
    size: int
    mentions: bool
    hints: bool
    suppresses: bool
    gives: bool
    names: tuple[str, ...]
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    folders: tuple[str, ...] = ()


def summarise(source: bytes) -> Summary:
    """The summary of a file's source."""
    mentions = mentions_data_loading(source)
    gives = mentions and may_build_loader(source)
    return Summary(
        hashlib.blake2b(source, digest_size=16).hexdigest(),
        len(source),
        mentions,
        mentions or b"oader" in source or b"Trainer" in source,
        may_suppress(source),
        gives,
        tuple(sorted(names_that_load(source))) if gives else (),
        tuple(imports(source)),
        tuple(search_folders(source)),
    )
