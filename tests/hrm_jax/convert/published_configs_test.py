"""`config.json` of much used models, as their publishers and public repositories carry them.

`tests/data/published_configs.json` has a model a line: its name, where its config stands, the
config with all of its fields, and the name that the message of a `refused` one begins with.
"""

import json
import pathlib
import re
from typing import Any

import pytest

from hrm_jax.convert import hrm_text_config, llama_config
from hrm_jax.core.config import ConfigError

DATA = pathlib.Path(__file__).parents[2] / "data/published_configs.json"
MODELS: list[dict[str, Any]] = json.loads(DATA.read_text())
SERVED = [model for model in MODELS if "refused" not in model]
REFUSED = [model for model in MODELS if "refused" in model]


def translation(config) -> Any:
    """Returns the module that translates the configs of a model type."""
    return hrm_text_config if config["model_type"] == "hrm_text" else llama_config


def name(model):
    return model["model"]


def test_there_are_many_of_each_family():
    kinds = [model["config"]["model_type"] for model in MODELS]
    assert len({name(model) for model in MODELS}) == len(MODELS) >= 40
    assert all(kinds.count(kind) >= 5 for kind in llama_config.ARCHITECTURES)


def test_sources_are_named_in_words():
    assert not [m["source"] for m in MODELS if re.search(r"file \d+$", m["source"])]
    assert all("/" in m["source"] for m in MODELS)


@pytest.mark.parametrize("model", SERVED, ids=name)
def test_sizes(model):
    published = model["config"]
    config = translation(published).from_hugging_face(published)
    heads = published["num_attention_heads"]
    assert config.hidden_size == published["hidden_size"]
    assert config.mlp_width == published["intermediate_size"]
    assert config.num_heads == heads
    assert config.head_size == published.get("head_dim", published["hidden_size"] // heads)
    assert config.vocab_size == published["vocab_size"]
    assert config.max_length == published["max_position_embeddings"]
    assert config.tie_embeddings == published.get("tie_word_embeddings", False)
    assert config.rms_norm_eps == published["rms_norm_eps"]


@pytest.mark.parametrize("model", SERVED, ids=name)
def test_positions_and_tokens(model):
    published = model["config"]
    config = translation(published).from_hugging_face(published)
    rope = published.get("rope_parameters") or published
    ends = published["eos_token_id"]
    assert config.rope_theta == rope.get("rope_theta", 10000)
    assert config.bos_token == published["bos_token_id"]
    assert config.eos_tokens == tuple(ends if isinstance(ends, list) else [ends])


@pytest.mark.parametrize(
    "model", [m for m in SERVED if m["config"]["model_type"] != "hrm_text"], ids=name
)
def test_what_llamas_family_alone_has(model):
    published = model["config"]
    config = llama_config.from_hugging_face(published)
    kind = published["model_type"]
    scaling = published.get("rope_scaling") or {}
    assert config.num_layers == published["num_hidden_layers"]
    assert config.num_key_heads == published.get("num_key_value_heads", config.num_heads)
    assert config.window == (published["sliding_window"] if kind == "mistral" else None)
    assert config.qkv_bias == (kind == "qwen2")
    assert config.qk_norm == (kind == "qwen3")
    assert config.rope_scaling.kind == scaling.get("rope_type", scaling.get("type", "default"))
    assert config.rope_scaling.factor == scaling.get("factor", 1.0)


def test_the_published_hrm_text_has_its_layers_in_each_stack():
    [model] = [m for m in SERVED if m["config"]["model_type"] == "hrm_text"]
    config = hrm_text_config.from_hugging_face(model["config"])
    assert config.layers_per_stack == 16
    assert (config.H_cycles, config.L_cycles, config.L_bp_cycles) == (2, 3, (0, 3))


@pytest.mark.parametrize("model", SERVED, ids=name)
def test_what_is_written_means_the_same(model):
    published = model["config"]
    module = translation(published)
    config = module.from_hugging_face(published)
    written = json.loads(json.dumps(module.to_hugging_face(config)))
    assert module.from_hugging_face(written) == config


@pytest.mark.parametrize("model", REFUSED, ids=name)
def test_what_is_not_implemented_is_named(model):
    with pytest.raises(ConfigError, match=f"^{model['refused']}: "):
        llama_config.from_hugging_face(model["config"])
