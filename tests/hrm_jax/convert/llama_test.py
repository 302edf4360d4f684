"""Llama's family as Hugging Face folders."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.llama import llama_variables, llama_weights, load_llama, save_llama
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.models.llama import Llama, LlamaConfig

D = 8
N = 4
M = 2
K = 6
F = 10
V = 11
CONFIG = LlamaConfig(
    vocab_size=V,
    hidden_size=D,
    num_layers=2,
    num_heads=N,
    num_key_heads=M,
    head_size=K,
    mlp_width=F,
    initializer_range=0.25,
)


def random_variables(config: LlamaConfig):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(Llama(config).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def variables():
    return random_variables(CONFIG)


@pytest.fixture
def folder(tmp_path, variables):
    save_llama(tmp_path / "model", CONFIG, variables)
    return tmp_path / "model"


@pytest.mark.parametrize("max_shard_bytes", [10**9, 1000])
@pytest.mark.parametrize(
    "fields",
    [{}, {"qkv_bias": True}, {"qk_norm": True}, {"window": 3, "tie_embeddings": False}],
)
def test_round_trip_is_exact(tmp_path, fields, max_shard_bytes):
    config = dataclasses.replace(CONFIG, **fields)
    variables = random_variables(config)
    for _ in range(2):  # the second over the first
        save_llama(tmp_path / "model", config, variables, max_shard_bytes)
    model, loaded = load_llama(tmp_path / "model")
    assert model == Llama(config)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    index = tmp_path / "model" / "model.safetensors.index.json"
    assert index.exists() == (max_shard_bytes == 1000)


def test_names_and_shapes_are_the_published_ones(folder):
    found = {k: v.shape for k, v in load_state_dict(folder / "model.safetensors").items()}
    layer = {
        "self_attn.q_proj.weight": (N * K, D),
        "self_attn.k_proj.weight": (M * K, D),
        "self_attn.v_proj.weight": (M * K, D),
        "self_attn.o_proj.weight": (D, N * K),
        "mlp.gate_proj.weight": (F, D),
        "mlp.up_proj.weight": (F, D),
        "mlp.down_proj.weight": (D, F),
        "input_layernorm.weight": (D,),
        "post_attention_layernorm.weight": (D,),
    }
    expected = {f"model.layers.{i}.{name}": s for i in range(2) for name, s in layer.items()}
    assert found == expected | {"model.embed_tokens.weight": (V, D), "model.norm.weight": (D,)}


def test_a_copy_of_the_tied_table_is_tolerated_and_another_head_is_not(variables):
    weights = llama_weights(CONFIG, variables)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    found = llama_variables(Llama(CONFIG), weights)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    weights["lm_head.weight"] = weights["lm_head.weight"] + 1
    with pytest.raises(WeightsError, match="expected none, or the embedding's own"):
        llama_variables(Llama(CONFIG), weights)


def test_a_part_that_is_missing_is_named(folder):
    path = folder / "model.safetensors"
    weights = load_state_dict(path)
    del weights["model.layers.1.self_attn.k_proj.weight"]
    save_state_dict(path, weights)
    with pytest.raises(WeightsError, match=r"1\.self_attn\.qkv_proj\.weight: expected \(48, 8\)"):
        load_llama(folder)


def test_weights_of_another_config_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 12}))
    with pytest.raises(WeightsError, match=r"embed_tokens\.weight: expected \(12, 8\), found \(11"):
        load_llama(folder)


def test_what_has_no_published_type_is_not_written(tmp_path, variables):
    config = dataclasses.replace(CONFIG, out_bias=True)
    with pytest.raises(ConfigError, match="expected the biases, norms and window of one of"):
        save_llama(tmp_path / "model", config, random_variables(config))
    assert not (tmp_path / "model").exists()
