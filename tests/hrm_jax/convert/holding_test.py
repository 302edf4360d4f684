"""Weights in a few bits: what is held how, and how far logits are from those of widened weights."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

pytest.importorskip("gguf", reason="needs the extra foundation")

from gguf import GGMLQuantizationType as Kind
from gguf import quants

import hrm_kernels
from hrm_jax.convert import holding
from hrm_jax.convert.language import load_language_model, reason_on, save_language_model
from hrm_jax.convert.llama import llama_variables, llama_weights
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError, replace
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.nn.quantized import ExactScale, QuantizedWeights
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf

CONFIG = LlamaConfig(
    vocab_size=len(TOKENS),
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_key_heads=2,
    head_size=16,
    mlp_width=96,
    bos_token=0,
    eos_tokens=(0,),
)
WEIGHTS = llama_weights(CONFIG, Llama(CONFIG).init(jax.random.key(0)))
TEXT = jnp.asarray([[2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 3, 5]])
ROUNDING = 0.02
"""Largest difference of logits by activations in 8 bits, over their standard deviation. The errors
of a model this narrow average out over 64 features only."""


def is_held(leaf):
    return isinstance(leaf, QuantizedWeights | ExactScale)


def held(loaded):
    parts = loaded.variables.params, loaded.variables.buffers
    return jax.tree.leaves(parts, is_leaf=is_held)


def difference(found, expected):
    """Returns the root mean square difference of logits, over their standard deviation."""
    a = found.model.logits(found.variables, TEXT)
    b = expected.model.logits(expected.variables, TEXT)
    return float(jnp.sqrt(jnp.mean((a - b) ** 2)) / jnp.std(b))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_stored_weights_give_the_logits_of_widened_ones(tmp_path, kind):
    write_gguf(tmp_path / "model.gguf", CONFIG, WEIGHTS, kind=Kind[kind])
    widened = load_language_model(tmp_path / "model.gguf")
    stored = load_language_model(tmp_path / "model.gguf", dtype="stored")
    assert all(map(is_held, held(stored)))
    assert not any(map(is_held, held(widened)))
    assert stored.model == widened.model
    assert difference(stored, widened) < ROUNDING


def test_parts_of_a_fused_matrix_may_have_several_formats(tmp_path):
    values = quants.quantize(WEIGHTS["model.layers.0.self_attn.v_proj.weight"], Kind.Q8_0)
    tensors = {"blk.0.attn_v.weight": (values, Kind.Q8_0)}
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, WEIGHTS, kind=Kind.Q4_0, tensors=tensors)
    stored = load_language_model(path, dtype="stored")
    layers = stored.variables.params["layers"]
    formats = [
        [part.bits for part in layers[i]["self_attn"]["qkv_proj"]["kernel"][...].parts]
        for i in range(2)
    ]
    assert formats == [[4, 8], [4]]
    assert difference(stored, load_language_model(path)) < ROUNDING


def test_what_is_not_quantised_in_the_file_is_float32(tmp_path):
    write_gguf(tmp_path / "model.gguf", CONFIG, WEIGHTS, kind=Kind.F16)
    stored = load_language_model(tmp_path / "model.gguf", dtype="stored")
    assert not any(isinstance(leaf, QuantizedWeights) for leaf in held(stored))
    assert difference(stored, load_language_model(tmp_path / "model.gguf")) < 1e-5


@pytest.mark.parametrize(("dtype", "error"), [("int8", 0.04), ("int4", 0.25)])
def test_other_weights_are_quantised(dtype, error):
    model = Llama(CONFIG)
    variables = llama_variables(model, WEIGHTS, dtype)
    exact = llama_variables(model, WEIGHTS)
    a = model.logits(variables, TEXT)
    b = model.logits(exact, TEXT)
    assert jnp.sqrt(jnp.mean((a - b) ** 2)) < error * jnp.std(b)
    bits = {
        leaf.parts[0].bits
        for leaf in jax.tree.leaves(variables.params, is_leaf=is_held)
        if isinstance(leaf, QuantizedWeights)
    }
    # The table of tokens keeps 8 bits.
    assert bits == ({8} if dtype == "int8" else {4, 8})


def test_rows_that_no_group_fits_stay_as_they_are():
    config = replace(CONFIG, {"hidden_size": 36})
    model = Llama(config)
    variables = llama_variables(model, llama_weights(config, model.init(jax.random.key(1))), "int8")
    kernel = variables.params["layers"][0]["mlp"]["gate_up_proj"]["kernel"][...]
    assert not is_held(kernel)
    assert is_held(variables.params["layers"][0]["mlp"]["down_proj"]["kernel"][...])


def test_auto_is_what_the_machine_is_fast_with(tmp_path, monkeypatch, caplog):
    write_gguf(tmp_path / "model.gguf", CONFIG, WEIGHTS, kind=Kind.Q8_0)
    monkeypatch.setattr(hrm_kernels, "refuses_quantized", lambda: None)
    assert holding.resolved("auto") == "stored"
    monkeypatch.setattr(hrm_kernels, "refuses_quantized", lambda: "no compiler; install g++")
    loaded = load_language_model(tmp_path / "model.gguf", dtype="auto")
    assert not any(map(is_held, held(loaded)))
    assert "weights are widened to float32: no compiler; install g++" in caplog.text


def test_quantised_models_are_not_written(tmp_path):
    write_gguf(tmp_path / "model.gguf", CONFIG, WEIGHTS, kind=Kind.Q8_0)
    stored = load_language_model(tmp_path / "model.gguf", dtype="stored")
    with pytest.raises(WeightsError, match=r'in a few bits.*dtype="float32"'):
        save_language_model(tmp_path / "folder", stored)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("dtype", ["stored", "int8"])
def test_a_model_that_stands_on_a_quantised_one(tmp_path, dtype, frozen):
    write_gguf(tmp_path / "model.gguf", CONFIG, WEIGHTS, kind=Kind.Q8_0)
    foundation = load_language_model(tmp_path / "model.gguf")
    fields = {"layers_per_level": 1, "freeze_foundation": frozen}
    reasoned = reason_on(foundation, jax.random.key(1), **fields)
    # Fresh modules change nothing: these have learned something.
    learned = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 0.02 if "refinement" in jax.tree_util.keystr(path) else x,
        reasoned.variables,
    )
    reasoned = dataclasses.replace(reasoned, variables=learned)
    save_language_model(tmp_path / "reasoned", reasoned)
    found = load_language_model(tmp_path / "reasoned", dtype=dtype)
    assert any(isinstance(leaf, QuantizedWeights) for leaf in held(found)) == (
        frozen or dtype == "int8"
    )
    assert difference(found, load_language_model(tmp_path / "reasoned")) < 2 * ROUNDING


def test_another_holding_is_refused():
    with pytest.raises(ConfigError, match=r"dtype: expected one of .*got 'int2'"):
        holding.resolved("int2")
