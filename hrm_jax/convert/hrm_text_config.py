"""HRM-Text's `config.json`, as transformers writes it, to our config and back.

Every field that transformers' `HrmTextConfig` has is translated, or refused where it asks for what
is not implemented here. What is absent takes transformers' default (version 5.23).
"""

from collections.abc import Mapping
from typing import Any

from hrm_jax.convert.hugging_face import (
    FIXED,
    check_fields,
    compute_dtype,
    eos_token_id,
    eos_tokens,
    rope_of,
)
from hrm_jax.core.config import check, from_dict, to_dict
from hrm_jax.models.hrm_text import HrmTextConfig

MODEL_TYPE = "hrm_text"

_RENAMED = {  # theirs: ours
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "head_dim": "head_size",
    "intermediate_size": "mlp_width",
    "num_layers_per_stack": "layers_per_stack",
    "H_cycles": "H_cycles",
    "L_cycles": "L_cycles",
    "L_bp_cycles": "L_bp_cycles",
    "prefix_lm": "prefix_lm",
    "tie_word_embeddings": "tie_embeddings",
    "initializer_range": "initializer_range",
    "embedding_scale": "embedding_scale",
    "rms_norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_length",
    "pad_token_id": "pad_token",
    "bos_token_id": "bos_token",
}
_THEIR_DEFAULTS = {
    "vocab_size": 151808,
    "hidden_size": 1536,
    "num_attention_heads": 12,
    "head_dim": 128,
    "intermediate_size": 4096,
    "max_position_embeddings": 2048,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
}
_THEIR_NUM_LAYERS = 16
_FIXED = {**FIXED, "attention_bias": (False,), "mlp_bias": (False,)}
# The fixed fields of transformers' class; others stand only in files of other tools.
_WRITTEN = ("hidden_act", "is_encoder_decoder", "attention_bias", "mlp_bias")
_READ_APART = {
    "L_bp_steps",  # the research code's export; transformers does not read it
    *("model_type", "num_hidden_layers", "num_key_value_heads", "rope_parameters", "rope_theta"),
    *("rope_scaling", "dtype", "torch_dtype", "eos_token_id"),
}


def from_hugging_face(published: Mapping[str, Any]) -> HrmTextConfig:
    """Returns our config of a `config.json`.

    `compute_dtype` is bfloat16 where the file's `dtype` is; any other computes in float32.

    Raises:
      ConfigError: a field is unknown, of a wrong type, or asks for what is not implemented.
    """
    check(
        published.get("model_type") == MODEL_TYPE,
        "model_type",
        expected=repr(MODEL_TYPE),
        got=published.get("model_type"),
        remedy="load the folder of an HRM-Text model",
    )
    check_fields(published, {*_RENAMED, *_READ_APART}, _FIXED)
    # Where the file leaves a field out, transformers' default holds and not ours.
    given = {**_THEIR_DEFAULTS, **published}
    fields = {ours: given[theirs] for theirs, ours in _RENAMED.items() if theirs in given}
    fields |= {
        "layers_per_stack": _layers(published),
        "rope_theta": _rope_theta(published),
        "eos_tokens": eos_tokens(published.get("eos_token_id")),
        "compute_dtype": compute_dtype(published),
    }
    # A field that is null means the default, as a missing one does.
    if fields.get("L_bp_cycles") is None:
        fields["L_bp_cycles"] = HrmTextConfig.L_bp_cycles
    key_heads = published.get("num_key_value_heads")
    check(
        key_heads in (None, fields["num_heads"]),
        "num_key_value_heads",
        expected=f"num_attention_heads = {fields['num_heads']}",
        got=key_heads,
        remedy="HRM-Text has a key head for each query head",
    )
    return from_dict(HrmTextConfig, fields)


def to_hugging_face(config: HrmTextConfig) -> dict[str, Any]:
    """Returns `config.json` for transformers, without `attention_backend`."""
    ours = to_dict(config)
    return {
        "architectures": ["HrmTextForCausalLM"],
        "model_type": MODEL_TYPE,
        **{theirs: ours[name] for theirs, name in _RENAMED.items()},
        # As numbers: where they are absent, transformers takes defaults that are not ours.
        "initializer_range": config.embedding_std,
        "embedding_scale": config.input_scale,
        # transformers counts every call of a block as a layer of its own, as each has its own
        # cache.
        "num_hidden_layers": config.layers_per_stack * config.schedule.num_calls,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "eos_token_id": eos_token_id(ours["eos_tokens"]),
        "dtype": config.compute_dtype,
        "attention_dropout": 0.0,
        **{name: _FIXED[name][0] for name in _WRITTEN},
    }


def _layers(published: Mapping[str, Any]) -> int:
    """Returns the blocks of a stack; `num_hidden_layers` where `num_layers_per_stack` is absent."""
    layers = published.get("num_layers_per_stack")
    return published.get("num_hidden_layers", _THEIR_NUM_LAYERS) if layers is None else layers


def _rope_theta(published: Mapping[str, Any]) -> Any:
    rope = rope_of(published, HrmTextConfig.rope_theta)
    check(
        rope["rope_type"] == "default",
        "rope_parameters.rope_type",
        expected="'default'",
        got=rope["rope_type"],
        remedy="no other rotary positions are implemented",
    )
    check(
        set(rope) == {"rope_type", "rope_theta"},
        "rope_parameters",
        expected="rope_type and rope_theta",
        got=rope,
        remedy="nothing else is implemented",
    )
    return rope["rope_theta"]
