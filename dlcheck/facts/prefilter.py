"""A look at the bytes of a file, before anything is parsed: may it say something about data loading?"""

from __future__ import annotations

import re

_MENTIONS = re.compile(
    rb"torch\.utils\.data|DataLoader|IterableDataset|[Dd]ataloader|__getitem__|DistributedSampler|stateful_dataloader"
    rb"|torch\.utils import data|Dataset\)|torch_geometric|TrainingArguments"
)
_COMMENTS = re.compile(rb"#[ \t]*dlcheck\b|#[^#\n]*noqa[^#\n]*\bDLC\d", re.IGNORECASE)
_BUILDS_LOADER = re.compile(rb"Loader\s*\(|[lL]oader_?(?:class|cls)|data_?loader")
_DEFINITIONS = re.compile(rb"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_IMPORTS = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(?:\(([^)]*)\)|([^\n(]*))|import[ \t]+([^\n]+))",
    re.MULTILINE,
)
_SEARCHED = re.compile(rb"\bsys\.path\.(?:append|insert)\s*\(([^\n]*)")
_FOLDER_NAMES = re.compile(rb"['\"](?:\.{1,2}/)*(\w[\w./-]*)['\"]")


def mentions_data_loading(source: bytes) -> bool:
    """Whether a file names datasets or loaders at all. A file that does not holds no finding of its own."""
    if not any(word in source for word in (b"torch", b"__getitem__", b"oader", b"TrainingArguments")):
        return False
    return _MENTIONS.search(source) is not None


def may_suppress(source: bytes) -> bool:
    """Whether a file may hold comments for dlcheck, which suppress findings."""
    return _COMMENTS.search(source) is not None


def may_build_loader(source: bytes) -> bool:
    """Whether a file may build a loader, or hand one on."""
    return _BUILDS_LOADER.search(source) is not None


def names_that_load(source: bytes) -> set[str]:
    """The module-level functions and classes whose text speaks of loaders: what an importer may get a loader from."""
    starts = list(_DEFINITIONS.finditer(source))
    ends = [match.start() for match in starts[1:]] + [len(source)] * bool(starts)
    return {
        match.group(1).decode("utf-8", "replace")
        for match, end in zip(starts, ends, strict=True)
        if _BUILDS_LOADER.search(source, match.start(), end)
    }


def imports(source: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """The (module, names) of the import statements of a file, by a look at its lines. ``module`` keeps its leading dots.

    ``import a.b`` has no names. Names on continued lines are found up to the closing parenthesis.
    """
    out: list[tuple[str, tuple[str, ...]]] = []
    for match in _IMPORTS.finditer(source):
        module, inside, listed, plain = (
            part.decode("utf-8", "replace") if part else "" for part in match.groups()
        )
        if plain:
            out += [(piece.split(" as ")[0].strip(), ()) for piece in plain.split(",")]
            continue
        pieces = re.sub(r"#[^\n]*", "", inside or listed).replace("\\", " ").split(",")
        out.append((module, tuple(name for piece in pieces if (name := piece.split(" as ")[0].strip()))))
    return out


def search_folders(source: bytes) -> list[str]:
    """The folders that a file puts on the search path of imports: ``sys.path.append(os.path.join(here, "lib"))``."""
    if b"sys.path" not in source:
        return []
    calls = (_FOLDER_NAMES.findall(rest) for rest in _SEARCHED.findall(source))
    return [b"/".join(names).decode("utf-8", "replace") for names in calls if names]
