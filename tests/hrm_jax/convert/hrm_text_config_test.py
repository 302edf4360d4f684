"""Configs of Hugging Face folders."""

import json
import pathlib

import pytest

from hrm_jax.convert.hrm_text_config import from_hugging_face, to_hugging_face
from hrm_jax.core.config import ConfigError
from hrm_jax.models.hrm_text import HrmTextConfig, hrm_text

PUBLISHED = json.loads(
    (pathlib.Path(__file__).parents[2] / "golden/hrm_text_a/config.json").read_text()
)


def test_a_published_config():
    assert from_hugging_face(PUBLISHED) == HrmTextConfig(
        vocab_size=97,
        hidden_size=32,
        num_heads=2,
        head_size=16,
        mlp_width=64,
        layers_per_stack=1,
        initializer_range=0.02,
        embedding_scale=50.0,
        max_length=64,
        pad_token=0,
        bos_token=1,
        eos_tokens=(2,),
    )


def test_what_is_written_holds_every_field_of_theirs_and_means_the_same():
    written = to_hugging_face(from_hugging_face(PUBLISHED))
    assert PUBLISHED.keys() - written.keys() == {"transformers_version", "use_cache"}
    assert {name: written[name] for name in written if name in PUBLISHED} == {
        name: value for name, value in PUBLISHED.items() if name in written
    }


@pytest.mark.parametrize(
    "config",
    [
        hrm_text("B", embedding_scale=3.0, initializer_range=0.01),
        hrm_text("nano", embedding_scale=3.0, initializer_range=0.01, tie_embeddings=True),
        hrm_text(
            "nano",
            embedding_scale=8.0,
            initializer_range=0.125,
            H_cycles=3,
            L_bp_cycles=(0, 1, 3),
            prefix_lm=False,
            head_size=10,
            eos_tokens=(4, 5),
            compute_dtype="bfloat16",
            rope_theta=5e5,
        ),
    ],
)
def test_round_trip_is_exact(config):
    text = json.dumps(to_hugging_face(config))
    assert from_hugging_face(json.loads(text)) == config


def test_what_is_computed_here_is_written_out():
    written = to_hugging_face(hrm_text("nano"))
    assert written["embedding_scale"] == pytest.approx(192**0.5)
    assert written["initializer_range"] == pytest.approx(192**-0.5)
    assert (written["num_layers_per_stack"], written["num_hidden_layers"]) == (2, 16)


def test_absent_fields_take_their_defaults():
    config = from_hugging_face({"model_type": "hrm_text"})
    assert (config.vocab_size, config.hidden_size, config.mlp_width) == (151808, 1536, 4096)
    assert (config.num_heads, config.head_size, config.layers_per_stack) == (12, 128, 16)
    assert (config.L_bp_cycles, config.input_scale) == ((2,), 50.0)
    assert (config.eos_tokens, config.rope_theta, config.max_length) == ((), 1e4, 2048)


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        ({"num_layers_per_stack": None, "num_hidden_layers": 3}, "layers_per_stack", 3),
        ({"embedding_scale": None}, "input_scale", 50.0),
        ({"embedding_scale": 7}, "input_scale", 7.0),
        ({"L_bp_cycles": None}, "L_bp_cycles", (2,)),
        ({"L_bp_cycles": []}, "L_bp_cycles", ()),
        ({"eos_token_id": [2, 9]}, "eos_tokens", (2, 9)),
        ({"eos_token_id": None}, "eos_tokens", ()),
        ({"rope_parameters": None, "rope_theta": 500.0}, "rope_theta", 500.0),
        ({"dtype": "bfloat16"}, "compute_dtype", "bfloat16"),
        ({"dtype": "float16"}, "compute_dtype", "float32"),
        ({"dtype": None}, "compute_dtype", "float32"),
        ({"hidden_act": "swish"}, "layers_per_stack", 1),
        ({"num_key_value_heads": 2}, "num_heads", 2),
    ],
)
def test_other_spellings(changed, field, value):
    assert getattr(from_hugging_face(PUBLISHED | changed), field) == value


def test_older_names():
    older = {k: v for k, v in PUBLISHED.items() if k not in ("dtype", "rope_parameters")}
    older |= {"torch_dtype": "bfloat16", "rope_theta": 100.0, "rope_scaling": None}
    config = from_hugging_face(older)
    assert (config.compute_dtype, config.rope_theta) == ("bfloat16", 100.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "llama"}, "model_type: expected 'hrm_text', got 'llama'"),
        ({"hidden_act": "gelu"}, r"hidden_act: expected one of \('silu', 'swish'\), got 'gelu'"),
        ({"attention_bias": True}, "attention_bias: expected one of .*got True"),
        ({"mlp_bias": True}, "mlp_bias: expected one of .*got True"),
        ({"is_causal": False}, "is_causal: expected one of .*got False"),
        ({"num_key_value_heads": 1}, "num_key_value_heads: expected num_attention_heads = 2"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type: expected 'default', got 'yarn'"),
        ({"rope_parameters": {"rope_theta": 1.0, "factor": 2}}, "rope_parameters: expected"),
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": None}, "type: expected 'default'"),
        ({"dtype": "float8"}, "dtype: expected one of .*got 'float8'"),
        ({"hidden_sise": 3}, "hidden_sise: unknown field; the nearest is hidden_size"),
        ({"hidden_size": "32"}, "hidden_size: expected int, got '32'"),
        ({"num_attention_heads": 3}, "num_heads: expected a divisor of hidden_size=32"),
        ({"pad_token_id": 97}, "pad_token: expected a token, 0 to vocab_size - 1 = 96, got 97"),
        ({"eos_token_id": "</s>"}, r"eos_tokens\[0\]: expected int, got '</s>'"),
    ],
)
def test_what_is_not_implemented_or_wrong_is_refused_by_name(changed, message):
    with pytest.raises(ConfigError, match=message):
        from_hugging_face(PUBLISHED | changed)
