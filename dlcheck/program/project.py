"""The files of a project as modules: found by path, read and parsed when first asked for, imports resolved to files."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from dlcheck.facts.model import Expr, FileFacts, Import, dotted
from dlcheck.program.names import is_test
from dlcheck.program.scope import Scope
from dlcheck.program.scope_walk import build


@dataclass(eq=False)
class Module:
    """One file of the project. ``path`` is relative to the project's root, with forward slashes."""

    path: str
    name: str
    facts: FileFacts

    @cached_property
    def scope(self) -> Scope:
        return build(self, self.facts.body)

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """Every scope of the file, the outer before the inner."""
        return tuple(self.scope.descend())

    @property
    def is_notebook(self) -> bool:
        return self.path.endswith(".ipynb")

    @cached_property
    def is_unit_test(self) -> bool:
        """Whether the module tests others: by where it lies or what it is called, and by what it defines. ``test_net.py`` of
        many projects is an evaluation, and is none.
        """
        name = self.path.rpartition("/")[2]
        if name == "conftest.py" or name.endswith("_test.py"):
            return True
        defined = (*self.scope.functions, *self.scope.classes)
        bases = (dotted(base) for cls in self.scope.classes.values() for base in cls.node.bases)
        return is_test(self.path) and (
            any(name.startswith(("test_", "Test")) for name in defined)
            or any(base.endswith("TestCase") for base in bases)
        )


class Project:
    """All files of a project by path; ``load`` gives the facts of one of them, ``settings`` what a file of settings holds,
    ``searched`` the folders that a file adds to the search path of imports.
    """

    def __init__(
        self,
        paths: Iterable[str],
        load: Callable[[str], FileFacts],
        settings: Callable[[str], Expr | None] = lambda path: None,
        searched: Callable[[str], tuple[str, ...]] = lambda path: (),
    ) -> None:
        self.paths = frozenset(paths)
        self._settings = settings
        self._searched = searched
        self._known_settings: dict[str, Expr | None] = {}
        self._load = load
        self._modules: dict[str, Module | None] = {}
        self._loaded: list[Module] = []
        self._found: dict[tuple[str, str], str | None] = {}

    def module(self, path: str) -> Module | None:
        """The module of a file, or ``None`` where the file is not part of the project or does not parse."""
        if path not in self._modules:
            self._modules[path] = None
            if path in self.paths:
                facts = self._load(path)
                if facts.error is None:
                    module = Module(path, PurePosixPath(path).stem, facts)
                    self._modules[path] = module
                    bisect.insort(self._loaded, module, key=lambda m: m.path)
        return self._modules[path]

    def settings(self, path: str) -> Expr | None:
        """What a YAML or JSON file holds; ``None`` where the project has no such file."""
        if path not in self._known_settings:
            self._known_settings[path] = self._settings(path)
        return self._known_settings[path]

    @property
    def loaded(self) -> list[Module]:
        """The modules read so far, in order of path."""
        return list(self._loaded)

    @property
    def count(self) -> int:
        """How many modules were read so far."""
        return len(self._loaded)

    def find(self, dotted: str, importer: str) -> str | None:
        """The file that ``import dotted`` in the file ``importer`` reads, if it is one of the project's.

        Absolute imports are tried from the importer's own folder outwards to the root (scripts put their folder on
        the path, packages live in the root or in ``src``): the nearest file wins. Folders that the importer itself puts
        on the path come last.
        """
        folder = importer.rpartition("/")[0]
        key = (dotted, folder)
        if key not in self._found:
            self._found[key] = self._search(dotted, folder, ("", "src"))
        found = self._found[key]
        if found is None and (added := self._searched(importer)):
            return self._search(dotted, folder, added)
        return found

    def _search(self, dotted: str, folder: str, below: tuple[str, ...]) -> str | None:
        relative = dotted.replace(".", "/")
        while True:
            for inner in below:
                found = self.file_or_package("/".join(part for part in (folder, inner, relative) if part))
                if found is not None:
                    return found
            if not folder:
                return None
            folder = folder.rpartition("/")[0]

    def file_or_package(self, stem: str) -> str | None:
        """``stem.py`` or ``stem/__init__.py``, whichever the project has."""
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in self.paths:
                return candidate
        return None

    def target(self, node: Import, importer: str) -> str | None:
        """The file that an import statement's module part names (``from .a import b`` -> the file of ``a``)."""
        if node.level == 0:
            return self.find(node.module, importer)
        folder = importer.rpartition("/")[0]
        for _ in range(node.level - 1):
            folder = folder.rpartition("/")[0]
        stem = "/".join(part for part in (folder, node.module.replace(".", "/")) if part)
        if not node.module:
            package = f"{folder}/__init__.py" if folder else "__init__.py"
            return package if package in self.paths else None
        return self.file_or_package(stem)

    def submodule(self, node: Import, importer: str) -> str | None:
        """For ``from package import name``: the file of the module ``package.name``, where that is one."""
        if node.name is None:
            return None
        if node.level == 0:
            return self.find(f"{node.module}.{node.name}", importer)
        folder = importer.rpartition("/")[0]
        for _ in range(node.level - 1):
            folder = folder.rpartition("/")[0]
        parts = (folder, node.module.replace(".", "/"), node.name)
        return self.file_or_package("/".join(part for part in parts if part))

    def targets(self, module: str, names: Iterable[str], importer: str) -> list[str]:
        """The files that an import reads: of the module, and of those of its names that are modules."""
        level = len(module) - len(module.lstrip("."))
        bare = module[level:]
        out = []
        for name in (None, *names):
            node = Import(bare, name, "", level, (0, 0, 0, 0))
            found = self.target(node, importer) if name is None else self.submodule(node, importer)
            if found is not None:
                out.append(found)
        return out
