"""Writes code that passes tests or examples, and puts it into the document."""

from collections.abc import Callable

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from hrm_jax.editing.answers import ServerAway, ServerRefused, Verdict
from hrm_jax.editing.documents import Document, Documents
from hrm_jax.editing.neighbours import may_be_sent
from hrm_jax.editing.positions import with_plain_ends
from hrm_jax.editing.server import Server
from hrm_jax.editing.settings import Settings
from hrm_jax.editing.targets import Target, insertion, target_of
from hrm_jax.editing.telling import trouble

COMMAND = "hrm_jax.verify"
_LANGUAGE = "python"
_TITLE = "Write and verify"
_INSERT = "Insert unverified"


class Verifying:
    """Offers *write and verify* where a selection wants something, and does it."""

    def __init__(
        self,
        editor: LanguageServer,
        server: Server,
        documents: Documents,
        settings: Callable[[], Settings],
        show: Callable[..., None],
    ):
        """Stores what it works with.

        Args:
          editor: what speaks with the editor.
          server: what writes and verifies.
          documents: those that are open.
          settings: returns the settings.
          show: shows a message, of a type of the protocol's; without one, a warning.
        """
        self._editor = editor
        self._server = server
        self._documents = documents
        self._settings = settings
        self._show = show

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Returns the action for a selection, or none."""
        uri = params.text_document.uri
        start = params.range.start
        end = params.range.end
        # Whole lines that are selected end at the beginning of the next one.
        last = end.line - 1 if end.character == 0 and end.line > start.line else end.line
        if self._target(self._documents.get(uri), start.line, last) is None:
            return []
        command = types.Command(_TITLE, COMMAND, arguments=[uri, start.line, last])
        return [types.CodeAction(_TITLE, kind=types.CodeActionKind.Refactor, command=command)]

    async def run(self, uri: str, first: int, last: int) -> None:
        """Asks for what lines of a document want, and inserts it.

        What was not verified is inserted only if the person says so, with a comment that says it.
        """
        document = self._documents.get(uri)
        target = self._target(document, first, last)
        if document is None or target is None:
            self._show(
                "Expected a function with a docstring, or tests, in Python that may be sent; "
                "select one of them."
            )
            return
        settings = self._settings()
        try:
            verdict = await self._server.verify(
                target.prompt,
                target.tests,
                attempts=settings.verify_attempts,
                seconds=settings.verify_seconds,
                max_tokens=settings.verify_max_tokens,
            )
        except (ServerAway, ServerRefused) as error:
            self._show(trouble(self._server.url, error))
            return
        if not verdict.verified and not await self._is_wanted(verdict):
            return
        # Verifying takes a while, in which the person may have gone on writing.
        current = self._documents.get(uri)
        if current is None or current.text != document.text:
            self._show("The document was changed meanwhile, so nothing was inserted; ask again.")
            return
        await self._insert(document, target, verdict)

    def _target(self, document: Document | None, first: int, last: int) -> Target | None:
        if document is None or document.language != _LANGUAGE:
            return None
        if not may_be_sent(document, self._settings()):
            return None
        return target_of(with_plain_ends(document.text), first, last)

    async def _is_wanted(self, verdict: Verdict) -> bool:
        asked = types.ShowMessageRequestParams(
            types.MessageType.Warning,
            f"hrm_jax: Not verified ({_effort(verdict)}): {_one_line(verdict.failed)}",
            [types.MessageActionItem(_INSERT)],
        )
        chosen = await self._editor.window_show_message_request_async(asked)
        return chosen is not None and chosen.title == _INSERT

    async def _insert(self, document: Document, target: Target, verdict: Verdict) -> None:
        text = insertion(target, verdict.text)
        if not verdict.verified:
            text = f"{target.margin}# not verified: {_one_line(verdict.failed)}\n{text}"
        if target.begin > with_plain_ends(document.text).count("\n"):
            text = f"\n{text}"  # the document ends within its last line
        replaced = types.Range(types.Position(target.begin, 0), types.Position(target.end, 0))
        edit = types.WorkspaceEdit(changes={document.uri: [types.TextEdit(replaced, text)]})
        applied = types.ApplyWorkspaceEditParams(edit, label=_TITLE)
        await self._editor.workspace_apply_edit_async(applied)
        if verdict.verified:
            self._show(f"Verified ({_effort(verdict)}).", types.MessageType.Info)


def _effort(verdict: Verdict) -> str:
    attempts = f"{verdict.attempts} attempt{'' if verdict.attempts == 1 else 's'}"
    return f"{attempts}, {verdict.seconds:.1f} s"


def _one_line(text: str) -> str:
    return " ".join(text.split())
