"""Who may ask, and how much."""

import asyncio

import httpx
import pytest
from fastapi import Response
from starlette.types import Message

from hrm_jax.serving.app import make_app
from hrm_jax.serving.protection import Guarded, Protection, digests
from tests.hrm_jax.serving import served

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/tokenize",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
}


@pytest.fixture(scope="module")
def client():
    settings = Protection(key_digests=digests(["first", "second"]), most_bytes=1000)
    headers = {"Authorization": "Bearer second"}
    with served.server(settings) as url, httpx.Client(base_url=url, headers=headers) as one:
        yield one


def test_a_key_opens(client):
    assert client.get("/v1/models").status_code == 200
    by_name = {"Authorization": "", "x-api-key": "first"}
    assert client.get("/v1/models", headers=by_name).status_code == 200


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer third", "Basic second", "second"])
def test_other_keys_do_not(client, key):
    found = client.get("/v1/models", headers={"Authorization": key})
    assert found.status_code == 401
    assert found.json()["error"]["type"] == "authentication_error"
    assert client.get("/health", headers={"Authorization": key}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil", "[::2]", ""])
def test_a_page_of_elsewhere_cannot_ask(client, host):
    assert client.get("/v1/models", headers={"Host": host}).status_code == 403
    assert client.get("/health", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:80", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_this_machine_can(client, host):
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_is_json(client, kind):
    found = client.post("/tokenize", content=b'{"content": "x"}', headers={"Content-Type": kind})
    assert found.status_code == 415


def test_a_body_may_not_be_too_large(client):
    kind = {"Content-Type": "application/json"}
    large = b'{"content": "' + b"x" * 2000 + b'"}'
    assert client.post("/tokenize", content=large, headers=kind).status_code == 413

    def chunks():
        yield large[:900]
        yield large[900:]

    # Without a length before it: it is found out while it comes.
    refused = client.post("/tokenize", content=chunks(), headers=kind)
    assert refused.status_code == 413
    assert refused.json()["error"]["message"] == "expected a body of at most 1000 bytes, got more"
    assert client.post("/tokenize", json={"content": "x"}).status_code == 200


@pytest.mark.anyio
async def test_a_body_has_to_come_in_time():
    """Half of a body, and then nothing."""
    sent = []

    async def receive() -> Message:
        if not sent_half:
            sent_half.append(True)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message):
        sent.append(message)

    sent_half = []
    app = Guarded(make_app(), Protection(most_body_seconds=0.05))
    await app(SCOPE, receive, send)
    assert sent[0]["status"] == 408
    assert b"expected a body within 0.05 seconds" in sent[1]["body"]


@pytest.mark.anyio
async def test_a_client_that_waits_for_its_answer_has_sent_its_body():
    """The time is over once the body is there: what comes next is that the client goes."""
    messages = []

    async def app(scope, receive, send):
        messages.append(await receive())
        messages.append(await receive())

    async def receive():
        if not messages:
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    guarded = Guarded(app, Protection(most_body_seconds=0.05))
    await guarded(SCOPE, receive, None)  # pyright: ignore[reportArgumentType]
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]


@pytest.mark.anyio
async def test_so_many_are_answered_at_a_time():
    """The second one is told to come again; a probe is answered."""
    begun = asyncio.Event()
    over = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["path"] != "/health":
            begun.set()
            await over.wait()
        await Response()(scope, receive, send)

    transport = httpx.ASGITransport(app=Guarded(slow, Protection(most_at_once=1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        first = asyncio.ensure_future(client.post("/tokenize", json={}))
        await begun.wait()
        refused = await client.post("/tokenize", json={})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "expected at most 1 requests at once" in refused.json()["error"]["message"]
        assert (await client.get("/health")).status_code == 200
        over.set()
        assert (await first).status_code == 200
        assert (await client.post("/tokenize", json={})).status_code == 200


@pytest.fixture
def anyio_backend():
    return "asyncio"
