"""What the client of the server says of answers that are none."""

import asyncio
import contextlib

import pytest

pytest.importorskip("httpx", reason="needs the extra editor")

from hrm_jax.core.config import ConfigError
from hrm_jax.editing.answers import ServerAway, ServerRefused, Verdict
from hrm_jax.editing.server import Filling, Hole, Server
from hrm_jax.editing.windows import Chunk
from tests.infill_server import InfillServer, free_port

FILLING = Filling(max_tokens=8, max_milliseconds=100, one_line=True)


def filled(url: str, hole: Hole = Hole("a", "b"), most: int = 99) -> str:  # noqa: B008
    """The first parts of what fills a hole."""

    async def parts() -> str:
        server = Server(url)
        text = ""
        async with contextlib.aclosing(server.fill(hole, FILLING)) as found:
            async for part in found:
                text += part
                if len(text) >= most:
                    break
        await server.close()
        return text

    return asyncio.run(parts())


def test_it_asks_as_llama_cpp_is_asked():
    server = InfillServer(lambda body: "text")
    with server.serving() as url:
        hole = Hole("Å\ud83d", "", [Chunk("a.py", "x")], "b.py", "demo")
        assert filled(f"{url}/", hole) == "text"
        assert filled(url, most=2) == "te"
    assert server.asked[0] == {
        "input_prefix": "Å?",  # half of a pair is no text
        "input_suffix": "",
        "input_extra": [{"filename": "a.py", "text": "x"}],
        "filename": "b.py",
        "project": "demo",
        "n_predict": 8,
        "t_max_predict_ms": 100,
        "stop": ["\n"],
        "temperature": 0,
        "seed": 0,
        "stream": True,
    }


def test_a_server_that_is_away_is_told_from_one_that_refuses(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")  # never asked
    with pytest.raises(ServerAway, match=r"127\.0\.0\.1"):
        filled(f"http://127.0.0.1:{free_port()}")
    server = InfillServer(lambda body: (429, "busy"))
    with server.serving() as url, pytest.raises(ServerRefused, match=r"^busy$") as refused:
        filled(url)
    assert refused.value.status == 429


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("{", "its answer is not understood: {"),
        ("[" * 200_000, "its answer is not understood"),
        ("[]", "not understood"),
        ('{"content": 1}', "not understood"),
        ('{"error": {"message": "out of memory"}}', "^out of memory$"),
        ('{"error": "?"}', "error"),
    ],
)
def test_answers_that_are_none_are_refusals(event, told):
    server = InfillServer(lambda body: [event])
    with server.serving() as url, pytest.raises(ServerRefused, match=told):
        filled(url)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://a", "http://", "http://a:99999", ""])
def test_a_url_has_to_be_one_of_http(url):
    with pytest.raises(ConfigError, match="--server: expected a URL of HTTP"):
        Server(url)


def verdict(url: str, tests: str | None) -> Verdict:
    async def asked() -> Verdict:
        server = Server(url)
        limits = {"attempts": 3, "seconds": 5.0, "max_tokens": 7}
        found = await server.verify("text", tests, **limits)
        await server.close()
        return found

    return asyncio.run(asked())


def test_code_is_verified_by_examples_or_tests():
    server = InfillServer(
        lambda body: {"choices": [{"text": "x"}], "verified": True, "attempts": 2, "seconds": 0.5}
    )
    with server.serving() as url:
        assert verdict(url, None) == ("x", True, "", 2, 0.5)
        server.reply = lambda body: {
            "choices": [{"message": {"content": "y"}}],
            "verified": "true",  # not the server's plain word
            "failed": "assert",
        }
        assert verdict(url, "assert f()") == ("y", False, "assert", 0, 0.0)
        server.reply = lambda body: (400, "no sandbox")
        with pytest.raises(ServerRefused, match="no sandbox"):
            verdict(url, None)
        server.reply = lambda body: {"choices": []}
        with pytest.raises(ServerRefused, match="not understood"):
            verdict(url, None)
    with pytest.raises(ServerAway):
        verdict(url, None)
    limits = {"attempts": 3, "seconds": 5.0}
    assert server.paths[:2] == ["/v1/completions", "/v1/chat/completions"]
    assert server.asked[:2] == [
        {"prompt": "text", "max_tokens": 7, "verify": {"doctests": True, **limits}},
        {
            "messages": [{"role": "user", "content": "text"}],
            "max_tokens": 7,
            "verify": {"tests": "assert f()", **limits},
        },
    ]
