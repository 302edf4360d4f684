"""OpenAI's protocol, spoken by OpenAI's own client."""

import json
import re
import time

import httpx
import jax
import jax.numpy as jnp
import numpy as np
import openai
import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.inference.text import session
from hrm_jax.inference.text.prompts import marked_prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer
from tests.hrm_jax.serving import served

WARM = SamplingConfig(temperature=0.9, top_p=0.9)


@pytest.fixture(scope="module")
def url():
    with served.server() as one:
        yield one


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as one:
        yield one


def written(prompt: Prompt | str, count: int, **settings) -> str:
    """What the model writes by itself."""
    if isinstance(prompt, str):
        prompt = marked_prompt(ByteTokenizer(), prompt)
    request = Request(prompt, max_tokens=count, **settings)
    return "".join(piece.text for piece in served.writer().stream(request))


def test_a_completion_is_what_the_model_writes_alone(client):
    found = client.completions.create(model="any", prompt="def f(x):", max_tokens=12)
    assert found.choices[0].text == written("def f(x):", 12)
    assert found.choices[0].finish_reason == "length"
    assert found.model == served.NAME
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (9, 12)


def test_sixteen_tokens_are_written_by_default(client):
    found = client.completions.create(model="any", prompt="x")
    assert found.choices[0].text == written("x", 16)


def test_prompts_and_choices_come_in_their_order(client):
    found = client.completions.create(
        model="any", prompt=["a", "bb"], n=2, max_tokens=6, temperature=0.9, top_p=0.9, seed=5
    )
    texts = [choice.text for choice in found.choices]
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert texts == [
        written(prompt, 6, seed=seed, sampling=WARM) for prompt in ("a", "bb") for seed in (5, 6)
    ]
    assert found.usage is not None
    assert found.usage.prompt_tokens == 3


def test_several_prompts_may_be_tokens(client):
    found = client.completions.create(model="any", prompt=[[97], [98, 98]], max_tokens=6)
    assert [choice.text for choice in found.choices] == [written(one, 6) for one in ("a", "bb")]


def test_a_stream_is_the_whole_in_parts(client):
    settings = {"model": "any", "prompt": "ab", "max_tokens": 20, "stop": ["\x10"]}
    whole = client.completions.create(**settings)
    options = {"include_usage": True}
    chunks = list(client.completions.create(**settings, stream=True, stream_options=options))
    parts = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(part.text for part in parts) == whole.choices[0].text
    assert parts[-1].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


def test_a_conversation_is_answered(client):
    turns = [{"role": "user", "content": "Hi <end> there"}]
    # The template's marker is a token, that in the turn is text.
    read = [*b"user: Hi <end> there", 256, *b"assistant: "]
    prompt = Prompt("", tokens=tuple(read), ends_at_token=True)
    found = client.chat.completions.create(model="any", messages=turns, max_tokens=9)
    assert found.choices[0].message.content == written(prompt, 9)
    assert found.choices[0].message.role == "assistant"
    stream = client.chat.completions.create(
        model="any", messages=turns, max_completion_tokens=9, stream=True
    )
    deltas = [chunk.choices[0].delta for chunk in stream]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == written(prompt, 9)


def test_parts_of_a_turn_are_its_text(client):
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    found = client.chat.completions.create(model="any", messages=turns, max_tokens=4)
    same = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hi"}], max_tokens=4
    )
    assert found.choices[0].message.content == same.choices[0].message.content


def test_a_hole_is_filled(client):
    found = client.completions.create(model="any", prompt="a = ", suffix="\nb", max_tokens=8)
    assert found.choices[0].text == written(Prompt("a = ", "\nb"), 8)


def test_tokens_and_markers_are_prompts(client):
    by_tokens = client.completions.create(model="any", prompt=[97, 256, 98], max_tokens=5)
    by_marker = client.completions.create(model="any", prompt="a<end>b", max_tokens=5, echo=True)
    assert by_marker.choices[0].text == "a<end>b" + by_tokens.choices[0].text


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_a_turn_has_besides_may_be_nested(client):
    turns = [{"role": "user", "content": "x", "y": nested(50)}]
    assert client.chat.completions.create(model="any", messages=turns, max_tokens=1).choices
    turns[0]["y"] = nested(700)
    with pytest.raises(openai.BadRequestError, match="nested at most 100 deep"):
        client.chat.completions.create(model="any", messages=turns, max_tokens=1)


def test_as_much_as_fits(client):
    found = client.completions.create(model="any", prompt="abc", max_tokens=-1)
    assert found.usage is not None
    assert found.usage.total_tokens <= served.ROOM
    assert found.choices[0].text == written("abc", served.ROOM)


VARIABLES = ("messages", "self", "tokenizer", "template", "tools", "now", "variables", "a b", "")


@pytest.mark.parametrize("name", VARIABLES)
def test_a_templates_variables_may_have_any_name(client, name):
    asked = {"model": "any", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
    found = client.chat.completions.create(**asked, extra_body={"chat_template_kwargs": {name: 5}})
    same = client.chat.completions.create(**asked)
    assert found.choices[0].message.content == same.choices[0].message.content


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_an_answer_keeps_to_a_schema(client, kind):
    wanted = {"type": kind}
    if kind == "json_schema":
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        wanted["json_schema"] = {"name": "one", "schema": schema}
    found = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "x"}],
        max_tokens=60,
        response_format=wanted,
    )
    choice = found.choices[0]
    if choice.finish_reason == "stop":
        json.loads(choice.message.content)
    else:
        assert choice.message.content[:1] in ("", "{", "[", '"', *"0123456789-tfn \n\t")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"max_tokens": 5000}, "max_tokens: expected at most 255, as the prompt takes 1 of the"),
        ({"max_tokens": 0}, "max_tokens: expected 1 or more, or -1"),
        ({"prompt": "x" * 300}, "expected a prompt of fewer than 256 tokens, got 300"),
        ({"prompt": [5000]}, "prompt: expected tokens below 260, got 5000"),
        ({"prompt": ""}, "expected a prompt of at least one token"),
        ({"temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        ({"stop": [""]}, "stop"),
        ({"logprobs": 21}, "logprobs: Input should be less than or equal to 20"),
        ({"response_format": {"type": "json_schema"}}, "response_format: expected json_schema"),
        ({"verify": {"doctests": True}}, "verify: no sandbox here"),
        ({"prompt": ["a", 1]}, "prompt: Input should be"),
        ({"x": nested(200)}, "body: Value error, expected lists and objects nested at most 100"),
        ({"prompt": [[97], []]}, "expected a prompt of at least one token"),
        ({"prompt": ["x"] * 11}, "expected at most 10 texts at once, got 11"),
    ],
)
def test_what_cannot_be_done_is_told_in_openai_form(client, body, told):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "any", "prompt": "x"}, extra_body=body)
    error = caught.value.body
    assert isinstance(error, dict)
    assert told in error["message"]
    assert error["type"] == "invalid_request_error"


def test_how_likely_tokens_are_is_told(client):
    """By the oracle: the model's logits of the whole text, without a cache."""
    settings = {"model": "any", "max_tokens": 5, "temperature": 0.9, "seed": 1}
    turns = [{"role": "user", "content": "x"}]
    found = client.chat.completions.create(
        **settings, messages=turns, logprobs=True, top_logprobs=3
    )
    told = found.choices[0].logprobs.content
    read = [*b"user: x", 256, *b"assistant: "]
    tokens = [*read, *(byte for one in told for byte in one.bytes)]
    model, variables = tiny.hrm_text()
    logits = model.logits(variables, jnp.array([tokens]))[0, len(read) - 1 : -1]
    logs = np.asarray(jax.nn.log_softmax(logits[:, : ByteTokenizer.vocab_size]))
    expected = [row[token] for row, token in zip(logs, tokens[len(read) :], strict=True)]
    np.testing.assert_allclose([one.logprob for one in told], expected, atol=1e-4)
    best = np.sort(logs, axis=-1)[:, :-4:-1]
    found_best = [[top.logprob for top in one.top_logprobs] for one in told]
    np.testing.assert_allclose(found_best, best, atol=1e-4)


def test_how_likely_tokens_of_a_text_are_is_told(client):
    found = client.completions.create(model="any", prompt="ab", max_tokens=5, logprobs=2)
    told = found.choices[0].logprobs
    assert [len(top) for top in told.top_logprobs] == [2] * len(told.tokens)
    best = [max(top.values()) for top in told.top_logprobs]
    assert told.token_logprobs == best  # greedy
    assert told.text_offset == list(range(len(told.tokens)))


def test_how_likely_tokens_of_a_turn_are_is_told(client):
    settings = {
        "model": "any",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 4,
        "logprobs": True,
    }
    whole = client.chat.completions.create(**settings, top_logprobs=1).choices[0]
    for one in whole.logprobs.content:
        assert one.top_logprobs[0].token == one.token
        assert one.top_logprobs[0].logprob == one.logprob
    assert b"".join(bytes(one.bytes) for one in whole.logprobs.content) == (
        whole.message.content.encode()
    )
    chunks = client.chat.completions.create(**settings, stream=True)
    told = [chunk.choices[0].logprobs for chunk in chunks]
    tokens = [one.token for part in told if part for one in part.content]
    assert tokens == [one.token for one in whole.logprobs.content]
    plain = client.chat.completions.create(**{**settings, "logprobs": False}).choices[0]
    assert plain.logprobs is None


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == [served.NAME]
    assert client.models.retrieve("some/other").id == served.NAME


def test_unknown_fields_and_models_are_nothing(url):
    body = {"model": "gpt", "prompt": "x", "max_tokens": 3, "best_of": 7, "user": "me"}
    found = httpx.post(f"{url}/v1/completions", json=body).json()
    assert found["choices"][0]["text"] == written("x", 3)


@pytest.fixture
def slow(monkeypatch):
    """Steps of the engine that take a tenth of a second."""
    served.slow_down(monkeypatch, 0.1)


LONG = {"prompt": "x", "max_tokens": -1, "n": 12, "stream": True}


@pytest.mark.usefixtures("slow")
def test_too_many_are_told_to_come_again():
    with (
        served.server(rows=1, most_waiting=11) as url,
        httpx.Client(base_url=url) as client,
        client.stream("POST", "/v1/completions", json=LONG) as first,
    ):
        lines = first.iter_lines()  # as long as it is there, the connection is open
        next(lines)
        second = client.post("/v1/completions", json={"prompt": "y", "n": 8})
    assert second.status_code == 429
    assert second.headers["retry-after"] == "1"
    assert second.json()["error"]["type"] == "rate_limit_error"


VERIFIED = {"n": 1, "verify": {"tests": "assert f() == 2", "attempts": 1000, "seconds": 600}}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("fields", [{}, {"stream": False}, VERIFIED])
def test_a_client_that_goes_frees_its_rows(fields):
    with (
        served.server(judge=sandboxed(), rows=1, most_waiting=11) as url,
        httpx.Client(base_url=url) as client,
    ):
        if not fields:
            with client.stream("POST", "/v1/completions", json=LONG) as first:
                next(first.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=LONG | fields, timeout=1.0)
        metrics = until(client, "hrm_texts_written 0.0", "hrm_texts_waiting 0.0")
        tokens = re.search(r"^hrm_tokens_written_total (\S+)", metrics, re.M)
        assert tokens is not None
        assert float(tokens[1]) < 10 * served.ROOM
        time.sleep(0.5)
        assert until(client, tokens[0])  # a search begins no other text


@pytest.mark.usefixtures("slow")
def test_a_client_that_goes_before_its_stream_begins_waits_no_longer(monkeypatch):
    monkeypatch.setattr(session, "_BLOCK_SECONDS", 0.0)  # a token in each step: half a minute
    with (
        served.server(rows=1, most_waiting=11) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("POST", "/v1/completions", json=LONG | {"n": 1}) as first,
    ):
        lines = first.iter_lines()  # as long as it is there, the connection is open
        next(lines)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/completion", json={"prompt": "y", "stream": True}, timeout=0.2)
        until(client, "hrm_texts_written 1.0", "hrm_texts_waiting 0.0")


def until(client: httpx.Client, *lines: str) -> str:
    """The metrics, once all of some lines are in them."""
    for _ in range(100):
        metrics = client.get("/metrics").text
        if all(line in metrics for line in lines):
            return metrics
        time.sleep(0.1)
    raise AssertionError(metrics)


def sandboxed(packages: tuple[str, ...] = ()) -> Judge:
    return Judge.of("python", find_sandbox(), Bounds(), 1, packages)


def test_tests_may_import_what_the_server_allows():
    packages = ("pytest",)
    tests = "import pytest\n\n\ndef test_f():\n    assert f() == pytest.approx(1)\n"
    body = {"prompt": "def f():\n    return 1\n\n\n#", "max_tokens": 8, "stop": "\n"}
    with (
        served.server(judge=sandboxed(packages), packages=packages) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        verify = {"tests": tests, "attempts": 1}
        found = client.post("/v1/completions", json={**body, "verify": verify}).json()
    assert found["verified"] is True, found


def test_what_is_verified_says_so_and_what_is_not_says_why():
    """The model writes nothing that is Python: a test that passes all the same, and one not."""
    prompt = "def f():\n    return 1\n\n\n#"
    with served.server(judge=sandboxed()) as url, httpx.Client(base_url=url, timeout=60) as client:
        body = {"prompt": prompt, "max_tokens": 8, "stop": "\n"}
        for tests, verified in (("assert f() == 1", True), ("assert f() == 2", False)):
            verify = {"tests": tests, "attempts": 2}
            found = client.post("/v1/completions", json={**body, "verify": verify}).json()
            assert found["verified"] is verified, found
            assert (found["failed"] is None) is verified
            streamed = client.post(
                "/v1/completions", json={**body, "verify": verify, "stream": True}
            )
            last = json.loads(streamed.text.strip().split("\n\n")[-2].removeprefix("data: "))
            assert last["verified"] is verified
        refused = client.post("/v1/completions", json={**body, "verify": {}})
        assert refused.status_code == 400
        broken = client.post("/v1/completions", json={**body, "verify": {"tests": "def"}})
        assert "verify.tests: expected tests in Python" in broken.json()["error"]["message"]
