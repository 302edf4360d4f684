"""Small GGUF files, written as llama.cpp's converter writes them, with its own package."""

import pathlib
from collections.abc import Mapping
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import quants

from hrm_jax.models.llama import LlamaConfig

TOKENS = ["<|end|>", "<|hole|>", "a", "b", "Ġ", "c", "ab", "Ġab", "1", "2", "12"]
"""A vocabulary: a control token, a user-defined one, four characters, and what they merge to."""
MERGES = ["a b", "Ġ ab", "1 2"]
_CONTROL = 3
_USER_DEFINED = 4
_NORMAL = 1
_ENDINGS = {  # transformers' to llama.cpp's
    "embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: pathlib.Path,
    config: LlamaConfig,
    weights: Mapping[str, np.ndarray],
    *,
    architecture: str = "llama",
    kind: Kind = Kind.F32,
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, tuple[np.ndarray, Kind]] | None = None,
) -> None:
    """Writes a model.

    Args:
      path: of the file.
      config: of the model.
      weights: by transformers' names.
      architecture: what the file says it is.
      kind: how matrices are stored; vectors are float32.
      metadata: strings and numbers to set or change, by whole name; None leaves one out.
      tensors: to add or replace, by llama.cpp's names, as they are to be stored.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in ({**_metadata(architecture, config), **(metadata or {})}).items():
        _add(writer, name, value)
    stored = {}
    for name, array in weights.items():
        module, _, leaf = name.rpartition(".")
        ours = next(end for end in _ENDINGS if module.endswith(end))
        layer = module.split(".")[2] if ".layers." in module else None
        where = _ENDINGS[ours] if layer is None else f"blk.{layer}.{_ENDINGS[ours]}"
        if architecture == "llama" and ours in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = config.num_heads if "q_proj" in ours else config.num_key_heads
            array = pairs_together(array, heads)
        stored[f"{where}.{leaf}"] = array, kind if array.ndim == 2 else Kind.F32
    for name, (array, own_kind) in stored.items():
        if name not in (tensors or {}):
            writer.add_tensor(name, quants.quantize(array, own_kind), raw_dtype=own_kind)
    for name, (array, own_kind) in (tensors or {}).items():
        writer.add_tensor(name, array, raw_dtype=own_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pairs_together(rows: np.ndarray, heads: int) -> np.ndarray:
    """Row i of the first half of a head, then row i of the second; `permute` of llama.cpp."""
    return np.stack(np.split(rows.reshape(heads, -1, *rows.shape[1:]), 2, 1), 2).reshape(rows.shape)


def _metadata(architecture: str, config: LlamaConfig) -> dict[str, Any]:
    of_model = {
        "block_count": config.num_layers,
        "context_length": config.max_length,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.mlp_width,
        "attention.head_count": config.num_heads,
        "attention.head_count_kv": config.num_key_heads,
        "attention.key_length": config.head_size,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
        "rope.dimension_count": config.head_size,
    }
    tokenizer = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": TOKENS,
        "merges": MERGES,
        "token_type": [_CONTROL, _USER_DEFINED] + [_NORMAL] * (len(TOKENS) - 2),
        "eos_token_id": 0,
        "bos_token_id": 1,
    }
    found = {f"{architecture}.{name}": value for name, value in of_model.items()}
    return found | {f"tokenizer.ggml.{name}": value for name, value in tokenizer.items()}


def _add(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    elif value is not None:
        writer.add_array(name, value)
