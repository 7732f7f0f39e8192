"""Open files and notebooks, and where in them a place of their source is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types
from pygls.uris import to_fs_path
from pygls.workspace import PositionCodec, Workspace

from dlcheck.facts.notebook import CellMap, python_source
from dlcheck.facts.text import encoded, split_lines
from dlcheck.lint.finding import Place
from dlcheck.report.check_edits import Replacement


@dataclass(frozen=True, slots=True)
class Part:
    """A text of the editor: a file, or a cell of a notebook. ``before``: how many lines of the source stand before it."""

    uri: str
    version: int | None
    before: int
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Document:
    """An open file or notebook: its path, its Python source, and the texts that it is made of."""

    uri: str
    path: Path
    source: bytes
    parts: tuple[Part, ...]
    codec: PositionCodec

    def part_at(self, line: int) -> Part:
        """The text that a line of the source (from 1) stands in."""
        return next((part for part in reversed(self.parts) if part.before < line), self.parts[0])

    def part_of(self, uri: str) -> Part | None:
        return next((part for part in self.parts if part.uri == uri), None)

    def range_of(self, place: Place) -> tuple[Part, types.Range]:
        """Where a place of the source is shown."""
        part = self.part_at(place.line)
        return part, self._range(part, place.line, place.column - 1, place.end_line, place.end_column - 1)

    def line_of(self, uri: str, position: types.Position) -> int | None:
        """The line of the source (from 1) that a position of a text stands in."""
        part = self.part_of(uri)
        return None if part is None else part.before + position.line + 1

    def edit(self, change: Replacement) -> tuple[Part, types.TextEdit]:
        """A change of the source as an edit of one of its texts."""
        part = self.part_at(change.first)
        return part, types.TextEdit(self._range(part, change.first, 0, change.last + 1, 0), change.text)

    def _range(self, part: Part, line: int, column: int, end_line: int, end_column: int) -> types.Range:
        start, end = (
            self.codec.position_to_client_units(
                part.lines, types.Position(max(0, number - part.before - 1), at)
            )
            for number, at in ((line, column), (end_line, end_column))
        )
        return types.Range(start, end)


def open_documents(workspace: Workspace) -> list[Document]:
    """Everything that is open in the editor and lies in a file."""
    notebooks = [_notebook(workspace, notebook) for notebook in workspace.notebook_documents.values()]
    cells = {part.uri for document in notebooks if document is not None for part in document.parts}
    texts = [
        _text(workspace, uri)
        for uri in workspace.text_documents
        if uri not in cells and workspace.get_notebook_document(cell_uri=uri) is None
    ]
    return [document for document in (*notebooks, *texts) if document is not None]


def find_document(documents: Iterable[Document], uri: str) -> Document | None:
    """The document of a file, a notebook, or a notebook's cell."""
    return next((d for d in documents if d.uri == uri or d.part_of(uri) is not None), None)


def _text(workspace: Workspace, uri: str) -> Document | None:
    path = to_fs_path(uri)
    if path is None or not uri.startswith("file:"):
        return None
    text = workspace.get_text_document(uri)
    part = Part(uri, text.version, 0, split_lines(text.source))
    return Document(uri, Path(path), encoded(text.source), (part,), workspace.position_codec)


def _notebook(workspace: Workspace, notebook: types.NotebookDocument) -> Document | None:
    path = to_fs_path(notebook.uri)
    if path is None:
        return None
    texts = [workspace.get_text_document(cell.document) for cell in notebook.cells]
    is_code = [cell.kind == types.NotebookCellKind.Code for cell in notebook.cells]
    cells = [
        {"cell_type": "code" if code else "markdown", "source": text.source}
        for text, code in zip(texts, is_code, strict=True)
    ]
    source = python_source(json.dumps({"cells": cells}).encode())
    starts = CellMap(source).starts
    parts = tuple(
        Part(texts[number - 1].uri, texts[number - 1].version, start, split_lines(texts[number - 1].source))
        for number, start in starts.items()
    )
    if not parts:
        return None
    return Document(notebook.uri, Path(path), source, parts, workspace.position_codec)
