"""The exactness suite on a small file: equal weights change nothing, narrow ones a little."""

import jax
import pytest

pytest.importorskip("gguf", reason="needs the extra foundation")

from gguf import GGMLQuantizationType as Kind
from rich.console import Console

from experiments.benchmarks import exactness, llama
from hrm_jax.convert.llama import llama_weights
from hrm_jax.models.llama import Llama, LlamaConfig
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf

CONFIG = LlamaConfig(
    vocab_size=len(TOKENS),
    hidden_size=64,
    num_layers=1,
    num_heads=2,
    num_key_heads=1,
    head_size=32,
    mlp_width=64,
    tie_embeddings=False,
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A model, and a text in its few characters."""
    weights = llama_weights(CONFIG, Llama(CONFIG).init(jax.random.key(0)))
    write_gguf(tmp_path / "model.gguf", CONFIG, weights, kind=Kind.Q8_0)
    text = tmp_path / "text.py"
    text.write_text("ab a b c 12 ab " * 8)
    monkeypatch.setattr(exactness, "_TEXT", text)
    return str(tmp_path / "model.gguf")


def test_narrow_weights_are_told_from_widened_ones(path):
    options = exactness.Options([path], tokens=32)
    exact, stored = exactness.run(options, Console(quiet=True))["results"]
    assert exact["same_token"] == 1
    assert exact["divergence"] == 0
    assert exact["logits_rms"] == 0
    assert stored["weights"] == "stored"
    assert 0 < stored["logits_rms"] < 0.1
    assert stored["perplexity"] == pytest.approx(exact["perplexity"], rel=0.02)


def test_bytes_of_a_token_leave_out_the_table_that_is_looked_up(path):
    D, F, V = CONFIG.hidden_size, CONFIG.mlp_width, CONFIG.vocab_size
    panels = -(-V // 16) * 16
    matrices = D * 128 + 64 * D + 3 * D * F + panels * D
    norms = 3 * D * 4
    assert llama.token_bytes(path) == pytest.approx(matrices * 8.5 / 8 + norms)


def test_memory_is_read_at_some_speed():
    assert llama.memory_speed(repeats=1) > 1e8
