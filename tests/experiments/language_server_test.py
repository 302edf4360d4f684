"""The language server as a process, spoken to by a client that nobody here wrote."""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("pytest_lsp", reason="needs the extra test")
from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

from tests.experiments import serve_test
from tests.experiments.conftest import ROOT
from tests.infill_server import InfillServer, free_port

ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
PROGRAM = (sys.executable, "-m", "experiments.language_server")
AUTOMATIC = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
START = "python -m experiments.serve --model=qwen2.5-coder-0.5b"


def capabilities(
    encodings: list[str] | None = None, snippets: bool = False
) -> types.ClientCapabilities:
    """What an editor can do that knows all that is spoken here."""
    found = client_capabilities("neovim@0.11")
    assert found.text_document is not None
    assert found.text_document.completion is not None
    found.text_document.completion.completion_item = types.ClientCompletionItemOptions(
        snippet_support=snippets
    )
    found.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    found.general = types.GeneralClientCapabilities(position_encodings=encodings)
    return found


class Editor:
    """An editor with a folder, and the language server that it started."""

    def __init__(self, client: LanguageClient, folder: pathlib.Path):
        self.client = client
        self.folder = folder

    def open(self, name: str, text: str, language: str = "python") -> str:
        uri = (self.folder / name).as_uri()
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, begin: tuple[int, int], end: tuple[int, int], text: str) -> None:
        span = types.Range(types.Position(*begin), types.Position(*end))
        change = types.TextDocumentContentChangePartial(range=span, text=text)
        document = types.VersionedTextDocumentIdentifier(version=2, uri=uri)
        params = types.DidChangeTextDocumentParams(document, [change])
        self.client.text_document_did_change(params)

    async def ghost(self, uri: str, line: int, character: int, **fields):
        """The text of the suggestion and its range, or None."""
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(
                types.InlineCompletionTriggerKind.Automatic, **fields
            ),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
        found = await self.client.text_document_inline_completion_async(params)
        assert isinstance(found, types.InlineCompletionList)
        [item] = found.items or [None]
        if item is None:
            return None
        span = item.range
        return item.insert_text, (span.start.character, span.end.character)

    async def completion(self, uri: str, line: int, character: int):
        """The items of completion."""
        document = types.TextDocumentIdentifier(uri)
        params = types.CompletionParams(document, types.Position(line, character))
        return (await self.client.text_document_completion_async(params)).items


@contextlib.asynccontextmanager
async def editing(
    folder, url, *flags, encodings=None, options=None, configuration=None, snippets=False
):
    client = make_test_lsp_client()
    client.set_configuration(configuration, section="hrm_jax")
    await client.start_io(*PROGRAM, f"--server={url}", *flags, cwd=folder, env=ENVIRONMENT)
    try:
        params = types.InitializeParams(
            capabilities(encodings, snippets),
            root_uri=folder.as_uri(),
            initialization_options=options,
        )
        found = await client.initialize_session(params)
        sync = found.capabilities.text_document_sync
        assert sync.change == types.TextDocumentSyncKind.Incremental
        assert found.capabilities.inline_completion_provider is not None
        yield Editor(client, folder)
        await client.shutdown_session()
    except BaseException:
        assert client._server is not None
        client._server.kill()  # or its end would be waited for
        raise
    finally:
        await client.stop()


def test_it_suggests_what_fits_and_follows_what_is_typed(tmp_path, capfd):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("private.py\n")
    server = InfillServer(lambda body: "x + 1)\nprint(y)\nz")

    async def scenario(url):
        async with editing(tmp_path, url, options={"max_lines": 2, "context": True}) as editor:
            other = "def helper(value):\n    return print(value, value)\n" * 4
            editor.open("package/other.py", other)
            editor.open("private.py", "password = 1\n" * 10)
            editor.open("other.lua", "local a = 1\n" * 10, "lua")
            text = "# Å😀\r\nprint()\r\n"
            uri = editor.open("main.py", text)
            # The bracket that the editor closed is not doubled, and within a line it is one line.
            assert await editor.ghost(uri, 1, 6) == ("x + 1", (6, 6))
            [asked] = server.asked
            assert (asked["input_prefix"], asked["input_suffix"]) == ("# Å😀\nprint(", ")\n")
            assert [one["filename"] for one in asked["input_extra"]] == ["package/other.py"]
            assert asked["input_extra"][0]["text"].rstrip() in other
            assert (asked["filename"], asked["project"]) == ("main.py", tmp_path.name)
            # What is typed of it leaves its rest, without a request; so does completion.
            editor.change(uri, (1, 6), (1, 6), "x +")
            assert await editor.ghost(uri, 1, 9) == (" 1", (9, 9))
            [item] = await editor.completion(uri, 1, 9)
            assert item.text_edit.new_text == " 1"
            assert len(server.asked) == 1
            # Positions count units of UTF-16, of which the emoji has two.
            editor.change(uri, (0, 3), (0, 5), "a")
            editor.change(uri, (0, 4), (0, 4), "😀 pri")
            [item] = await editor.completion(uri, 0, 10)
            assert server.asked[-1]["input_prefix"] == "# Åa😀 pri"
            assert item.label == "prix + 1)"
            assert item.text_edit == types.TextEdit(
                types.Range(types.Position(0, 7), types.Position(0, 10)), "prix + 1)"
            )
            # What is selected in a list of completions counts as typed.
            selected = types.SelectedCompletionInfo(
                types.Range(types.Position(0, 7), types.Position(0, 10)), "print("
            )
            found = await editor.ghost(uri, 0, 10, selected_completion_info=selected)
            # Of a line that is begun, its rest alone.
            assert found == ("print(x + 1)", (7, 10))
            assert await editor.ghost((tmp_path / "private.py").as_uri(), 0, 0) is None
            assert await editor.ghost((tmp_path / "never_opened.py").as_uri(), 0, 0) is None
            assert editor.client.messages == []

    with server.serving() as url:
        asyncio.run(scenario(url))
    assert all("password" not in str(body) for body in server.asked)
    assert capfd.readouterr().err == ""


def test_positions_are_in_the_encoding_that_was_agreed_on(tmp_path):
    server = InfillServer(lambda body: "b) {" if "😀" in body["input_prefix"] else "f(`${b}`)\n")

    async def scenario(url):
        async with editing(tmp_path, url, encodings=["utf-8"], snippets=True) as editor:
            uri = editor.open("a.js", "Å😀()\n", "javascript")
            # The suggestion is written over the bracket behind the cursor.
            assert await editor.ghost(uri, 0, 7) == ("b) {", (7, 8))
            assert server.asked[0]["input_prefix"] == "Å😀("
            # Neovim's built-in completion leaves what is behind the cursor.
            [item] = await editor.completion(uri, 0, 7)
            assert item.text_edit.new_text == "b"
            # Where snippets are known it is one, in which marks are escaped.
            uri = editor.open("b.js", "a = \n", "javascript")
            [item] = await editor.completion(uri, 0, 4)
            assert item.insert_text_format == types.InsertTextFormat.Snippet
            assert item.text_edit.new_text == r"f(`\${b\}`)"
            assert item.label == "f(`${b}`)"

    with server.serving() as url:
        asyncio.run(scenario(url))


def test_requests_end_when_nobody_waits_for_them_any_more(tmp_path, capfd):
    server = InfillServer(lambda body: "later")
    server.holds = True

    async def begun():
        assert await asyncio.to_thread(server.begun.wait, 10)
        server.begun.clear()

    async def gone():
        assert await asyncio.to_thread(server.gone.wait, 10)
        server.gone.clear()

    async def scenario(url):
        async with editing(tmp_path, url, options={"debounce_milliseconds": 20}) as editor:
            uri = editor.open("a.py", "a\nb\n")
            # The document is changed: the answer is empty at once.
            asked = asyncio.create_task(editor.ghost(uri, 0, 1))
            await begun()
            editor.change(uri, (0, 1), (0, 1), "x")
            assert await asked is None
            await gone()
            # The editor cancels: it is answered so.
            params = types.InlineCompletionParams(
                AUTOMATIC, types.TextDocumentIdentifier(uri), types.Position(0, 2)
            )
            send = editor.client.protocol.send_request_async
            asked = asyncio.create_task(send("textDocument/inlineCompletion", params, msg_id="7"))
            await begun()
            editor.client.protocol.notify("$/cancelRequest", types.CancelParams("7"))
            with pytest.raises(Exception, match="cancel"):
                await asked
            await gone()
            # Somebody is elsewhere: what was asked for the former place is stopped.
            asked = asyncio.create_task(editor.ghost(uri, 0, 2))
            await begun()
            other = asyncio.create_task(editor.ghost(uri, 1, 1))
            assert await asked is None
            await gone()
            await begun()
            server.holds = False
            editor.change(uri, (1, 1), (1, 1), "y")
            assert await other is None
            await gone()
            # Keys that follow one another are one request.
            count = len(server.asked)
            for at in range(2, 6):
                editor.change(uri, (1, at), (1, at), "z")
                other = asyncio.create_task(editor.ghost(uri, 1, at + 1))
                await asyncio.sleep(0)
            assert await other == ("later", (6, 6))
            assert len(server.asked) == count + 1
            # So are ghost text and completion of one place.
            both = await asyncio.gather(editor.ghost(uri, 1, 1), editor.completion(uri, 1, 1))
            assert both[0] == ("later", (1, 1))
            assert [item.label for item in both[1]] == ["blater"]
            assert len(server.asked) == count + 2
            # The editor ends meanwhile.
            server.holds = True
            server.begun.clear()
            asked = asyncio.create_task(editor.ghost(uri, 0, 0))
            await begun()
        await gone()
        await asyncio.gather(asked, return_exceptions=True)

    with server.serving() as url:
        asyncio.run(scenario(url))
    assert capfd.readouterr().err == ""


def test_trouble_is_told_once_and_passes_by_itself(tmp_path, capfd):
    (tmp_path / "key").write_text("# of the server\nsecret\n")
    server = InfillServer(lambda body: (401, "no such key"))
    port = free_port()

    async def scenario(url):
        async with editing(
            tmp_path, url, "--api_key_file=key", configuration={"max_lines": 0}
        ) as editor:
            uri = editor.open("a.py", "a\nb\n")
            for line in (0, 1, 0):
                assert await editor.ghost(uri, line, 1) is None
            told = [message.message for message in editor.client.messages]
            assert told == [
                "hrm_jax: The settings are not taken: hrm_jax.max_lines: expected 1 to 100, got 0;"
                " set 1 to 100",
                f"hrm_jax: No server answers at {url}. Start one: {START} --port={port}",
            ]
            with server.serving(port):
                assert await editor.ghost(uri, 0, 1) is None
                assert await editor.ghost(uri, 1, 1) is None
                server.reply = lambda body: "found"
                assert await editor.ghost(uri, 1, 1) == ("found", (1, 1))
            assert server.keys == ["Bearer secret"] * 3
            told = [message.message for message in editor.client.messages[2:]]
            assert len(told) == 1
            assert "refuses: no such key; start the language server with --api_key_file" in told[0]
            # Settings that are changed hold at once.
            editor.client.set_configuration({"languages": ["lua"]}, section="hrm_jax")
            changed = types.DidChangeConfigurationParams(settings=None)
            editor.client.workspace_did_change_configuration(changed)
            await asyncio.sleep(0.3)
            assert await editor.ghost(uri, 1, 1) is None
            assert len(editor.client.messages) == 3

    asyncio.run(scenario(f"http://127.0.0.1:{port}"))
    assert capfd.readouterr().err == ""


def test_our_server_writes_for_it(tmp_path):
    serve_test.save(tmp_path)

    async def scenario(url):
        async with editing(tmp_path, url, options={"max_tokens": 8}) as editor:
            uri = editor.open("a.py", "abc abc")
            found = await editor.ghost(uri, 0, 3)
            [item] = await editor.completion(uri, 0, 3)
            assert editor.client.messages == []
            return found, item

    with serve_test.serving(tmp_path, "--nowarm") as (_, client):
        found, item = asyncio.run(scenario(str(client.base_url)))
        body = {"input_prefix": "abc", "input_suffix": " abc", "temperature": 0, "n_predict": 8}
        written = client.post("/infill", json=body).json()["content"]
    assert written.strip()
    assert "\n" not in written
    assert found == (written, (3, 3))
    assert item.text_edit.new_text == f"abc{written}"


def test_it_starts_without_jax():
    code = (
        "import sys, experiments.language_server\n"
        "from hrm_jax.editing.language_server import make_language_server\n"
        "from hrm_jax.editing.server import Server\n"
        "make_language_server(Server('http://127.0.0.1:1'))\n"
        "print(sorted({'jax', 'numpy', 'flax'} & set(sys.modules)))\n"
    )
    found = subprocess.check_output([sys.executable, "-c", code], env=ENVIRONMENT, text=True)
    assert found == "[]\n"


def test_a_file_without_a_key_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n# nothing\n")
    found = subprocess.run(
        [*PROGRAM, "--api_key_file=empty"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "--api_key_file: expected a file with a key, got 'none in it'" in found.stderr
    assert found.stdout == ""
