"""The calls of attention that the models make, to be compiled ahead of time.

Operands come as projections leave them, [B, T, N * K], and results are left as the next projection
takes them, so splitting and merging heads is part of the work that is measured.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

import hrm_kernels
from hrm_kernels import quantized_cases
from hrm_kernels.operands import rotate

Function = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class AotCase:
    """One call of attention, forward or with its gradient.

    Attributes:
      name: the model that makes the call.
      mask: "full"; "causal"; or "packed", segments of which each begins with a prefix.
      B: batch.
      T: tokens.
      N: query heads.
      M: key heads.
      K: head size.
      dtype: of the operands.
      rope: whether the rotation is part of it.
    """

    name: str
    mask: str
    B: int
    T: int
    N: int
    M: int
    K: int
    dtype: str = "bfloat16"
    rope: bool = False

    def operands(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Returns the shapes of query, key and value, [B, T, heads * K], and of the mask."""
        query = jax.ShapeDtypeStruct((self.B, self.T, self.N * self.K), self.dtype)
        key = jax.ShapeDtypeStruct((self.B, self.T, self.M * self.K), self.dtype)
        if self.mask != "packed":
            return query, key, key
        tokens = (self.B, self.T)
        marks = jax.ShapeDtypeStruct(tokens, bool)
        ids = jax.ShapeDtypeStruct(tokens, jnp.int32)
        return query, key, key, marks, ids

    def floor_bytes(self, gradient: bool) -> int:
        """Returns the bytes of reading every operand and writing every result once.

        The gradient (forward and backward as one program) reads query, key, value and the result's
        cotangent, and writes three gradients; the result itself is not asked for.
        """
        item = jnp.dtype(self.dtype).itemsize
        query = self.B * self.T * self.N * self.K
        key = self.B * self.T * self.M * self.K
        # Of the query's size: query, cotangent and its gradient, or query and result. Of the key's:
        # key and value, and their gradients.
        return item * (3 * query + 4 * key if gradient else 2 * query + 2 * key)


# The calls of HRM, TRM, HRM-Text, SmolLM2 and of code models with long contexts.
HRM = {"mask": "full", "B": 256, "N": 8, "M": 8, "rope": True}
CASES = {
    case.name: case
    for case in (
        # A Sudoku has 81 cells; HRM puts one token for the puzzle before them, TRM sixteen.
        AotCase("hrm_small_82", T=82, K=32, **HRM),
        AotCase("hrm_82", T=82, K=64, **HRM),
        AotCase("hrm_82_float32", T=82, K=64, dtype="float32", **HRM),
        AotCase("trm_97", T=97, K=64, **HRM),
        AotCase("hrm_text_4096", mask="packed", B=4, T=4096, N=8, M=8, K=128),
        AotCase("smollm2_8192", mask="causal", B=1, T=8192, N=9, M=3, K=64),
        AotCase("code_32768", mask="causal", B=1, T=32768, N=8, M=2, K=128),
        AotCase("code_131072", mask="causal", B=1, T=131072, N=8, M=2, K=128),
    )
}


def rotation(case: AotCase) -> hrm_kernels.Rope | None:
    """Returns tables of any angles, whose shapes alone matter here, or None without rotation."""
    ones = jnp.ones((case.T, case.K), jnp.float32)
    return hrm_kernels.Rope(ones, ones) if case.rope else None


def ours(case: AotCase, backend: str | None, **options: Any) -> Function:
    """Returns `hrm_kernels.attention` on `case.operands()`, by any backend of it.

    `options` is passed on to it.
    """

    def attend(query, key, value, prefix=None, segment_ids=None):
        mask = hrm_kernels.Mask(
            causal=case.mask == "causal", prefix=prefix, segment_ids=segment_ids
        )
        rope = rotation(case)
        return hrm_kernels.attention(
            query, key, value, mask=mask, rope=rope, backend=backend, **options
        )

    return on_projections(case, attend)


def xla(case: AotCase, implementation: Literal["xla", "cudnn"] = "xla") -> Function:
    """Returns `jax.nn.dot_product_attention` on the same operands, with its own form of mask."""

    def attend(query, key, value, prefix=None, segment_ids=None):
        rope = rotation(case)
        if rope is not None:
            query = rotate(query, rope)
            key = rotate(key, rope)
        mask = None
        if segment_ids is not None and prefix is not None:
            position = jnp.arange(case.T, dtype=jnp.int32)
            causal = (position[None] <= position[:, None])[None]
            # Tokens of a prefix see each other in both directions, all others only what is before
            # them, and no token sees another segment.
            both = prefix[:, None] & prefix[:, :, None]
            mask = ((causal | both) & (segment_ids[:, None] == segment_ids[:, :, None]))[:, None]
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            is_causal=case.mask == "causal",
            implementation=implementation,
        )

    return on_projections(case, attend)


def on_projections(case: AotCase, attend: Function) -> Function:
    """Returns attention on [B, T, N, K] as a function of [B, T, N * K]."""

    def attend_merged(query, key, value, *masks):
        # Key and value may have fewer heads, so their number follows from the size of each.
        heads = (x.reshape(case.B, case.T, -1, case.K) for x in (query, key, value))
        return attend(*heads, *masks).reshape(query.shape)

    return attend_merged


def gradient(attend: Function) -> Function:
    """Returns forward and backward as one program: the gradients, given the result's cotangent."""

    def gradients(cotangent, query, key, value, *masks):
        # The masks are closed over, as they have no gradients.
        _, pullback = jax.vjp(functools.partial(_with_masks, attend, masks), query, key, value)
        return pullback(cotangent)

    return gradients


def _with_masks(attend: Function, masks: tuple[Any, ...], query, key, value):
    return attend(query, key, value, *masks)


@dataclasses.dataclass(frozen=True)
class DecodeCase:
    """One step of decoding T tokens, with a full cache.

    Attributes:
      name: the model that decodes.
      B: batch.
      S: room in the cache.
      N: query heads.
      M: key heads.
      K: head size.
      dtype: of all arrays.
    """

    name: str
    B: int
    S: int
    N: int
    M: int
    K: int
    dtype: str = "bfloat16"

    def operands(self, T: int) -> tuple[Any, ...]:
        """Returns the shapes of query, key and value of the new tokens, and of the cache."""
        query = jax.ShapeDtypeStruct((self.B, T, self.N, self.K), self.dtype)
        new = jax.ShapeDtypeStruct((self.B, T, self.M, self.K), self.dtype)
        # By shape alone: a cache of 32,768 tokens is never allocated here.
        sizes = self.B, self.S, self.M, self.K, self.dtype
        return query, new, new, jax.eval_shape(lambda: hrm_kernels.KVCache.empty(*sizes))

    @property
    def floor_bytes(self) -> int:
        """Bytes of reading all keys and values once."""
        return 2 * self.B * self.S * self.M * self.K * jnp.dtype(self.dtype).itemsize


DECODERS = {
    case.name: case
    for case in (
        DecodeCase("decode_code", B=8, S=32768, N=8, M=2, K=128),
        DecodeCase("decode_smollm2", B=1, S=2048, N=9, M=3, K=64),
        DecodeCase("decode_smollm2_float32", B=1, S=2048, N=9, M=3, K=64, dtype="float32"),
        DecodeCase("decode_hrm_text", B=4, S=4096, N=8, M=8, K=128),
    )
}


@dataclasses.dataclass(frozen=True)
class QuantizedCase:
    """One matrix of a model.

    Attributes:
      name: the model, and what the matrix does there.
      form: its type, one of `quantized_cases.FORMS`.
      V: outputs.
      D: inputs.
    """

    name: str
    form: str
    V: int
    D: int

    def operands(self, rows: int, dtype: str) -> tuple[Any, ...]:
        """Returns the shapes of activations and matrix."""
        x = jax.ShapeDtypeStruct((rows, self.D), dtype)
        return x, quantized_cases.shapes(quantized_cases.FORMS[self.form], self.V, self.D)


# Matrices of Qwen2.5-Coder-0.5B and of SmolLM2-135M, in types that their files have, and others.
QUANTIZED = {
    case.name: case
    for case in (
        QuantizedCase("code_query", "Q5_0", 896, 896),
        QuantizedCase("code_key", "Q8_0", 128, 896),
        QuantizedCase("code_gate", "Q5_0", 4864, 896),
        QuantizedCase("code_down", "Q6_K", 896, 4864),
        QuantizedCase("code_down_4", "Q4_K", 896, 4864),
        QuantizedCase("code_down_5", "Q5_K", 896, 4864),
        QuantizedCase("code_tokens", "Q8_0", 151936, 896),
        QuantizedCase("smollm2_query", "Q4_1", 576, 576),
        QuantizedCase("smollm2_key", "Q5_1", 192, 576),
        QuantizedCase("smollm2_gate", "Q4_1", 1536, 576),
        QuantizedCase("smollm2_down", "Q4_0", 576, 1536),
        QuantizedCase("smollm2_tokens", "Q8_0", 49152, 576),
    )
}


def xla_decode(query, key, value, cache: hrm_kernels.KVCache):
    """Takes a step for one token with `jax.nn.dot_product_attention`; returns output and cache."""
    B, _, M, K = key.shape
    row = jnp.arange(B, dtype=jnp.int32)
    heads = [
        # Each row has its own length. A row whose cache is full would write out of bounds: "drop".
        room.at[row, cache.lengths].set(new.reshape(B, M * K), mode="drop").reshape(B, -1, M, K)
        for room, new in ((cache.key, key), (cache.value, value))
    ]
    lengths = cache.lengths + 1
    out = jax.nn.dot_product_attention(query, *heads, key_value_seq_lengths=lengths)
    key, value = (x.reshape(B, -1, M * K) for x in heads)
    return out, hrm_kernels.KVCache(key, value, lengths)
