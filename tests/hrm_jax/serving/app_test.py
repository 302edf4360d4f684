"""The whole app against its own description, and before a model is loaded."""

import httpx
import pytest
import schemathesis
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from hrm_jax.serving.app import make_app, protected
from hrm_jax.serving.protection import Protection
from tests.hrm_jax.serving import served

FIELDS_OF_LENGTH = ("max_tokens", "max_completion_tokens", "n_predict")
TURNS = [{"role": "user", "content": "x"}]


def test_no_body_makes_the_server_fail():
    """Fuzzed bodies, right and wrong, by the app's own description: none is answered by 5xx."""
    operations = 0
    with served.app(most_waiting=64) as app:
        api = schemathesis.openapi.from_asgi("/openapi.json", app)
        for operation in api.get_all_operations():
            assert isinstance(operation, Ok), operation
            check(operation.ok())
            operations += 1
    assert operations >= 10


def check(operation) -> None:
    """Asks for an operation in many ways."""

    @settings(max_examples=12, deadline=None, database=None)
    @seed(0)
    @given(operation.as_strategy(), st.booleans())
    def ask(case, talks):
        if isinstance(case.body, dict):
            # Nearly all turns that are made up are refused: so the other fields are looked at, too.
            if talks and "messages" in case.body:
                case.body["messages"] = TURNS
            # Long texts would take minutes.
            case.body |= dict.fromkeys(FIELDS_OF_LENGTH, 4)
            case.body.pop("n", None)
        assert case.call(timeout=300).status_code < 500

    ask()


@pytest.mark.anyio
async def test_without_a_model_it_says_so():
    transport = httpx.ASGITransport(app=make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/health")).status_code == 503
        found = await client.post("/v1/completions", json={"prompt": "x"})
        assert found.status_code == 503
        assert found.headers["retry-after"] == "1"
        assert "hrm_model_loaded 0.0" in (await client.get("/metrics")).text
        assert (await client.get("/nothing")).json()["error"]["type"] == "not_found_error"


@pytest.mark.anyio
async def test_pages_of_elsewhere_may_ask_where_they_are_named():
    asked = {"Origin": "https://vscode.dev", "Access-Control-Request-Method": "POST"}
    for origins, allowed in ((["https://vscode.dev"], "https://vscode.dev"), ([], None)):
        app = protected(make_app(), Protection(), origins)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            found = await client.options("/infill", headers=asked)
            assert found.headers.get("access-control-allow-origin") == allowed


@pytest.fixture
def anyio_backend():
    return "asyncio"
