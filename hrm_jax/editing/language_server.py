"""Speaks the Language Server Protocol: what an editor says, and what it is answered.

Inline completion (3.18) is ghost text; completion is for editors that know no more.
"""

import asyncio
import contextlib
import functools
import pathlib
from typing import Any

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.lsp.server import LanguageServer

from hrm_jax.core.config import ConfigError
from hrm_jax.editing import positions
from hrm_jax.editing.answers import ServerAway, ServerRefused
from hrm_jax.editing.documents import Change, Document, Documents
from hrm_jax.editing.items import completion_items, ghost_items
from hrm_jax.editing.neighbours import Neighbours, may_be_sent, name_of, root_of
from hrm_jax.editing.positions import Place
from hrm_jax.editing.server import Server
from hrm_jax.editing.settings import SECTION, Settings, settings_from
from hrm_jax.editing.suggesting import Gap, Suggester
from hrm_jax.editing.telling import Telling
from hrm_jax.editing.under_way import UnderWay
from hrm_jax.editing.verifying import COMMAND, Verifying

NAME = "hrm_jax"
_VERSION = "1"
_SNIPPETS = "text_document.completion.completion_item.snippet_support"


class Handlers:
    """Answers an editor's messages."""

    def __init__(self, editor: LanguageServer, server: Server):
        """Begins without documents, with the settings that are the defaults.

        Args:
          editor: what speaks with the editor.
          server: what writes suggestions.
        """
        self.documents = Documents()
        self.settings = Settings()
        self._editor = editor
        self._server = server
        self._given: object = None
        self._suggester = Suggester()
        self._neighbours = Neighbours(self.documents)
        self._under_way = UnderWay()
        self._asking = asyncio.Lock()
        self._telling = Telling(server.url, self.show, self._log)

    def initialize(self, params: types.InitializeParams) -> None:
        """Reads the editor's settings, and the encoding of positions that was agreed on."""
        encoding = self._editor.workspace.position_encoding or types.PositionEncodingKind.Utf16
        self.documents.encoding = types.PositionEncodingKind(encoding).value
        self._given = params.initialization_options
        # At once, as they say what may be sent; what is wrong with them is told when all are read.
        with contextlib.suppress(ConfigError):
            self.settings = settings_from(self._given)

    async def initialized(self, _: types.InitializedParams) -> None:
        """Asks for settings that the editor has elsewhere."""
        await self._read_settings(None)
        self._server.prepare()

    async def did_change_configuration(self, params: types.DidChangeConfigurationParams) -> None:
        """Reads the settings anew."""
        await self._read_settings(params.settings)

    async def shutdown(self, _: None) -> None:
        """Stops what is asked, and closes the connections."""
        self._under_way.stop_all()
        await self._server.close()

    def did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Keeps a document."""
        opened = params.text_document
        self.documents.open(Document(opened.uri, opened.language_id, opened.text))

    def did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Changes a document, and stops what was asked for it as it was."""
        uri = params.text_document.uri
        # Its answer would be for a text that is no longer there.
        self._under_way.stop(uri)
        self.documents.change(uri, [_change(one) for one in params.content_changes])

    def did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forgets a document."""
        self._under_way.stop(params.text_document.uri)
        self.documents.close(params.text_document.uri)

    async def inline_completion(
        self, params: types.InlineCompletionParams
    ) -> types.InlineCompletionList:
        """Returns ghost text; what is selected in a list of completions counts as typed."""
        selected = params.context.selected_completion_info
        cursor = types.Range(params.position, params.position)
        selection = selected.range if selected else cursor
        # An editor shows ghost text only if it continues what its list has selected.
        begin_text = selected.text if selected else ""
        gap = self._gap(params.text_document.uri, selection, begin_text)
        is_automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
        suggestion = await self._suggestion(gap, waits=is_automatic)
        if gap is None:
            return types.InlineCompletionList([])
        return types.InlineCompletionList(ghost_items(suggestion, gap, selection, begin_text))

    async def completion(self, params: types.CompletionParams) -> types.CompletionList:
        """Returns an item that begins with the word before the cursor and goes on from there."""
        position = params.position
        gap = self._gap(params.text_document.uri, types.Range(position, position))
        suggestion = await self._suggestion(gap, waits=True)
        if gap is None:
            return types.CompletionList(is_incomplete=True, items=[])
        items = completion_items(
            suggestion,
            gap,
            position,
            max_lines=self.settings.completion_lines,
            encoding=self.documents.encoding,
            takes_snippets=get_capability(self._editor.client_capabilities, _SNIPPETS, False),
        )
        return types.CompletionList(is_incomplete=True, items=items)

    def _gap(self, uri: str, replaced: types.Range, begin_text: str = "") -> Gap | None:
        """Returns the place of a request as a model is to see it; None where none may be.

        Args:
          uri: the document's.
          replaced: what a suggestion replaces, besides brackets behind it.
          begin_text: what it begins with.
        """
        document = self.documents.get(uri)
        if document is None or not self.settings.wants(document.language):
            return None
        self.documents.visit(uri, replaced.start.line)
        if not may_be_sent(document, self.settings):
            return None
        encoding = self.documents.encoding
        begin = positions.offset_at(document.text, _place(replaced.start), encoding)
        end = positions.offset_at(document.text, _place(replaced.end), encoding)
        before = positions.with_plain_ends(document.text[:begin]) + begin_text
        after = positions.with_plain_ends(document.text[end:])
        folders = self._folders()
        context = self._neighbours.chunks(document, (before, after), self.settings, folders)
        if not self.settings.context:
            return Gap(uri, before, after)
        root = root_of(document.path, folders)
        name = name_of(document.path, folders)
        return Gap(uri, before, after, tuple(context), name, root.name if root else "")

    async def _suggestion(self, gap: Gap | None, *, waits: bool) -> str:
        """Returns what goes in a gap; empty where nothing does, or the document was changed.

        Args:
          gap: where, or None.
          waits: whether the server is asked after a moment in which nothing is typed.
        """
        if gap is None:
            return ""
        # What continues a suggestion as it was typed needs no question.
        known = self._suggester.known(gap)
        if known is not None:
            return known
        return await self._under_way.run(gap, self._asked(gap, waits=waits)) or ""

    async def _asked(self, gap: Gap, *, waits: bool) -> str:
        if waits:
            await asyncio.sleep(self.settings.debounce_milliseconds / 1000)
        # Editors may ask for ghost text and completion at once: the second finds what is known.
        async with self._asking:
            known = self._suggester.known(gap)
            if known is not None:
                return known
            try:
                found = await self._suggester.suggest(self._server, gap, self.settings)
            except (ServerAway, ServerRefused) as error:
                self._telling.failed(error)
                return ""
            self._telling.answered()
            return found

    async def _read_settings(self, pushed: object) -> None:
        """Reads settings where the editor has them; where they are wrong, the former ones stay."""
        workspace = self._editor.client_capabilities.workspace
        configured = pushed
        # Where an editor can be asked, its notification carries no settings.
        if workspace is not None and workspace.configuration:
            asked = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
            answers = await self._editor.workspace_configuration_async(asked)
            configured = answers[0] if answers else None
        try:
            self.settings = settings_from(self._given, configured)
        except ConfigError as error:
            self.show(f"The settings are not taken: {error}")
            return
        # Suggestions were made by other settings.
        self._suggester.forget()

    def _folders(self) -> list[pathlib.Path]:
        workspace = self._editor.workspace
        uris = [*workspace.folders, *([workspace.root_uri] if workspace.root_uri else [])]
        paths = [Document(uri, "", "").path for uri in uris]
        return [path for path in paths if path is not None]

    def show(self, message: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Shows a message to the person."""
        shown = types.ShowMessageParams(kind, f"{NAME}: {message}")
        self._editor.window_show_message(shown)

    def _log(self, message: str) -> None:
        logged = types.LogMessageParams(types.MessageType.Info, f"{NAME}: {message}")
        self._editor.window_log_message(logged)


_HANDLERS = {
    types.INITIALIZE: Handlers.initialize,
    types.INITIALIZED: Handlers.initialized,
    types.SHUTDOWN: Handlers.shutdown,
    types.WORKSPACE_DID_CHANGE_CONFIGURATION: Handlers.did_change_configuration,
    types.TEXT_DOCUMENT_DID_OPEN: Handlers.did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: Handlers.did_change,
    types.TEXT_DOCUMENT_DID_CLOSE: Handlers.did_close,
    types.TEXT_DOCUMENT_COMPLETION: Handlers.completion,
    types.TEXT_DOCUMENT_INLINE_COMPLETION: Handlers.inline_completion,
}
_OPTIONS = {types.TEXT_DOCUMENT_INLINE_COMPLETION: types.InlineCompletionOptions()}


def make_language_server(server: Server) -> LanguageServer:
    """Returns a language server that asks a server for suggestions."""
    editor = LanguageServer(NAME, _VERSION)
    handlers = Handlers(editor, server)
    for name, handler in _HANDLERS.items():
        # pygls writes attributes on handlers, which methods that are bound do not take.
        editor.feature(name, _OPTIONS.get(name))(functools.partial(handler, handlers))
    verifying = Verifying(
        editor, server, handlers.documents, lambda: handlers.settings, handlers.show
    )

    @editor.feature(types.TEXT_DOCUMENT_CODE_ACTION)
    def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        return verifying.actions(params)

    @editor.command(COMMAND)
    async def verify(uri: str, first: int, last: int) -> None:
        await verifying.run(uri, first, last)

    return editor


def _place(position: types.Position) -> Place:
    return Place(position.line, position.character)


def _change(change: Any) -> Change:
    """Returns a change as the protocol has it, in one of two forms."""
    if isinstance(change, types.TextDocumentContentChangePartial):
        return Change(change.text, _place(change.range.start), _place(change.range.end))
    return Change(change.text)
