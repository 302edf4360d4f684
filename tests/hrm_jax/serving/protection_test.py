"""Who may ask, and how much."""

import httpx
import pytest

from hrm_jax.serving.protection import Protection, digests
from tests.hrm_jax.serving import served


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
