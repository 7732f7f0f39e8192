"""Which settings hold where: those of the nearest settings file above a folder, and above all those of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlcheck.config.patterns import matcher
from dlcheck.config.read import Layer, build, find_config, read_layers
from dlcheck.config.settings import Settings


class Resolver:
    """Finds the settings of folders. ``config``: one file for all in place of the nearest; ``isolated``: no file at all.

    ``overrides`` are the values of the command line, which count most.
    """

    def __init__(
        self, overrides: Sequence[Layer] = (), *, config: Path | None = None, isolated: bool = False
    ) -> None:
        self._overrides = list(overrides)
        self._config = config
        self._isolated = isolated
        self._layers: dict[Path, list[tuple[Path, Layer]]] = {}
        self._by_folder: dict[Path, Settings] = {}
        self._by_file: dict[Path | None, Settings] = {}
        self._excluded: dict[str, Callable[[str], bool | None]] = {}

    def overridden(self, overrides: Sequence[Layer]) -> Resolver:
        """The same files, with other values of the command line."""
        other = Resolver(overrides, config=self._config, isolated=self._isolated)
        other._layers = self._layers
        return other

    def settings(self, folder: Path) -> Settings:
        """The settings for the files of a folder. Raises ``ConfigError``."""
        if folder not in self._by_folder:
            self._by_folder[folder] = self._resolve(folder)
        return self._by_folder[folder]

    def for_file(self, file: str) -> Settings:
        """The settings for a file, by its absolute path."""
        return self.settings(Path(file).parent)

    def excluded(self, path: str) -> bool | None:
        """What the settings say of a path (a folder ends in ``/``): excluded, taken back, or nothing."""
        folder = path.rstrip("/").rpartition("/")[0] or "/"
        if folder not in self._excluded:
            self._excluded[folder] = matcher(self.settings(Path(folder)).exclude)
        return self._excluded[folder](path)

    def _resolve(self, folder: Path) -> Settings:
        if self._isolated or self._config is not None:
            return self._built(None if self._isolated else self._config, Path.cwd())
        found = find_config(folder)
        if found is None and folder.parent != folder:
            return self.settings(folder.parent)
        return self._built(found, folder)

    def _built(self, file: Path | None, folder: Path) -> Settings:
        if file not in self._by_file:
            layers = self._read(file) if file is not None else []
            self._by_file[file] = build(folder, [*layers, *((None, layer) for layer in self._overrides)])
        return self._by_file[file]

    def _read(self, file: Path) -> list[tuple[Path, Layer]]:
        if file not in self._layers:
            self._layers[file] = read_layers(file)
        return self._layers[file]
