"""HRM-Text as Hugging Face folders."""

import json

import jax
import numpy as np
import pytest

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.hrm_text import (
    fuse,
    load_hrm_text,
    save_hrm_text,
    split,
)
from hrm_jax.convert.pytorch import text_name, to_state_dict
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig, hrm_text

D = 8
N = 2
K = 6
F = 10
V = 11
CONFIG = hrm_text(
    "nano",
    vocab_size=V,
    hidden_size=D,
    num_heads=N,
    head_size=K,
    mlp_width=F,
    initializer_range=0.25,
    embedding_scale=4.0,
)
LAYER = "model.L_module.layers.1."


def random_variables(config: HrmTextConfig):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(HrmText(config).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def variables():
    return random_variables(CONFIG)


@pytest.fixture
def folder(tmp_path, variables):
    save_hrm_text(tmp_path / "model", CONFIG, variables)
    return tmp_path / "model"


def assert_intact(folder, variables) -> None:
    model, loaded = load_hrm_text(folder)
    assert model == HrmText(CONFIG)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("max_shard_bytes", [10**9, 2000])
def test_round_trip_is_exact(tmp_path, variables, max_shard_bytes):
    save_hrm_text(tmp_path / "model", CONFIG, variables, max_shard_bytes)
    save_hrm_text(tmp_path / "model", CONFIG, variables, max_shard_bytes)  # over the first
    assert_intact(tmp_path / "model", variables)
    assert ((tmp_path / "model" / "model.safetensors.index.json").exists()) == (
        max_shard_bytes == 2000
    )


def test_names_and_shapes_are_the_published_ones(folder):
    found = {k: v.shape for k, v in load_state_dict(folder / "model.safetensors").items()}
    layer = {
        "attn.gqkv_proj.weight": (4 * N * K, D),
        "attn.o_proj.weight": (D, N * K),
        "mlp.gate_up_proj.weight": (2 * F, D),
        "mlp.down_proj.weight": (D, F),
    }
    expected = {
        f"model.{stack}_module.layers.{i}.{name}": shape
        for stack in "HL"
        for i in range(2)
        for name, shape in layer.items()
    }
    expected |= {"model.embed_tokens.weight": (V, D), "lm_head.weight": (V, D)}
    assert found == expected | {"model.z_L_init": (D,)}


def test_names_of_transformers_are_read_as_well(folder, variables):
    path = folder / "model.safetensors"
    published = load_state_dict(path)
    in_memory = split(published)
    parts = {f"self_attn.{p}_proj.weight" for p in ("gate", "q", "k", "v", "o")}
    parts |= {f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")}
    assert {k.removeprefix(LAYER) for k in in_memory if k.startswith(LAYER)} == parts
    query = in_memory[LAYER + "self_attn.q_proj.weight"]
    rows = published[LAYER + "attn.gqkv_proj.weight"][N * K : 2 * N * K]
    np.testing.assert_array_equal(query, rows)
    save_state_dict(path, in_memory)
    assert_intact(folder, variables)


def test_fuse_is_the_inverse_of_split(variables):
    published = to_state_dict(variables, text_name)
    for weights in (fuse(published), fuse(split(published))):
        assert weights.keys() == published.keys()
        jax.tree.map(np.testing.assert_array_equal, weights, published)


def test_tied_weights_have_no_head_and_tolerate_a_copy(tmp_path, variables):
    config = hrm_text("nano", **{**vars(CONFIG), "tie_embeddings": True})
    tied = random_variables(config)
    save_hrm_text(tmp_path / "model", config, tied)
    path = tmp_path / "model" / "model.safetensors"
    weights = load_state_dict(path)
    assert "lm_head.weight" not in weights
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    save_state_dict(path, weights)
    _, loaded = load_hrm_text(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, loaded, tied)
    weights["lm_head.weight"] = weights["lm_head.weight"] + 1
    save_state_dict(path, weights)
    with pytest.raises(WeightsError, match="expected none, or the embedding's own"):
        load_hrm_text(tmp_path / "model")


def test_a_part_that_is_missing_is_named(folder):
    path = folder / "model.safetensors"
    weights = split(load_state_dict(path))
    del weights[LAYER + "self_attn.k_proj.weight"]
    save_state_dict(path, weights)
    with pytest.raises(WeightsError, match=r"layers\.1\.attn\.gqkv_proj\.weight: expected \(48, 8"):
        load_hrm_text(folder)


def test_weights_of_another_config_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 12}))
    with pytest.raises(WeightsError, match=r"lm_head\.weight: expected \(12, 8\), found \(11, 8\)"):
        load_hrm_text(folder)


@pytest.mark.parametrize(("content", "message"), [("{", "expected JSON"), ("[]", "an object")])
def test_a_broken_config_is_refused(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_hrm_text(folder)


def test_a_folder_with_a_tokenizer_is_left_alone(folder, variables):
    (folder / "tokenizer.json").touch()
    with pytest.raises(WeightsError, match=r"found tokenizer\.json; choose another"):
        save_hrm_text(folder, CONFIG, variables)
    assert_intact(folder, variables)


def test_an_absent_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_hrm_text(tmp_path / "absent")
