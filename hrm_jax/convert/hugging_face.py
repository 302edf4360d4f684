"""What Hugging Face folders of language models have in common: `config.json` and its fields.

Unknown fields of a `config.json` that have a value are refused: each may change what the model
computes.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.shards import MAX_SHARD_BYTES, is_weights_file, save_shards
from hrm_jax.convert.weights import Deferred, Weights, WeightsError
from hrm_jax.core.config import ConfigError, check, unknown_field
from hrm_jax.core.files import JsonError, TextError, read_json_object, write_atomically

CONFIG = "config.json"
NOT_READ = {
    *("_name_or_path", "auto_map", "id2label", "label2id", "problem_type"),
    *("output_attentions", "output_hidden_states", "return_dict", "transformers_version"),
    *("use_cache", "torchscript", "use_bfloat16", "tf_legacy_loss", "return_dict_in_generate"),
    *("output_scores", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix"),
    # How to sample, which older configs say too, and not only `generation_config.json`.
    *("temperature", "top_k", "top_p", "typical_p", "do_sample", "num_beams", "num_beam_groups"),
    *("diversity_penalty", "length_penalty", "repetition_penalty", "early_stopping", "max_length"),
    *("min_length", "num_return_sequences", "no_repeat_ngram_size", "begin_suppress_tokens"),
    *("encoder_no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "is_decoder"),
    *("exponential_decay_length_penalty", "remove_invalid_values", "forced_bos_token_id"),
    *("forced_eos_token_id", "decoder_start_token_id", "sep_token_id", "max_new_tokens"),
    # What tools write that made or changed the model, or that run it elsewhere.
    *("unsloth_version", "unsloth_fixed", "_attn_implementation", "_attn_implementation_autoset"),
    *("transformers.js_config", "is_llama_config", "max_sequence_length", "model_max_length"),
    *("_flash_attn_2_enabled", "gradient_checkpointing", "_commit_hash", "attn_implementation"),
    *("internal_version", "neftune_noise_alpha"),
    # Dropout of training; there is none here, and the trained model computes the same.
    *("attention_dropout", "resid_pdrop"),
    # In no class of transformers for these models, or read by none of today.
    *("layer_norm_eps", "pretraining_tp"),
}
"""Fields of any model that do not change what it computes."""
FIXED = {
    "hidden_act": ("silu", "swish"),
    "is_causal": (True, None),
    "is_encoder_decoder": (False,),
    "chunk_size_feed_forward": (0,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
    # Rotary pairs side by side, as in the original Llama, and not half a head apart.
    "rope_interleaved": (False,),
    "use_mrope": (False,),
    "partial_rotary_factor": (1, None),
    "quantization_config": (None,),
    "quantization": (None,),
    "compression_config": (None,),
}
"""Fields that all models here share, with the values that mean what is implemented."""
_QUANTISATIONS = ("quantization_config", "quantization", "compression_config")


def read_config(folder: Path) -> dict[str, Any]:
    """Returns the `config.json` of a folder.

    Raises:
      ConfigError: it is not a JSON object.
      OSError: it is absent or cannot be read.
    """
    try:
        return read_json_object(folder / CONFIG)
    except (JsonError, TextError) as error:
        raise ConfigError("", str(error)) from error


def is_model_file(name: str) -> bool:
    """Returns whether a file of this name is what `write_model` writes."""
    return name == CONFIG or is_weights_file(name)


def save_model(
    folder: str | os.PathLike[str],
    published: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes a folder, which transformers loads: the whole new one or none.

    Args:
      folder: made if absent; replaced if it holds a config and weights alone.
      published: the `config.json`.
      weights: arrays by published name.
      max_shard_bytes: of a file; weights that need several get an index.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    with replacing_folder(folder, is_model_file) as saving:
        write_model(saving, published, weights, max_shard_bytes)


def write_model(
    folder: Path,
    published: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes config and weights into an empty folder.

    Args:
      folder: there already.
      published: the `config.json`.
      weights: arrays by published name.
      max_shard_bytes: of a file; weights that need several get an index.

    Raises:
      OSError: the disk is full or fails.
    """
    write_atomically(folder / CONFIG, json.dumps(published, indent=2) + "\n")
    save_shards(folder, weights, max_shard_bytes)


def without_tied_head(weights: Weights) -> dict[str, np.ndarray | Deferred]:
    """Returns weights without `lm_head.weight`, for a model whose head is the embedding's table.

    Raises:
      WeightsError: there is a head, and it is another table.
    """
    head = weights.get("lm_head.weight")
    table = weights.get("model.embed_tokens.weight")
    # Dropping a head that differs from the embedding would silently change the model.
    if head is not None and (table is None or not np.array_equal(head, table)):
        raise WeightsError(
            "lm_head.weight: expected none, or the embedding's own, as tie_word_embeddings "
            "says; set tie_word_embeddings to false to keep it"
        )
    return {name: array for name, array in weights.items() if name != "lm_head.weight"}


def check_fields(
    published: Mapping[str, Any], read: Collection[str], fixed: Mapping[str, tuple[Any, ...]]
) -> None:
    """Raises ConfigError for a field that is not known, or asks for what is not implemented."""
    classes = published.get("architectures") or []
    # A base model has no head, and the head of a classifier or a reward model is of another kind.
    named = classes if isinstance(classes, list) else [classes]
    check(
        not classes or any(str(name).endswith("ForCausalLM") for name in named),
        "architectures",
        expected="a language model's class, ...ForCausalLM",
        got=classes,
        remedy="take the folder of the language model",
    )
    known = {"architectures", *read, *fixed, *NOT_READ}
    for name, value in published.items():
        # A field without a value asks for nothing.
        if name not in known and value is not None:
            # Only fields that matter are suggested in place of the unknown one.
            unknown = unknown_field(name, sorted(known - NOT_READ))
            remedy = f"if it changes nothing in what the model computes, delete it from {CONFIG}"
            raise ConfigError(name, f"{unknown.problem}; {remedy}")
    for name, values in fixed.items():
        got = published.get(name, values[0])
        if got not in values:
            remedy = "nothing else is implemented"
            if name in _QUANTISATIONS:
                remedy = "take the model's folder without quantisation, or a GGUF file of it"
            # How a model is quantised may take pages.
            raise ConfigError(name, f"expected one of {values}, got {got!r:.200}; {remedy}")


def rope_of(published: Mapping[str, Any], default_theta: float) -> dict[str, Any]:
    """Returns the rotary positions in the new form, whichever form the config has.

    They are a dictionary with `rope_type`, `rope_theta` and the fields of the scaling.

    Raises:
      ConfigError: they are none, or the config states both forms, and not the same in them.
    """
    # A form that is null or empty counts as absent.
    stated = [name for name in ("rope_parameters", "rope_scaling") if published.get(name)]
    theta = published.get("rope_theta", default_theta)
    # The old form has theta beside it, so both are compared as new ones.
    forms = [_rope_form(published[name], theta) for name in stated]
    rope = forms[0] if forms else _rope_form({}, theta)
    for name, form in zip(stated, forms, strict=True):
        check(
            form == rope,
            name,
            expected=f"the same as rope_parameters, {rope}",
            got=form,
            remedy="delete the one that does not hold",
        )
    check(
        published.get("rope_theta") in (None, rope["rope_theta"]),
        "rope_theta",
        expected=f"the same as in rope_parameters, {rope['rope_theta']}",
        got=theta,
        remedy="delete the one that does not hold",
    )
    return rope


def _rope_form(rope: Any, theta: Any) -> dict[str, Any]:
    """Returns one form as the new one; the old one has "type", and theta outside of it."""
    check(
        isinstance(rope, Mapping),
        "rope_parameters",
        expected="rope_type and rope_theta",
        got=rope,
        remedy="nothing else is implemented",
    )
    kind = rope.get("rope_type", rope.get("type", "default"))
    others = {name: value for name, value in rope.items() if name != "type"}
    return {"rope_theta": theta, **others, "rope_type": kind}


def eos_tokens(token: Any) -> list[Any]:
    """Returns `eos_token_id` as a list: the field may hold one token, several or none."""
    return [] if token is None else list(token) if isinstance(token, list | tuple) else [token]


def eos_token_id(tokens: list[int]) -> Any:
    """Returns the inverse of `eos_tokens`."""
    return tokens if len(tokens) > 1 else next(iter(tokens), None)


def compute_dtype(published: Mapping[str, Any]) -> str:
    """Returns the dtype of activations: bfloat16 where the config says so, otherwise float32."""
    # `torch_dtype` is the older name.
    dtype = published.get("dtype", published.get("torch_dtype")) or "float32"
    known = ("float32", "bfloat16", "float16")
    check(dtype in known, "dtype", expected=f"one of {known}", got=dtype, remedy="set one")
    return "bfloat16" if dtype == "bfloat16" else "float32"
