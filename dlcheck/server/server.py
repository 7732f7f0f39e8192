"""The server: when to check, and how requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dlcheck import __version__
from dlcheck.config.resolve import Resolver
from dlcheck.errors import UserError
from dlcheck.lint.api import CheckResult
from dlcheck.lint.checker import check
from dlcheck.lint.fixing import fix_all as fix_everything
from dlcheck.server import answers
from dlcheck.server.answers import Checked
from dlcheck.server.documents import Document, find_document, open_documents

# How long the editor must be quiet before a changed text is checked.
_PAUSE_S = 0.25
_NOTEBOOKS = types.NotebookDocumentSyncOptions(
    [
        types.NotebookDocumentFilterWithNotebook(
            "jupyter-notebook", [types.NotebookCellLanguage("python"), types.NotebookCellLanguage("markdown")]
        )
    ],
    save=True,
)


class Server(LanguageServer):
    """Checks what is open, one check at a time, and keeps what was found by the path of the document."""

    def __init__(self, isolated: bool) -> None:
        super().__init__("dlcheck", __version__, notebook_document_sync=_NOTEBOOKS)
        self.checked: dict[str, Checked] = {}
        self._isolated = isolated
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = ThreadPoolExecutor(max_workers=1)
        self._complaint = ""

    def check_soon(self, uri: str, pause_s: float = 0.0) -> None:
        """Check a document after a pause, unless it changes again meanwhile."""
        waiting = self._waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        self._waiting[uri] = asyncio.get_running_loop().create_task(self._check(uri, pause_s))

    def check_all(self) -> None:
        """Check every open document: what was saved may bear on all of them."""
        for document in open_documents(self.workspace):
            self.check_soon(document.uri)

    def forget(self, uris: Iterable[str]) -> None:
        """Take back what was said about closed texts."""
        for uri in uris:
            self.checked.pop(uri, None)
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    def current(self, uri: str) -> Checked | None:
        """What was found in the document that a text belongs to, if it is still as it was checked."""
        document = find_document(open_documents(self.workspace), uri)
        checked = None if document is None else self.checked.get(document.uri)
        if checked is None or document is None or checked.document.source != document.source:
            return None
        return checked

    async def fixed(self, document: Document) -> bytes:
        """The source of a document after all safe fixes."""
        overlay = self._overlay()

        def fix() -> bytes:
            fixed = fix_everything(lambda more: self._run(document, {**overlay, **more}), unsafe=False)
            return fixed.changes.get(str(document.path), (b"", document.source))[1]

        return await asyncio.get_running_loop().run_in_executor(self._one_at_a_time, fix)

    async def _check(self, uri: str, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        document = find_document(open_documents(self.workspace), uri)
        if document is None:
            return
        overlay = self._overlay()
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._one_at_a_time, self._run, document, overlay)
        except UserError as error:
            self._complain(str(error))
            return
        self._complaint = ""
        if find_document(open_documents(self.workspace), uri) is None:
            return  # closed meanwhile
        checked = self.checked[document.uri] = Checked(document, result)
        for part in document.parts:
            found = answers.diagnostics(checked)[part.uri]
            self.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(part.uri, found, version=part.version)
            )

    def _overlay(self) -> dict[str, bytes]:
        return {str(document.path): document.source for document in open_documents(self.workspace)}

    def _run(self, document: Document, overlay: dict[str, bytes]) -> CheckResult:
        return check([document.path], Resolver(isolated=self._isolated), overlay=overlay, cached=True)

    def _complain(self, message: str) -> None:
        """Say once what the user must put right: settings with errors, say."""
        if message != self._complaint:
            self._complaint = message
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, f"dlcheck: {message}"))


def create_server(isolated: bool = False) -> Server:
    """A server that is ready to start. ``isolated``: it reads no settings files, and runs no rules of a project's own."""
    server = Server(isolated)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(server: Server, params: types.DidOpenTextDocumentParams) -> None:
        server.check_soon(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(server: Server, params: types.DidChangeTextDocumentParams) -> None:
        server.check_soon(params.text_document.uri, _PAUSE_S)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    @server.feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)
    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def saved(server: Server, params: object) -> None:
        server.check_all()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(server: Server, params: types.DidCloseTextDocumentParams) -> None:
        server.forget([params.text_document.uri])

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def notebook_opened(server: Server, params: types.DidOpenNotebookDocumentParams) -> None:
        server.check_soon(params.notebook_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def notebook_changed(server: Server, params: types.DidChangeNotebookDocumentParams) -> None:
        server.check_soon(params.notebook_document.uri, _PAUSE_S)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def notebook_closed(server: Server, params: types.DidCloseNotebookDocumentParams) -> None:
        server.forget([params.notebook_document.uri, *(cell.uri for cell in params.cell_text_documents)])

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(server: Server, params: types.HoverParams) -> types.Hover | None:
        checked = server.current(params.text_document.uri)
        page = (
            None if checked is None else answers.page_at(checked, params.text_document.uri, params.position)
        )
        return None if page is None else types.Hover(types.MarkupContent(types.MarkupKind.Markdown, page))

    kinds = [types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(kinds))
    async def code_actions(server: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
        uri, only = params.text_document.uri, params.context.only
        checked = server.current(uri)
        if checked is None:
            return []
        actions = []
        if only is None or types.CodeActionKind.QuickFix in only:
            actions += answers.quick_fixes(checked, uri, params.range)
        if only is not None and any(types.CodeActionKind.SourceFixAll.startswith(kind) for kind in only):
            actions += answers.fix_all(checked.document, await server.fixed(checked.document))
        return actions

    return server
