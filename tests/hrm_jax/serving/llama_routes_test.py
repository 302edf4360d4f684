"""llama.cpp's protocol, as its editors' plugins speak it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.prompts import marked_prompt
from hrm_jax.inference.text.requests import Request
from tests.hrm_jax.inference.text.tiny import ByteTokenizer
from tests.hrm_jax.serving import served


@pytest.fixture(scope="module")
def client():
    with served.server() as url, httpx.Client(base_url=url, timeout=60) as one:
        yield one


def written(prompt: Prompt, count: int) -> str:
    return "".join(
        piece.text for piece in served.writer().stream(Request(prompt, max_tokens=count))
    )


def events(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.strip().split("\n\n")]


def test_a_text_is_continued(client):
    body = {"prompt": "a<end>b", "n_predict": 7, "temperature": 0}
    found = client.post("/completion", json=body).json()
    assert found["content"] == written(marked_prompt(ByteTokenizer(), "a<end>b"), 7)
    assert (found["stop"], found["stop_type"]) == (True, "limit")
    assert (found["tokens_evaluated"], found["tokens_predicted"]) == (3, 7)
    parts = events(client.post("/completion", json={**body, "stream": True}).text)
    assert "".join(part["content"] for part in parts) == found["content"]
    assert [part["stop"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1]["tokens_predicted"] == 7


def test_nothing_is_written_where_a_prompt_is_only_read(client):
    for verify in (None, {"doctests": True}):
        body = {"input_prefix": "abc", "n_predict": 0, "verify": verify}
        found = client.post("/infill", json=body).json()
        assert found["content"] == ""
        assert found["tokens_predicted"] == 0


def test_a_hole_is_filled_as_llama_vscode_asks(client):
    """The fields of the plugin's requests."""
    body = {
        "input_prefix": "def f():\n",
        "input_suffix": "\nf()\n",
        "input_extra": [{"filename": "g.py", "text": "def g(): pass", "time": 1}],
        "prompt": "    return ",
        "n_predict": 8,
        "top_k": 40,
        "top_p": 0.99,
        "temperature": 0,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 1000,
        "n_indent": 4,
    }
    # This tokenizer has no mark for files, so their texts alone stand before.
    prompt = Prompt("def f():\n    return ", "\nf()\n", neighbours=(("g.py", "def g(): pass"),))
    found = client.post("/infill", json=body).json()
    assert found["content"] == written(prompt, 8)
    assert found["tokens_evaluated"] == len("def g(): pass\n\ndef f():\n    return \nf()\n") + 3
    # Files alone are read before, without a hole.
    before = {"input_prefix": "", "input_suffix": "", "prompt": "", "samplers": [], "n_predict": 0}
    only_read = client.post("/infill", json={**body, **before, "t_max_predict_ms": 1}).json()
    assert (only_read["content"], only_read["tokens_predicted"]) == ("", 0)


def test_parts_of_files_are_chosen_for_a_hole(client):
    files = [
        {"filename": "dates.py", "text": "def parse_date(text):\n    return text.split('/')\n"},
        {"filename": "other.py", "text": "def unrelated(number):\n    return number + number\n"},
    ]
    body = {"input_prefix": "import dates\n\ndue = parse_d", "input_suffix": "\n"}
    found = client.post("/context", json={**body, "input_extra": files, "characters": 80}).json()
    assert found == {"input_extra": [{**files[0], "text": files[0]["text"].rstrip()}]}
    assert client.post("/context", json=body).json() == {"input_extra": []}
    refused = client.post("/context", json={**body, "characters": -1})
    assert refused.status_code == 400
    assert "characters" in refused.json()["error"]["message"]


def test_where_a_file_lies_is_told_to_models_that_know_it(client):
    """This tokenizer has no mark for files, so it changes nothing; too long a path is refused."""
    body = {"input_prefix": "x = ", "input_suffix": "\n", "temperature": 0, "n_predict": 4}
    alone = client.post("/infill", json=body).json()["content"]
    told = client.post("/infill", json={**body, "filename": "a/b.py", "project": "demo"}).json()
    assert told["content"] == alone
    assert client.post("/infill", json={**body, "filename": "a" * 5000}).status_code == 400


def test_a_hole_is_filled_as_llama_vim_asks(client):
    """Fields by their paths, as the plugin reads them; and what it sends to have files read."""
    timings = [
        f"timings/{part}_{name}"
        for part in ("prompt", "predicted")
        for name in ("n", "ms", "per_token_ms", "per_second")
    ]
    fields = ["content", *timings, "truncated", "tokens_cached"]
    body = {
        "input_prefix": "def f():\n",
        "input_suffix": "\nf()\n",
        "input_extra": [{"text": "def g(): pass", "time": [0, 1], "filename": "g.py"}],
        "prompt": "    x = ",
        "n_predict": 3,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.9,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 250,
        "response_fields": [*fields, "nothing/there"],
    }
    found = client.post("/infill", json=body).json()
    assert set(found) == set(fields)
    assert found["timings/predicted_n"] == 3
    before = {"input_prefix": "", "input_suffix": "", "prompt": "", "samplers": [], "n_predict": 0}
    only_read = client.post("/infill", json={**body, **before, "response_fields": [""]})
    assert (only_read.status_code, only_read.json()) == (200, {})


def test_a_text_is_continued_as_continue_asks(client):
    """Marks of its own in the prompt, two dozen stops, and null for what is not set."""
    body = {
        "prompt": "a<end>b",
        "stream": True,
        "n_predict": 6,
        "frequency_penalty": None,
        "presence_penalty": None,
        "min_p": None,
        "mirostat": None,
        "stop": [*(f"<|mark_{n}|>" for n in range(20)), "/src/", "#- coding: utf-8", "```"],
        "top_k": None,
        "top_p": None,
        "temperature": 0,
    }
    parts = events(client.post("/completion", json=body).text)
    text = "".join(part["content"] for part in parts)
    assert text == written(marked_prompt(ByteTokenizer(), "a<end>b"), 6)


def test_a_conversation_is_only_read_as_llama_vscode_asks(client):
    body = {"messages": [{"role": "user", "content": "x"}], "n_predict": 0, "samplers": "edkypmxt"}
    found = client.post("/v1/chat/completions", json=body).json()
    assert found["choices"][0]["message"]["content"] == ""
    assert found["usage"]["completion_tokens"] == 0
    stream = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *parts, done = client.post("/v1/chat/completions", json=stream).text.strip().split("\n\n")
    chunks = events("\n\n".join(parts))
    assert done == "data: [DONE]"
    told = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert told == ["", None]
    assert chunks[-1]["usage"]["completion_tokens"] == 0


def test_what_is_far_from_a_hole_is_left_out(client):
    lines = "".join(f"line {n}\n" for n in range(200))
    body = {"input_prefix": lines, "input_suffix": lines, "n_predict": 8}
    found = client.post("/infill", json=body).json()
    assert 180 < found["tokens_evaluated"] <= served.ROOM - 8


def test_markers_in_a_hole_are_text(client):
    extra = [{"filename": "<end>", "text": "<end>"}]
    body = {"input_prefix": "<end>", "input_suffix": "<end>", "prompt": "<end>", "n_predict": 1}
    found = client.post("/infill", json={**body, "input_extra": extra}).json()
    # Four times as text, the line ends behind a file, and the marks around the hole.
    assert found["tokens_evaluated"] == 4 * len("<end>") + 2 + 3


def test_without_marks_for_holes_the_prefix_is_gone_on_from(client):
    body = {"input_prefix": "x = ", "input_suffix": "\ny", "temperature": 0, "n_predict": 4}
    assert client.post("/infill", json=body).json()["fills_holes"] is True
    with (
        served.server(tokenizer=ByteTokenizer(infilling=None)) as url,
        httpx.Client(base_url=url, timeout=60) as unmarked,
    ):
        found = unmarked.post("/infill", json=body).json()
    assert found["fills_holes"] is False
    assert found["content"] == written(Prompt("x = "), 4)
    assert "fills_holes" not in client.post("/completion", json={"prompt": "x", **body}).json()


def test_a_line_that_took_too_long_is_the_last(client):
    body = {"prompt": "x", "n_predict": -1, "temperature": 1, "seed": 41}  # it writes two lines
    whole = client.post("/completion", json=body).json()["content"]
    any_time = client.post("/completion", json={**body, "t_max_predict_ms": -1}).json()["content"]
    assert any_time == whole
    found = client.post("/completion", json={**body, "t_max_predict_ms": 1}).json()
    assert "\n" in whole
    assert whole.startswith(found["content"])
    assert found["content"].endswith("\n")
    assert len(found["content"]) < len(whole)


def test_how_likely_tokens_are_is_told(client):
    body = {"prompt": "x", "n_predict": 3, "temperature": 0, "n_probs": 2}
    told = client.post("/completion", json=body).json()["completion_probabilities"]
    # The likeliest are drawn.
    assert [one["id"] for one in told] == [one["top_logprobs"][0]["id"] for one in told]
    assert [len(one["top_logprobs"]) for one in told] == [2] * len(told)
    parts = events(client.post("/completion", json={**body, "stream": True}).text)
    streamed = [one for part in parts for one in part.get("completion_probabilities", [])]
    assert streamed == told


def test_texts_become_tokens_and_back(client):
    tokens = client.post("/tokenize", json={"content": "é<end>"}).json()["tokens"]
    assert tokens == [*"é".encode(), 256]
    body = {"content": "é", "with_pieces": True}
    pieces = client.post("/tokenize", json=body).json()["tokens"]
    assert pieces == [{"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}]
    assert client.post("/detokenize", json={"tokens": [104, 105]}).json() == {"content": "hi"}


class SlowTokenizer(ByteTokenizer):
    """Encodes a text only once it is told to."""

    def __init__(self):
        super().__init__()
        self.begun = threading.Event()
        self.goes_on = threading.Event()

    def encode_marked(self, text):
        if text == "slow":
            self.begun.set()
            assert self.goes_on.wait(60)
        return super().encode_marked(text)


@pytest.mark.parametrize(("path", "field"), [("/tokenize", "content"), ("/completion", "prompt")])
def test_others_are_answered_while_a_long_text_is_encoded(path, field):
    tokenizer = SlowTokenizer()
    with (
        served.server(tokenizer=tokenizer) as url,
        httpx.Client(base_url=url, timeout=30) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(client.post, path, json={field: "slow", "n_predict": 1}, timeout=120)
        try:
            assert tokenizer.begun.wait(30)
            assert client.get("/health").status_code == 200
        finally:
            tokenizer.goes_on.set()
        assert slow.result().status_code == 200


def test_the_server_describes_itself(client):
    props = client.get("/props").json()
    assert props["default_generation_settings"]["n_ctx"] == served.ROOM
    assert props["fills_holes"] is True
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/infill", {"n_predict": 255}, "n_predict: expected less than 240, got 255"),
        ("/completion", {"prompt": [999]}, "prompt: expected tokens below 260"),
        ("/completion", {"prompt": "x", "n_probs": 21}, "n_probs: Input should be less"),
        ("/completion", {"prompt": "x", "grammar": "start: (", "json_schema": {}}, "got both"),
        ("/completion", {"prompt": "x", "grammar": "start: ("}, "grammar"),
        ("/detokenize", {"tokens": [260]}, "expected tokens below 260, got 260"),
        ("/completion", {"prompt": [1, "b"]}, "prompt: Input should be a valid string"),
        ("/tokenize", {}, "content: Field required"),
    ],
)
def test_what_cannot_be_done_is_told(client, path, body, told):
    found = client.post(path, json=body)
    assert found.status_code == 400
    assert told in found.json()["error"]["message"]
