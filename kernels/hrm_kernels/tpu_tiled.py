"""Attention on TPU for long sequences: blocks of keys stream past queries held in VMEM.

Online softmax (FlashAttention-2, arXiv 2307.08691), over the blocks that the mask leaves work in;
layout and walk are told in `tpu_tiling` and `tpu_tiles`.
"""

import functools

import jax.numpy as jnp

from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, case_of
from hrm_kernels.tpu_heads import product
from hrm_kernels.tpu_tiled_backward import backward
from hrm_kernels.tpu_tiles import Visit, Walk, over_tiles
from hrm_kernels.tpu_tiling import MAX_VMEM_BYTES, Arrays, Tiling, tiling_of, vmem_bytes
from hrm_kernels.vjp import differentiable


def refuses(case: Case) -> str | None:
    """Why a case cannot be served, or None."""
    if case.dtype == "float16":
        return "TPUs have no float16 products; cast to bfloat16, or use xla_blocked"
    needed = max(vmem_bytes(tiling_of(case, hold_keys=hold_keys)) for hold_keys in (False, True))
    if needed > MAX_VMEM_BYTES:
        return (
            f"heads that must lie in one block need {needed} bytes of VMEM of {MAX_VMEM_BYTES}; "
            "take head sizes of which a few fill 128 lanes, or xla_blocked"
        )
    return None


def forward(options: Options, operands: Operands):
    """See `operands.Forward`."""
    case = case_of(operands)
    tiling = tiling_of(case, hold_keys=False)
    n, block_q = tiling.query_heads, tiling.block_q
    outputs = [("queries", operands.query.dtype)]
    if options.with_lse:
        outputs.append(("heads", jnp.float32))
    out, *lse = over_tiles(
        Walk(_start, functools.partial(_visit, options.scale), functools.partial(_finish, tiling)),
        tiling,
        options,
        operands,
        (),
        outputs,
        [(n, case.K, block_q), (n, block_q), (n, block_q)],
        hold_keys=False,
        products=2,
    )
    lse = lse[0].reshape(-1, case.N, case.T) if lse else None
    return out.reshape(operands.query.shape), lse


def _start(arrays: Arrays, *references) -> None:
    del arrays
    attended, largest, total = references[-3:]
    attended[...] = jnp.zeros_like(attended)
    largest[...] = jnp.full_like(largest, -jnp.inf)
    total[...] = jnp.zeros_like(total)


def _visit(scale: float, visit: Visit, arrays: Arrays, *references) -> None:
    """Adds a block of keys to the sums of all heads."""
    attended, largest, total = references[-3:]
    allowed, seen = visit.allowed(arrays), visit.seen()
    for group in visit.tiling.groups:
        query, key = arrays.query[0, :, group.queries], arrays.key[0, :, group.keys]
        value = arrays.value[0, :, group.keys]
        value = jnp.where(seen, value, jnp.zeros_like(value)).T
        for i, n in enumerate(group.heads):
            row = slice(n, n + 1)
            scores = product(group.of_key(key, i), group.of_query(query, i), swap_right=True)
            scores = jnp.where(allowed, scores * scale, -jnp.inf)
            new_largest = jnp.maximum(largest[row], scores.max(0, keepdims=True))
            safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
            weights, shrink = jnp.exp(scores - safe), jnp.exp(largest[row] - safe)
            total[row] = total[row] * shrink + weights.sum(0, keepdims=True)
            more = product(group.rows(value, i), weights.astype(value.dtype))
            attended[n] = attended[n] * shrink + more
            largest[row] = new_largest


def _finish(tiling: Tiling, arrays: Arrays, out, *references) -> None:
    del arrays
    *lse, attended, largest, total = references
    for group in tiling.groups:
        parts = []
        for n in group.heads:
            row = slice(n, n + 1)
            parts.append(attended[n] * jnp.where(total[row] > 0, 1 / total[row], 0))
        out[0, :, group.queries] = jnp.concatenate(parts, 0).T.astype(out.dtype)
    for ref in lse:
        ref[0, 0] = largest[...] + jnp.log(total[...])


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
