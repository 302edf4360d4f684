"""Llama, Qwen2 and Qwen3 in GGUF files, as llama.cpp's converter writes them.

For Llama it reorders the rows of queries and keys: the two rows of each rotated pair lie side by
side. Here, as in transformers, they are half a head apart. Mistral's files have the architecture
"llama".
"""

import dataclasses

import numpy as np

from hrm_jax.convert.gguf_blocks import StoredRows
from hrm_jax.convert.gguf_file import GgufFile, renamed
from hrm_jax.convert.gguf_keys import check_keys, linear_scaling
from hrm_jax.convert.llama import llama_variables
from hrm_jax.convert.weights import Deferred, WeightsError
from hrm_jax.core.config import check, from_dict
from hrm_jax.core.types import Variables
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.nn.rope import RopeScaling, rope_frequencies

ARCHITECTURES = ("llama", "qwen2", "qwen3")

_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_ROPE_DIVISORS = "rope_freqs.weight"
# That of Llama 3.1: files have the divisors alone.
_LLAMA3_LENGTH = 8192


def load_gguf_llama(file: GgufFile, dtype: str = "float32") -> tuple[Llama, Variables]:
    """Reads the model of a file, tensor by tensor, and its variables in `dtype`.

    Raises:
      ConfigError: the file is of another architecture, or asks for what is not implemented.
      WeightsError: its tensors do not fit its config.
    """
    check(
        file.architecture in ARCHITECTURES,
        "general.architecture",
        expected=f"one of {ARCHITECTURES}",
        got=file.architecture,
        remedy="no other is implemented",
    )
    model = Llama(config_of(file))
    # The divisors of the rotary frequencies are no parameters; `_scaling` reads them.
    tensors = {name: array for name, array in file.tensors.items() if name != _ROPE_DIVISORS}
    weights = renamed(tensors, _NAMES, _LAYER_NAMES)
    # Only Llama's rows are reordered by the converter, not Qwen's.
    if file.architecture == "llama":
        heads = {"q": model.config.num_heads, "k": model.config.num_key_heads}
        for name in weights:
            if name.endswith((".q_proj.weight", ".k_proj.weight", ".q_proj.bias", ".k_proj.bias")):
                part = name.split("self_attn.")[1][0]
                weights[name] = _with_halves_apart(weights[name], heads[part])
    return model, llama_variables(model, weights, dtype)


def config_of(file: GgufFile) -> LlamaConfig:
    """Returns our config for a file's metadata and the tensors in it.

    Raises:
      ConfigError: a value is missing, or asks for what is not implemented.
      WeightsError: the file holds no model.
    """
    if "token_embd.weight" not in file.tensors:
        raise WeightsError(
            f"{file.path}: expected a model, found {len(file.tensors)} tensors without "
            "token_embd.weight; a file of the vocabulary alone has no weights: take the model's"
        )
    check_keys(file)
    D = file.of_model("embedding_length")
    N = file.of_model("attention.head_count")
    head_size = file.of_model("attention.key_length", D // N)
    rotated = file.of_model("rope.dimension_count", head_size)
    check(
        rotated == head_size,
        "rope.dimension_count",
        expected=f"the head size {head_size}",
        got=rotated,
        remedy="rotating a part of each head is not implemented",
    )
    # Negative where none is stated.
    tokens = {"bos": file.get("tokenizer.ggml.bos_token_id", -1)}
    tokens |= {"eos": file.get("tokenizer.ggml.eos_token_id", -1)}
    # What the metadata does not state follows from the tensors that are there: biases, norms of
    # queries and keys, and a head of its own.
    fields = {
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": D,
        "num_layers": file.of_model("block_count"),
        "num_heads": N,
        "num_key_heads": file.of_model("attention.head_count_kv", N),
        "head_size": head_size,
        "mlp_width": file.of_model("feed_forward_length"),
        "qkv_bias": "blk.0.attn_q.bias" in file.tensors,
        "out_bias": "blk.0.attn_output.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in file.tensors,
        "qk_norm": "blk.0.attn_q_norm.weight" in file.tensors,
        "window": file.of_model("attention.sliding_window", 0) or None,
        "tie_embeddings": "output.weight" not in file.tensors,
        "rms_norm_eps": file.of_model("attention.layer_norm_rms_epsilon"),
        "rope_theta": file.of_model("rope.freq_base", 1e4),
        "max_length": file.of_model("context_length"),
        "bos_token": None if tokens["bos"] < 0 else tokens["bos"],
        "eos_tokens": [] if tokens["eos"] < 0 else [tokens["eos"]],
    }
    fields["rope_scaling"] = _scaling(file, head_size, fields["rope_theta"])
    return from_dict(LlamaConfig, fields)


def _scaling(file: GgufFile, head_size: int, theta: float) -> RopeScaling:
    """Returns the scaling in the metadata, or that of a tensor of divisors, as in Llama 3.1."""
    linear = linear_scaling(file)
    if _ROPE_DIVISORS not in file.tensors:
        return linear or RopeScaling()
    check(
        linear is None,
        "rope.scaling.factor",
        expected=f"none beside {_ROPE_DIVISORS}",
        got=linear and linear.factor,
        remedy="both together are not implemented",
    )
    divisors = np.asarray(file.tensors[_ROPE_DIVISORS])
    # The largest divisor is that of the slowest frequencies, which Llama 3.1 divides by the whole
    # factor.
    scaling = RopeScaling("llama3", float(divisors.max()), original_length=_LLAMA3_LENGTH)
    expected = scaling.divisors(rope_frequencies(head_size, theta))
    check(
        divisors.shape == expected.shape and np.allclose(divisors, expected, rtol=1e-3),
        _ROPE_DIVISORS,
        expected="the divisors of Llama 3.1",
        got=divisors.tolist(),
        remedy="no others are implemented",
    )
    return scaling


def _with_halves_apart(rows: Deferred, heads: int) -> Deferred:
    """Returns rows of queries or keys with the two of each rotated pair half a head apart."""

    def moved(array: np.ndarray) -> np.ndarray:
        # [heads, pairs, 2, ...] becomes [heads, 2, pairs, ...]. The trailing axes are absent for a
        # bias.
        pairs = array.reshape(heads, -1, 2, *array.shape[1:])
        return np.swapaxes(pairs, 1, 2).reshape(array.shape)

    def moved_rows(part: StoredRows) -> StoredRows:
        return StoredRows(part.kind, lambda: moved(part.read()))

    stored = tuple(map(moved_rows, rows.stored))
    return dataclasses.replace(rows, read=lambda: moved(rows.read()), stored=stored)
