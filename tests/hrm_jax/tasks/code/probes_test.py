"""What is kept of a model of text at every evaluation, against a plain unrolled computation."""

import json

import jax
import numpy as np
import pytest

from hrm_jax.models.hrm_llama import HrmLlama, HrmLlamaConfig
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.tasks.code.probes import LIKELIEST, PROMPTS, TOKENS, probe
from hrm_jax.tasks.code.samples import Sample
from tests.hrm_jax.inference.text import tiny

TOKENIZER = tiny.ByteTokenizer()
LONG = "x" * (TOKENS + 20)
SAMPLES = [Sample("def f(x):\n", " y", False), Sample(LONG, "", True), Sample("é", "a", False)]
SMALL = LlamaConfig(
    vocab_size=300, hidden_size=16, num_layers=1, num_heads=2, num_key_heads=2, head_size=8,
    mlp_width=16,
)  # fmt: skip


def unrolled(model, variables, text):
    """Logits after a text, and each call's movement at each token, call by call."""
    tokens = np.array([TOKENIZER.encode(text)], np.int32)
    module = model.bind(variables)
    attend = model.config.attention.whole(tokens.shape[1], None, None, None)
    z_H, z_L = (latents := module.initial_latents(tokens)).z_H, latents.z_L
    moved = {"H": [], "L": []}

    def move(name, level, state, other):
        new, _ = level(state, other, attend)
        before, change = (np.linalg.norm(np.array(x[0]), axis=-1) for x in (state, new - state))
        moved[name].append(change / before)
        return new

    for _ in range(model.config.H_cycles):
        for _ in range(model.config.L_cycles):
            z_L = move("L", module.L_module, z_L, z_H)
        z_H = move("H", module.H_module, z_H, z_L)
    return np.array(module.read(z_H))[0, -1], moved


@pytest.fixture(scope="module")
def record():
    model, variables = tiny.hrm_text()
    return probe(model, variables, TOKENIZER, SAMPLES)


def test_it_is_as_computed_call_by_call(record):
    model, variables = tiny.hrm_text()
    for thought, text in zip(record["thoughts"], ("def f(x):\n", LONG[-TOKENS:]), strict=False):
        logits, moved = unrolled(model, variables, text)
        assert thought["tokens"] == list(text)
        shares = np.exp(logits - logits.max())
        best = 100 * np.sort(shares / shares.sum())[::-1][:LIKELIEST]
        np.testing.assert_allclose([percent for _, percent in thought["next"]], best, atol=0.51)
        for name, calls in (("H", 1), ("L", 2)):
            expected = np.minimum(100 * np.array(moved[name]), 999)
            assert expected.shape == (calls, len(text))
            np.testing.assert_allclose(thought[name], expected, atol=0.6)


def test_it_is_json_and_names_every_token(record):
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again == record
    assert again["kind"] == "text"
    assert again["samples"][0] == {"prompt": "def f(x):\n", "completion": " y", "parses": False}
    assert again["thoughts"][2]["tokens"] == ["\ufffd", "\ufffd"]  # bytes of a character
    assert len(again["thoughts"]) == 3
    texts = [text for thought in again["thoughts"] for text, _ in thought["next"]]
    assert all(texts)


def test_models_with_other_levels_or_none():
    llama = Llama(SMALL)
    samples = [Sample(str(n), "", True) for n in range(PROMPTS + 2)]
    found = probe(llama, llama.init(jax.random.key(0)), TOKENIZER, samples)
    assert len(found["samples"]) == PROMPTS + 2
    assert [set(thought) for thought in found["thoughts"]] == [{"tokens", "next"}] * PROMPTS
    config = HrmLlamaConfig(foundation=SMALL, layers_per_level=1, H_cycles=2, L_cycles=3)
    model = HrmLlama(config)
    variables = model.init(jax.random.key(0))
    thought = probe(model, variables, TOKENIZER, samples[:1])["thoughts"][0]
    assert (len(thought["H"]), len(thought["L"])) == (2, 6)
    assert all(0 < percent < 999 for call in thought["H"] + thought["L"] for percent in call)


def test_a_model_that_diverges_has_numbers_all_the_same():
    model, variables = tiny.hrm_text()
    broken = jax.tree.map(lambda x: np.nan * x, variables)
    json.dumps(probe(model, broken, TOKENIZER, SAMPLES), allow_nan=False)
