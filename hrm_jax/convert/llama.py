"""Llama and its family as Hugging Face folders: `config.json`, and safetensors.

Files hold queries, keys and values apart, and so the SwiGLU's gate and up projections; our models
hold each group as one matrix.
"""

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

from hrm_jax.convert import fusion
from hrm_jax.convert.hugging_face import read_config, save_model, without_tied_head
from hrm_jax.convert.llama_config import from_hugging_face, to_hugging_face
from hrm_jax.convert.pytorch import from_state_dict, text_name, to_state_dict
from hrm_jax.convert.shards import MAX_SHARD_BYTES, load_shards
from hrm_jax.convert.weights import StateDict, Weights
from hrm_jax.core.types import Variables
from hrm_jax.models.llama import Llama, LlamaConfig

_log = logging.getLogger(__name__)
_HEAD = "lm_head.weight"


def llama_variables(model: Llama, weights: Weights, dtype: str = "float32") -> Variables:
    """Returns weights under transformers' names as variables of `model`, held in `dtype`.

    Raises:
      WeightsError: they do not fit the config.
    """
    fused = fusion.fuse(weights, _fusions(model.config))
    if model.config.tie_embeddings:
        fused = without_tied_head(fused)
    return from_state_dict(model, fused, text_name, dtype)


def llama_weights(config: LlamaConfig, variables: Variables) -> StateDict:
    """Returns variables as weights under transformers' names: inverts `llama_variables`."""
    return fusion.split(to_state_dict(variables, text_name), _fusions(config))


def load_llama(folder: str | os.PathLike[str], dtype: str = "float32") -> tuple[Llama, Variables]:
    """Reads a Hugging Face folder, its weights in one file or several, to hold them in `dtype`.

    Raises:
      ConfigError: `config.json` is broken, or asks for what is not implemented.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    folder = Path(folder)
    config = from_hugging_face(read_config(folder))
    # Files of Llama 2 hold the rotary frequencies, which follow from the config.
    weights = {
        name: array
        for name, array in load_shards(folder).items()
        if not name.endswith(".rotary_emb.inv_freq")
    }
    if not config.tie_embeddings and _HEAD not in weights:
        _log.warning(
            "%s: tie_word_embeddings is false and there is no %s: the embedding is the head",
            folder,
            _HEAD,
        )
        config = dataclasses.replace(config, tie_embeddings=True)
    model = Llama(config)
    return model, llama_variables(model, weights, dtype)


def save_llama(
    folder: str | os.PathLike[str],
    config: LlamaConfig,
    variables: Variables,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes a model's Hugging Face folder; see `hugging_face.save_model`.

    Raises:
      ConfigError: no published model type has this config.
    """
    save_model(folder, *published_llama(config, variables), max_shard_bytes)


def published_llama(config: LlamaConfig, variables: Variables) -> tuple[dict[str, Any], StateDict]:
    """Returns the `config.json` and the weights of a model's Hugging Face folder.

    Raises:
      ConfigError: no published model type has this config.
    """
    return to_hugging_face(config), llama_weights(config, variables)


def _fusions(config: LlamaConfig) -> tuple[fusion.Fusion, ...]:
    N = config.num_heads
    M = config.num_key_heads
    # With grouped heads keys and values have fewer rows than queries: M heads for N.
    heads = {f"self_attn.{part}_proj": share for part, share in (("q", N), ("k", M), ("v", M))}
    return (
        fusion.Fusion("self_attn.qkv_proj", heads),
        fusion.Fusion("mlp.gate_up_proj", {"mlp.gate_proj": 1, "mlp.up_proj": 1}),
    )
