"""`config.json` of Llama, Mistral, Qwen2 and Qwen3, as transformers writes it, to ours and back.

Every field is translated, or refused where it asks for what is not implemented here. A missing
field takes transformers' default (version 5.24) if that default is the same for every size.
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
from hrm_jax.core.config import ConfigError, check, from_dict, to_dict
from hrm_jax.models.llama import LlamaConfig

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""For each model type, the name of transformers' class."""

_RENAMED = {  # theirs: ours
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_key_heads",
    "head_dim": "head_size",
    "intermediate_size": "mlp_width",
    "tie_word_embeddings": "tie_embeddings",
    "initializer_range": "initializer_range",
    "rms_norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_length",
    "bos_token_id": "bos_token",
    "prefix_lm": "prefix_lm",  # our own, written only where it is on
}
_REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
_THEIR_DEFAULTS = {
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
}
_THEIR_THETA = 1e4
_THEIR_WINDOW = 4096  # Mistral's
_THEIR_QWEN3_HEAD = 128
_FIXED = {**FIXED, "use_sliding_window": (False,)}
_READ_APART = {
    *("model_type", "rope_parameters", "rope_theta", "rope_scaling", "dtype", "torch_dtype"),
    *("eos_token_id", "pad_token_id", "attention_bias", "mlp_bias", "sliding_window"),
    *("max_window_layers", "layer_types"),
}
_SCALINGS = {  # theirs, which ours are called after, and their fields: theirs to ours
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low_freq_factor": "low_turns",
        "high_freq_factor": "high_turns",
        "original_max_position_embeddings": "original_length",
    },
}


def from_hugging_face(published: Mapping[str, Any]) -> LlamaConfig:
    """Returns our config of a `config.json`.

    Raises:
      ConfigError: a field is unknown, missing, of a wrong type, or asks for what is not
        implemented.
    """
    kind = published.get("model_type", "")
    check(
        kind in ARCHITECTURES,
        "model_type",
        expected=f"one of {tuple(ARCHITECTURES)}",
        got=kind,
        remedy="no other family is implemented",
    )
    check_fields(published, {*_RENAMED, *_READ_APART}, _FIXED)
    for name in (*_REQUIRED, "intermediate_size"):
        if published.get(name) is None:
            raise ConfigError(name, "expected a number, got nothing; a config.json has one")
    # Null means the default, as a missing field does.
    given = {**_THEIR_DEFAULTS, **{k: v for k, v in published.items() if v is not None}}
    fields = {ours: given[theirs] for theirs, ours in _RENAMED.items() if theirs in given}
    fields.setdefault("num_key_heads", fields["num_heads"])
    fields.setdefault("head_size", _default_head_size(kind, fields))
    # Qwen2 always has biases of queries, keys and values and none of the output, whatever it
    # states.
    biased = published.get("attention_bias") or False
    fields |= {
        "qkv_bias": kind == "qwen2" or biased,
        "out_bias": kind != "qwen2" and biased,
        "mlp_bias": published.get("mlp_bias") or False,
        "qk_norm": kind == "qwen3",
        "window": _window(kind, published),
        "eos_tokens": eos_tokens(published.get("eos_token_id")),
        "compute_dtype": compute_dtype(published),
        **_rope(published),
    }
    return from_dict(LlamaConfig, fields)


def to_hugging_face(config: LlamaConfig) -> dict[str, Any]:
    """Returns `config.json` for transformers; `attention_backend` is left out.

    The backend depends on the machine, not on the model.

    Raises:
      ConfigError: no model type has this combination of fields.
    """
    kind = _model_type(config)
    ours = to_dict(config)
    scaling = ours["rope_scaling"]
    # The fields of this kind of scaling and no others.
    rope = {theirs: scaling[name] for theirs, name in _SCALINGS[scaling["kind"]].items()}
    rope |= {"rope_type": scaling["kind"], "rope_theta": config.rope_theta}
    published = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        **{theirs: ours[name] for theirs, name in _RENAMED.items()},
        "initializer_range": config.initializer_range or config.hidden_size**-0.5,
        "rope_parameters": rope,
        "eos_token_id": eos_token_id(ours["eos_tokens"]),
        "dtype": config.compute_dtype,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
    }
    # Each model type has only the fields that it reads.
    if kind in ("llama", "qwen3"):
        published["attention_bias"] = config.qkv_bias
    if kind == "llama":
        published["mlp_bias"] = config.mlp_bias
    if kind == "mistral":
        published["sliding_window"] = config.window
    if not config.prefix_lm:
        del published["prefix_lm"]
    return published


def _model_type(config: LlamaConfig) -> str:
    """Returns the model type that has exactly the biases, norms and window of the config."""
    biases = config.qkv_bias, config.out_bias, config.mlp_bias
    # Qwen3's `attention_bias` is of queries, keys, values and the output.
    if config.qk_norm and config.window is None and biases in ((False,) * 3, (True, True, False)):
        return "qwen3"
    if not config.qk_norm and config.window is not None and not any(biases):
        return "mistral"
    if not config.qk_norm and config.window is None:
        # And so is Llama's, one flag for all four.
        if config.qkv_bias == config.out_bias:
            return "llama"
        if biases == (True, False, False):
            return "qwen2"
    raise ConfigError(
        "",
        "expected the biases, norms and window of one of "
        f"{', '.join(ARCHITECTURES)}, got {config}; as a Hugging Face folder there is no other",
    )


def _default_head_size(kind: str, fields: Mapping[str, Any]) -> Any:
    if kind == "qwen3":
        return _THEIR_QWEN3_HEAD
    D = fields["hidden_size"]
    N = fields["num_heads"]
    good = isinstance(D, int) and isinstance(N, int) and N > 0 and D % N == 0
    check(
        good,
        "num_attention_heads",
        expected=f"a divisor of hidden_size={D!r}",
        got=N,
        remedy="or set head_dim",
    )
    return D // N


def _window(kind: str, published: Mapping[str, Any]) -> Any:
    """Returns Mistral's window, which all layers share, or None; `_FIXED` refuses Qwen's."""
    window = published.get("sliding_window", _THEIR_WINDOW) if kind == "mistral" else None
    layers = published.get("layer_types") or []
    wanted = "full_attention" if window is None else "sliding_attention"
    check(
        isinstance(layers, list) and all(layer == wanted for layer in layers),
        "layer_types",
        expected=f"{wanted} in all layers",
        got=f"{layers!s:.80}",
        remedy="windows in some of the layers are not implemented",
    )
    return window


def _rope(published: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `rope_theta` and `rope_scaling` of our config."""
    rope = rope_of(published, _THEIR_THETA)
    kind = rope.pop("rope_type")
    theta = rope.pop("rope_theta")
    check(
        kind in tuple(_SCALINGS),  # a dictionary cannot be asked for a list
        "rope_parameters.rope_type",
        expected=f"one of {tuple(_SCALINGS)}",
        got=kind,
        remedy="no other rotary positions are implemented",
    )
    renamed = _SCALINGS[kind]
    check(
        # An unknown field may change the frequencies, a missing one would be guessed: both are
        # refused.
        set(rope) == set(renamed),
        "rope_parameters",
        expected=f"{', '.join(['rope_type', 'rope_theta', *renamed])}",
        got=sorted(rope),
        remedy="nothing else is implemented",
    )
    scaling = {"kind": kind} | {ours: rope[theirs] for theirs, ours in renamed.items()}
    return {"rope_theta": theta, "rope_scaling": scaling}
