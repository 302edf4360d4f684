"""Attention on TPU for short sequences: keys and values of all heads whole in VMEM, in one pass.

Each row of the batch is read from HBM once and its result written once; scores never leave VMEM.
The layout, and why the scores are held transposed, is told in `tpu_heads` and `tpu_rows`.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, result_shape
from hrm_kernels.tpu_heads import product
from hrm_kernels.tpu_resident_backward import backward
from hrm_kernels.tpu_rows import MAX_VMEM_BYTES, Row, over_rows, vmem_bytes
from hrm_kernels.vjp import differentiable


def refuses(case: Case) -> str | None:
    """Why a case cannot be served, or None."""
    if case.dtype == "float16":
        return "TPUs have no float16 products; cast to bfloat16, or use xla_short or xla_blocked"
    if vmem_bytes(case) > MAX_VMEM_BYTES:
        return (
            f"holds the scores of all heads, {vmem_bytes(case)} bytes of VMEM of {MAX_VMEM_BYTES}; "
            "use tpu_tiled"
        )
    return None


def forward(options: Options, operands: Operands):
    """See `operands.Forward`."""
    query = operands.query
    B, T, N, K = query.shape
    shapes = (
        result_shape(query, (B, T, N * K), query.dtype),
        result_shape(query, (B, N, T), jnp.float32) if options.with_lse else None,
    )
    body = functools.partial(_attend_row, options.scale)
    out, lse = over_rows(body, options, operands, (), shapes, products=2)
    return out.reshape(query.shape), lse


def _attend_row(scale: float, row: Row, out, lse) -> None:
    """Takes all heads through each phase, so that matrix and vector units work side by side."""
    scores = []
    for group in row.groups:
        query, key = row.query(group), row.key(group)
        for i in range(len(group.heads)):
            left, right = group.of_key(key, i), group.of_query(query, i)
            scores.append(product(left, right, swap_right=True))
    softmaxed = [_softmax(scale, x, row.allowed) for x in scores]
    for group in row.groups:
        value = row.value(group)
        swapped, attended = value.T, []
        for i, n in enumerate(group.heads):
            weights, normaliser, _ = softmaxed[n]
            attended.append(product(group.rows(swapped, i), weights.astype(value.dtype)))
            attended[i] *= normaliser
        out[row.index, :, group.queries] = jnp.concatenate(attended, 0).T.astype(out.dtype)
    if lse is not None:
        lse[row.index] = jnp.concatenate([log for _, _, log in softmaxed], 0)


def _softmax(
    scale: float, scores: Float[Array, "S T"], allowed: Bool[Array, "S T"] | None
) -> tuple[Float[Array, "S T"], Float[Array, "1 T"], Float[Array, "1 T"]]:
    """Weights, the factor that makes their sum 1, and the log-sum-exp."""
    scores = scores * scale
    if allowed is not None:
        scores = jnp.where(allowed, scores, -jnp.inf)
    largest = scores.max(0, keepdims=True)
    if allowed is not None:
        largest = jnp.where(largest > -jnp.inf, largest, 0)
    weights = jnp.exp(scores - largest)
    total = weights.sum(0, keepdims=True)
    normaliser = 1 / total if allowed is None else jnp.where(total > 0, 1 / total, 0)
    return weights, normaliser, largest + jnp.log(total)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
