"""The language server, spoken to by a real client over standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

pytestmark = pytest.mark.slow

HEAD = "import itertools\nfrom torch.utils.data import DataLoader\n\n\n"
LOOP = (
    HEAD
    + "def train(d):\n    loader = DataLoader(d, num_workers=2)\n    for x in loader:\n        x.cuda()\n"
)
CYCLE = "def f(d):\n    '😀'; return itertools.cycle(DataLoader(d))\n"


class Editor:
    """An editor with one folder open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LanguageClient("editor", "1")
        self.published: dict[str, asyncio.Queue[types.PublishDiagnosticsParams]] = {}
        self.messages: list[str] = []
        self.versions: dict[str, int] = {}

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def publish(params: types.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, asyncio.Queue()).put_nowait(params)

        @self.client.feature(types.WINDOW_SHOW_MESSAGE)
        def show(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)

    async def start(self) -> types.InitializeResult:
        await self.client.start_io(
            sys.executable, "-m", "dlcheck", "server", "--stdio",
            env={**os.environ, "DLCHECK_CACHE_DIR": str(self.folder / ".cache")},
        )  # fmt: skip
        root = self.folder.as_uri()
        folders = [types.WorkspaceFolder(root, "project")]
        result = await self.client.initialize_async(
            types.InitializeParams(types.ClientCapabilities(), root_uri=root, workspace_folders=folders)
        )
        self.client.initialized(types.InitializedParams())
        return result

    async def stop(self) -> None:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await self.client.stop()

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        self.versions[name] = 1
        item = types.TextDocumentItem(self.uri(name), "python", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def replace(self, name: str, line: int, first: int, last: int, text: str) -> None:
        """Type over part of a line; columns as the protocol counts them."""
        self.versions[name] += 1
        document = types.VersionedTextDocumentIdentifier(self.versions[name], self.uri(name))
        place = types.Range(types.Position(line, first), types.Position(line, last))
        change = types.TextDocumentContentChangePartial(place, text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def diagnostics(self, uri: str, version: int | None = None) -> list[types.Diagnostic]:
        """What is published next for a text; for a version of it, if given."""
        queue = self.published.setdefault(uri, asyncio.Queue())
        while True:
            params = await asyncio.wait_for(queue.get(), 60)
            if version is None or params.version == version:
                return list(params.diagnostics)

    async def actions(self, name: str, line: int, only: list[str] | None = None) -> list[types.CodeAction]:
        place = types.Range(types.Position(line, 0), types.Position(line, 0))
        context = types.CodeActionContext([], only=only)  # type: ignore[arg-type]
        document = types.TextDocumentIdentifier(self.uri(name))
        found = await self.client.text_document_code_action_async(
            types.CodeActionParams(document, place, context)
        )
        return [action for action in found or () if isinstance(action, types.CodeAction)]

    async def hover(self, name: str, line: int, character: int) -> str:
        document = types.TextDocumentIdentifier(self.uri(name))
        found = await self.client.text_document_hover_async(
            types.HoverParams(document, types.Position(line, character))
        )
        return (
            found.contents.value
            if found is not None and isinstance(found.contents, types.MarkupContent)
            else ""
        )


def applied(text: str, action: types.CodeAction) -> str:
    """A text after the edit of an action (columns of characters of one UTF-16 unit)."""
    assert action.edit is not None and action.edit.document_changes is not None
    (change,) = action.edit.document_changes
    assert isinstance(change, types.TextDocumentEdit)
    lines = text.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))

    def offset(position: types.Position) -> int:
        return min(offsets[min(position.line, len(lines))] + position.character, len(text))

    for edit in sorted(change.edits, key=lambda e: offset(e.range.start), reverse=True):  # type: ignore[union-attr]
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]  # type: ignore[union-attr]
    return text


def _run(steps: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own: another test's browser may have an event loop running in this one."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, steps).result()


@pytest.fixture
def session(tmp_path: Path) -> Callable[[Callable[[Editor], Awaitable[None]]], None]:
    (tmp_path / "dlcheck.toml").touch()

    def run(steps: Callable[[Editor], Awaitable[None]]) -> None:
        async def whole() -> None:
            editor = Editor(tmp_path)
            await editor.start()
            try:
                await steps(editor)
            finally:
                await editor.stop()

        _run(whole())

    return run


Session = Callable[[Callable[[Editor], Awaitable[None]]], None]


def test_what_the_server_offers(tmp_path: Path) -> None:
    async def steps() -> None:
        editor = Editor(tmp_path)
        result = await editor.start()
        assert result.server_info is not None
        assert result.server_info.name == "dlcheck"
        assert result.capabilities.hover_provider
        assert result.capabilities.code_action_provider
        await editor.stop()

    _run(steps())


def test_diagnostics_as_you_type(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        uri = editor.uri("a.py")
        editor.open("a.py", HEAD + CYCLE)
        (found,) = await editor.diagnostics(uri, 1)
        assert (found.code, found.source, found.severity) == (
            "DLC503",
            "dlcheck",
            types.DiagnosticSeverity.Error,
        )
        # The smiley is one character and two units of UTF-16.
        line = HEAD.count("\n") + 1
        assert found.range == types.Range(types.Position(line, 17), types.Position(line, 47))
        editor.replace("a.py", line, 17, 47, "DataLoader(d)")
        assert await editor.diagnostics(uri, 2) == []
        editor.replace("a.py", line, 17, 17, "(")
        (broken,) = await editor.diagnostics(uri, 3)
        assert "cannot be parsed" in broken.message
        editor.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )
        assert await editor.diagnostics(uri) == []

    session(steps)


def test_only_the_last_of_quick_changes_is_checked(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        uri = editor.uri("a.py")
        editor.open("a.py", "x = 1\n")
        assert await editor.diagnostics(uri, 1) == []
        for _ in range(20):
            editor.replace("a.py", 0, 0, 0, "# ")
        assert await editor.diagnostics(uri) == []
        assert editor.published[uri].empty()

    session(steps)


def test_unsaved_files_are_evidence(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        editor.open(
            "loaders.py",
            "from torch.utils.data import DataLoader\n\n\ndef make(d):\n    return DataLoader(d)\n",
        )
        await editor.diagnostics(editor.uri("loaders.py"), 1)
        editor.open(
            "train.py", "import itertools\nfrom loaders import make\n\nx = itertools.cycle(make([1]))\n"
        )
        (found,) = await editor.diagnostics(editor.uri("train.py"), 1)
        assert found.code == "DLC503"

    session(steps)


def test_hover_shows_the_page(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        editor.open("a.py", HEAD + CYCLE + "x = 1  # dlcheck: ignore[DLC102] so\n")
        await editor.diagnostics(editor.uri("a.py"), 1)
        line = HEAD.count("\n") + 1
        assert "# DLC503 cycled-loader" in await editor.hover("a.py", line, 20)
        assert await editor.hover("a.py", line, 1) == ""
        page = await editor.hover("a.py", line + 1, 28)
        assert "# DLC102" in page
        assert "# DLC001" in page

    session(steps)


def test_code_actions(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        editor.open("a.py", LOOP)
        found = await editor.diagnostics(editor.uri("a.py"), 1)
        line = found[0].range.start.line
        fix, suppress = await editor.actions("a.py", line)
        assert fix.is_preferred
        assert list(fix.diagnostics or ()) == [found[0]]
        assert applied(LOOP, fix) == LOOP.replace("num_workers=2", "num_workers=2, pin_memory=True")
        assert applied(LOOP, suppress) == LOOP.replace("workers=2)", "workers=2)  # dlcheck: ignore[DLC201]")
        (everything,) = await editor.actions("a.py", 0, ["source.fixAll"])
        after = applied(LOOP, everything)
        assert "pin_memory=True" in after
        assert "non_blocking=True" in after
        assert await editor.actions("a.py", 0) == []

    session(steps)


def test_bad_settings_are_said_once(session: Session, tmp_path: Path) -> None:
    async def steps(editor: Editor) -> None:
        (tmp_path / "dlcheck.toml").write_text("selct = []\n")
        editor.open("a.py", HEAD + CYCLE)
        editor.open("b.py", HEAD + CYCLE)
        for _ in range(600):
            if editor.messages:
                break
            await asyncio.sleep(0.1)
        (tmp_path / "dlcheck.toml").write_text('select = ["DLC5"]\n')
        document = types.TextDocumentIdentifier(editor.uri("a.py"))
        editor.client.text_document_did_save(types.DidSaveTextDocumentParams(document))
        assert len(await editor.diagnostics(editor.uri("a.py"))) == 1
        (message,) = editor.messages
        assert "dlcheck.toml:1: there is no setting 'selct'; did you mean 'select'?" in message

    session(steps)


def test_notebook(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        last = "from torch.utils.data import DataLoader\nx = itertools.cycle(DataLoader([1]))"
        texts = ["# Title", "%matplotlib inline\nimport itertools", last]
        uris = [f"vscode-notebook-cell:{editor.folder}/n.ipynb#{n}" for n in range(len(texts))]
        kinds = [types.NotebookCellKind.Markup, types.NotebookCellKind.Code, types.NotebookCellKind.Code]
        cells = [types.NotebookCell(kind, uri) for kind, uri in zip(kinds, uris, strict=True)]
        notebook = types.NotebookDocument(editor.uri("n.ipynb"), "jupyter-notebook", 1, cells)
        items = [
            types.TextDocumentItem(uri, "python", 1, text) for uri, text in zip(uris, texts, strict=True)
        ]
        editor.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(notebook, items))
        (found,) = await editor.diagnostics(uris[2])
        assert found.code == "DLC503"
        assert found.range.start == types.Position(1, 4)
        assert await editor.diagnostics(uris[1]) == []

    session(steps)
