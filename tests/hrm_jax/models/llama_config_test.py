"""The checks of Llama's config."""

import pytest

from hrm_jax.core.config import ConfigError, from_json, replace, to_json
from hrm_jax.models.llama import LlamaConfig
from hrm_jax.nn.rope import RopeScaling


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_layers": 0}, "num_layers: expected a positive number, got 0"),
        ({"window": 0}, "window: expected a positive number, got 0"),
        ({"head_size": 5}, "head_size: expected an even number"),
        ({"num_key_heads": 2}, "num_key_heads: expected a divisor of num_heads=9, got 2"),
        ({"compute_dtype": "float16"}, "compute_dtype: expected one of"),
        ({"attention_backend": "cuda"}, "attention_backend: expected one of"),
        ({"bos_token": -1}, "bos_token: expected a token, 0 to vocab_size - 1 = 49151"),
        ({"eos_tokens": (0, 49152)}, r"eos_tokens\[1\]: expected a token"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        LlamaConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_scaling.kind": "yarn"}, r"rope_scaling\.kind"),
        ({"rope_scaling.factor": 0.5}, r"rope_scaling\.factor: expected 1 or more, got 0.5"),
        ({"rope_scaling.high_turns": 1.0}, r"rope_scaling\.high_turns: expected more than"),
        ({"rope_scaling.original_length": 0}, r"rope_scaling\.original_length: expected 1"),
    ],
)
def test_a_scaling_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        replace(LlamaConfig(), fields)


def test_json_holds_everything():
    config = LlamaConfig(window=5, rope_scaling=RopeScaling("linear", 2.0), eos_tokens=(1, 2))
    assert from_json(LlamaConfig, to_json(config)) == config
