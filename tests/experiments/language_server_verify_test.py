"""*Write and verify* through the language server's process."""

import asyncio

import pytest

pytest.importorskip("pytest_lsp", reason="needs the extra test")
from lsprotocol import types

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.inference.text.requests import Piece
from hrm_jax.serving.engine import Engine
from tests.experiments.language_server_test import editing
from tests.hrm_jax.serving import served
from tests.infill_server import InfillServer

HEAD = 'def double(n):\n    """\n    >>> double(2)\n    4\n    """'
VERIFIED = {"choices": [{"text": "    return 2 * n\n"}], "verified": True, "attempts": 1}
FAILED = {"choices": [{"text": "    return n\n"}], "verified": False, "failed": "double(2)\n is 2"}


class Person:
    """Takes edits and answers questions, as the editor lets a person do."""

    def __init__(self, client, answer: str | None):
        self.edits: list[types.WorkspaceEdit] = []
        self.questions: list[str] = []
        self.answer = answer
        client.feature(types.WORKSPACE_APPLY_EDIT)(lambda params: self.apply(params))
        client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)(lambda params: self.ask(params))

    def apply(self, params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        self.edits.append(params.edit)
        return types.ApplyWorkspaceEditResult(applied=True)

    def ask(self, params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
        self.questions.append(params.message)
        return None if self.answer is None else types.MessageActionItem(self.answer)


def test_what_is_verified_is_inserted_and_what_is_not_only_if_it_is_wanted(tmp_path):
    server = InfillServer(lambda body: VERIFIED)
    (tmp_path / ".gitignore").write_text("private.py\n")

    async def scenario(url):
        async with editing(tmp_path, url) as editor:
            person = Person(editor.client, None)
            uri = editor.open("a.py", HEAD)

            async def actions(uri, line):
                span = types.Range(types.Position(line, 0), types.Position(line + 1, 0))
                params = types.CodeActionParams(
                    types.TextDocumentIdentifier(uri), span, types.CodeActionContext([])
                )
                return await editor.client.text_document_code_action_async(params)

            async def run(arguments: list):
                params = types.ExecuteCommandParams("hrm_jax.verify", arguments)
                await editor.client.workspace_execute_command_async(params)

            [action] = await actions(uri, 2)
            assert action.title == "Write and verify"
            assert "hrm_jax.verify" in str(action.command)
            arguments = [uri, 2, 2]
            await run(arguments)
            [edit] = person.edits
            [change] = edit.changes[uri]
            assert change.new_text == "\n    return 2 * n\n"
            assert change.range.start == types.Position(5, 0)
            told = editor.client.messages[-1]
            assert told.message == "hrm_jax: Verified (1 attempt, 0.0 s)."
            assert told.type == types.MessageType.Info
            # What failed is shown, and inserted only where somebody says so.
            server.reply = lambda body: FAILED
            await run(arguments)
            told = "hrm_jax: Not verified (0 attempts, 0.0 s): double(2) is 2"
            assert person.questions == [told]
            assert len(person.edits) == 1
            person.answer = "Insert unverified"
            await run(arguments)
            [change] = person.edits[1].changes[uri]
            assert change.new_text == "\n# not verified: double(2) is 2\n    return n\n"
            # A refusal, and what is nothing to verify or may not be sent.
            server.reply = lambda body: (400, "no sandbox here")
            await run(arguments)
            assert "refuses: no sandbox here" in editor.client.messages[-1].message
            await run(["file:///absent.py", 0, 0])
            assert "Expected a function with a docstring" in editor.client.messages[-1].message
            count = len(server.asked)
            assert not await actions(editor.open("private.py", HEAD), 2)
            assert not await actions(editor.open("a.lua", HEAD, "lua"), 2)
            assert not await actions(editor.open("b.py", "x = 1\n"), 0)
            assert len(server.asked) == count

            # A document that is changed meanwhile stays as it is.
            async def change():
                editor.change(uri, (0, 0), (0, 0), "# new\n")
                await actions(uri, 3)  # answered when the change is known

            def change_meanwhile(body):
                asyncio.run_coroutine_threadsafe(change(), loop).result(10)
                return VERIFIED

            loop = asyncio.get_running_loop()
            server.reply = change_meanwhile
            await run(arguments)
            assert "changed meanwhile" in editor.client.messages[-1].message
            assert len(person.edits) == 2

    with server.serving() as url:
        asyncio.run(scenario(url))


class Scripted(Engine):
    """An engine that writes one text, whatever it is asked for."""

    text = ""

    def write(self, requests):
        for number in range(len(requests)):
            yield Piece(number, self.text, 1, "end")


async def verified(folder, url: str, answer: str | None) -> tuple[Person, list[str]]:
    """What becomes of the command at a document with examples, and the messages."""
    async with editing(
        folder, url, options={"verify_max_tokens": 32, "verify_attempts": 3}
    ) as editor:
        person = Person(editor.client, answer)
        params = types.ExecuteCommandParams("hrm_jax.verify", [editor.open("a.py", HEAD), 2, 2])
        await editor.client.workspace_execute_command_async(params)
        return person, [message.message for message in editor.client.messages]


def inserted(person: Person) -> str:
    [edit] = person.edits
    [[change]] = edit.changes.values()
    return change.new_text


@pytest.fixture(scope="module")
def judge():
    try:
        return Judge.of("python", find_sandbox(), Bounds(), 1, ())
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_what_is_written_runs_in_a_sandbox(tmp_path, judge):
    """Our server, a sandbox, and the client of pytest-lsp; the model alone is scripted."""
    escaped = tmp_path / "escaped"
    # It passes, and what it writes to the disk does not reach the disk.
    passing = f"    try:\n        open({str(escaped)!r}, 'w')\n    except OSError:\n        pass\n"
    with served.server(judge=judge, make_engine=Scripted) as url:
        Scripted.text = f"{passing}    return 2 * n\n"
        person, told = asyncio.run(verified(tmp_path, url, None))
        assert inserted(person) == f"\n{Scripted.text}", told
        assert [one.split(" (")[0] for one in told] == ["hrm_jax: Verified"]
        assert person.questions == []
        assert not escaped.exists()

        Scripted.text = "    return n\n"
        person, told = asyncio.run(verified(tmp_path, url, "Insert unverified"))
        [question] = person.questions
        assert question.startswith("hrm_jax: Not verified (3 attempts, ")
        assert question.endswith(": passed 0 of 1; double(2): expected 4, got 2")
        assert inserted(person).startswith("\n# not verified: ")
        assert inserted(person).endswith("\n    return n\n")
        assert told == []

        person, _ = asyncio.run(verified(tmp_path, url, None))
        assert len(person.questions) == 1
        assert person.edits == []


def test_without_a_sandbox_the_command_says_so(tmp_path):
    why = "expected a sandbox, found none; install bubblewrap"
    with served.server(judge=why, make_engine=Scripted) as url:
        person, told = asyncio.run(verified(tmp_path, url, "Insert unverified"))
    assert person.edits == person.questions == []
    assert told == [f"hrm_jax: The server at {url} refuses: verify: {why}"]
