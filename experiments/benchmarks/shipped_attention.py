"""The attention kernels that JAX ships, on our operands, to compare ours with.

They take heads first, as many key heads as query heads, and lengths in multiples of their blocks;
none of them has prefixes within packed segments, so packed sequences are causal within segments.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import flash_attention as tpu_flash
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel,
    splash_attention_mask,
)
from jaxtyping import Array, Bool, Float, Int

_BLOCK = 512


def flash(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    prefix: Bool[Array, "B T"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    *,
    causal: bool,
) -> Float[Array, "B T N K"]:
    """Returns attention by `pallas.ops.tpu.flash_attention`, in blocks of 512."""
    del prefix
    segments = None if segment_ids is None else tpu_flash.SegmentIds(segment_ids, segment_ids)
    # Shorter sequences are a block by themselves.
    block = min(_BLOCK, query.shape[1])
    names = ["block_q", "block_k_major", "block_k", "block_q_major_dkv", "block_k_major_dkv"]
    names += ["block_k_dkv", "block_q_dkv", "block_k_major_dq", "block_k_dq", "block_q_dq"]
    blocks = tpu_flash.BlockSizes(block_b=1, **dict.fromkeys(names, block))
    out = tpu_flash.flash_attention(
        *_heads_first(query, key, value),
        segment_ids=segments,
        causal=causal or segment_ids is not None,
        sm_scale=query.shape[-1] ** -0.5,
        block_sizes=blocks,
    )
    return jnp.einsum("BNTK->BTNK", out)


def splash(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    prefix: Bool[Array, "B T"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    *,
    causal: bool,
    interpret: bool = False,
) -> Float[Array, "B T N K"]:
    """Returns attention by `pallas.ops.tpu.splash_attention`, in blocks of 512."""
    del prefix
    T, N = query.shape[1:3]
    # A mask of positions for each head; segments are given to the kernel beside it.
    masks: Any = splash_attention_mask
    kind = masks.CausalMask if causal or segment_ids is not None else masks.FullMask
    block = min(_BLOCK, T)
    names = ["block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv"]
    names += ["block_kv_dkv_compute", "block_q_dq", "block_kv_dq"]
    arguments: dict[str, Any] = dict.fromkeys(names, block)
    sizes = splash_attention_kernel.BlockSizes(**arguments)
    kernel = splash_attention_kernel.make_splash_mha(
        mask=masks.MultiHeadMask([kind((T, T))] * N),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=sizes,
        interpret=interpret,
    )
    # Splash attention does not scale the scores, so the queries are scaled.
    heads = _heads_first(query * query.shape[-1] ** -0.5, key, value)
    if segment_ids is None:
        # The kernel has no axis for the batch.
        out = jax.vmap(kernel)(*heads)
    else:
        ids = splash_attention_kernel.SegmentIds(segment_ids, segment_ids)
        out = jax.vmap(kernel)(*heads, ids)
    return jnp.einsum("BNTK->BTNK", out)


def triton(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    prefix: Bool[Array, "B T"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    *,
    causal: bool,
) -> Float[Array, "B T N K"]:
    """Returns attention by `pallas.ops.gpu.attention`, in blocks of 64 forward, of 32 backward.

    Since jax 0.11 it warns of its deprecation when it is imported.
    """
    from jax.experimental.pallas.ops.gpu import attention as gpu_attention  # warns: only where used

    del prefix
    blocks = gpu_attention.BlockSizes(
        block_q=64,
        block_k=64,
        block_q_dkv=32,
        block_kv_dkv=32,
        block_q_dq=32,
        block_kv_dq=32,
    )
    return gpu_attention.mha(
        query,
        *_repeated(query, key, value),
        segment_ids=segment_ids,
        sm_scale=query.shape[-1] ** -0.5,
        causal=causal or segment_ids is not None,
        block_sizes=blocks,
    )


def mosaic(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    *,
    causal: bool,
) -> Float[Array, "B T N K"]:
    """Returns attention by `pallas.ops.gpu.attention_mgpu`: float16, the gradient not causal.

    Needs jax 0.11 or newer.
    """
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    blocks = attention_mgpu.TuningConfig(
        block_q=64,
        block_kv=128,
        max_concurrent_steps=2,
        causal=causal,
        compute_wgs_bwd=2,
        block_q_dkv=64,
        block_kv_dkv=64,
        block_q_dq=64,
        block_kv_dq=64,
    )
    # It does not scale the scores.
    return attention_mgpu.attention(query * query.shape[-1] ** -0.5, key, value, blocks)


SHIPPED = {"tpu": {"flash": flash, "splash": splash}, "gpu": {"triton": triton}}
"""Kernels by the target's family, then by name."""


def _heads_first(query, key, value) -> tuple[Array, ...]:
    return tuple(jnp.einsum("BTNK->BNTK", x) for x in (query, *_repeated(query, key, value)))


def _repeated(query, key, value) -> tuple[Array, ...]:
    # The repeated heads are part of what is timed: these kernels do not know grouped heads.
    groups = query.shape[2] // key.shape[2]
    repeat = functools.partial(jnp.repeat, repeats=groups, axis=2)
    return tuple(map(repeat, (key, value))) if groups > 1 else (key, value)
