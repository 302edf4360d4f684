"""Configs of Llama's family."""

import json

import pytest

from hrm_jax.convert.llama_config import from_hugging_face, to_hugging_face
from hrm_jax.core.config import ConfigError
from hrm_jax.models.llama import LlamaConfig
from hrm_jax.nn.rope import RopeScaling

DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 100000}
PUBLISHED = {  # as SmolLM2-135M's, and older ones
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "vocab_size": 49152,
}


def test_a_published_config():
    assert from_hugging_face(PUBLISHED) == LlamaConfig(
        initializer_range=0.041666666666666664,
        bos_token=0,
        eos_tokens=(0,),
        compute_dtype="bfloat16",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"qkv_bias": True},
        {"qkv_bias": True, "out_bias": True, "mlp_bias": True, "tie_embeddings": False},
        {"qk_norm": True, "head_size": 32},
        {"window": 100},
        {"rope_scaling": RopeScaling("linear", 3.0)},
        {"rope_scaling": RopeScaling("llama3", 8.0, 1.5, 5.0, 4096), "eos_tokens": (3, 4)},
        {"prefix_lm": True, "num_key_heads": 9, "compute_dtype": "bfloat16"},
    ],
)
def test_round_trip_is_exact(fields):
    config = LlamaConfig(initializer_range=0.02, **fields)
    assert from_hugging_face(json.loads(json.dumps(to_hugging_face(config)))) == config


def test_model_types():
    def kind(**fields):
        return to_hugging_face(LlamaConfig(**fields))["model_type"]

    assert kind() == "llama"
    assert kind(qkv_bias=True) == "qwen2"
    assert kind(qk_norm=True) == "qwen3"
    assert kind(window=5) == "mistral"
    for fields in ({"out_bias": True}, {"window": 5, "qk_norm": True}):
        with pytest.raises(ConfigError, match="as a Hugging Face folder there is no other"):
            kind(**fields)


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        ({"num_key_value_heads": None}, "num_key_heads", 9),
        ({"head_dim": 48}, "head_size", 48),
        ({"head_dim": None}, "head_size", 64),
        ({"attention_bias": True}, "out_bias", True),
        ({"model_type": "qwen2", "sliding_window": 32768, "max_window_layers": 28}, "window", None),
        ({"model_type": "qwen2"}, "qkv_bias", True),
        ({"model_type": "qwen3"}, "head_size", 128),
        ({"model_type": "mistral"}, "window", 4096),
        ({"model_type": "mistral", "sliding_window": None}, "window", None),
        (
            {
                "model_type": "mistral",
                "sliding_window": None,
                "layer_types": ["full_attention"] * 2,
            },
            "window",
            None,
        ),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_theta", 100000.0),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling",
            RopeScaling("linear", 2.0),
        ),
        ({"eos_token_id": [1, 2]}, "eos_tokens", (1, 2)),
        ({"layer_types": ["full_attention"] * 30}, "window", None),
        ({"rope_parameters": DEFAULT_ROPE, "rope_scaling": {}}, "rope_theta", 100000.0),
        (
            {
                "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100000},
                "rope_scaling": {"type": "linear", "factor": 2.0},
            },
            "rope_scaling",
            RopeScaling("linear", 2.0),
        ),
    ],
)
def test_other_spellings(changed, field, value):
    assert getattr(from_hugging_face(PUBLISHED | changed), field) == value


@pytest.mark.parametrize(
    "fields",
    [
        {
            "is_llama_config": True,
            "rope_interleaved": False,
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        },
        {"use_mrope": False, "max_sequence_length": 8192},
        {"unsloth_version": "2025.1", "_attn_implementation_autoset": True},
        {"temperature": 1.0, "do_sample": False, "max_length": 20, "top_p": 1.0, "num_beams": 1},
        {"pruned_heads": {}, "torchscript": False, "tie_encoder_decoder": False},
        {"attention_dropout": 0.1, "resid_pdrop": 0.1, "layer_norm_eps": None},
        {"pretraining_tp": 2},
        {"a_field_of_tomorrow": None},
    ],
    ids=["smollm2", "qwen2.5", "unsloth", "sampling", "old", "seed-coder", "llama2", "no value"],
)
def test_fields_that_change_nothing_are_left_out(fields):
    assert from_hugging_face(PUBLISHED | fields) == from_hugging_face(PUBLISHED)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rope_interleaved": True}, "rope_interleaved: expected one of"),
        ({"use_mrope": True}, "use_mrope: expected one of"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: expected one of"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: .*; take .* GGUF file of it"),
        ({"quantization": {"bits": 4}}, "quantization: expected one of"),
        ({"is_causal": False}, "is_causal: expected one of"),
        ({"model_type": "gemma"}, "model_type: expected one of .*got 'gemma'"),
        ({"hidden_act": "gelu"}, "hidden_act: expected one of"),
        ({"use_sliding_window": True}, "use_sliding_window: expected one of"),
        (
            {"layer_types": ["sliding_attention", "full_attention"]},
            "layer_types: expected full_attention in all layers",
        ),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope_type: expected one of .*'yarn'"),
        ({"rope_scaling": {"type": "linear"}}, "rope_parameters: expected rope_type, rope_theta, "),
        ({"rope_scaling": 7}, "rope_parameters: expected rope_type and rope_theta"),
        (
            {"rope_parameters": DEFAULT_ROPE, "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling: expected the same as rope_parameters, .*factor.*; delete the one",
        ),
        ({"rope_scaling": {"type": []}}, r"rope_type: expected one of .*got \[\]"),
        ({"layer_types": [[]]}, "layer_types: expected full_attention in all layers"),
        ({"layer_types": 7}, "layer_types: expected full_attention in all layers"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}},
            "rope_theta: expected the same as in rope_parameters, 7.0, got 100000",
        ),
        (
            {"hidden_sise": 3},
            "hidden_sise: unknown field; .* hidden_size; if it .* delete it",
        ),
        ({"vocab_size": None}, "vocab_size: expected a number, got nothing"),
        ({"num_attention_heads": 7}, "num_attention_heads: expected a divisor of hidden_size=576"),
        ({"num_key_value_heads": 2}, "num_key_heads: expected a divisor of num_heads=9"),
        ({"dtype": "float8"}, "dtype: expected one of"),
    ],
)
def test_what_is_not_implemented_or_wrong_is_refused_by_name(changed, message):
    with pytest.raises(ConfigError, match=message):
        from_hugging_face(PUBLISHED | changed)
