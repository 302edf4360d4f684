"""Attention on GPU for long sequences: a program takes a block of queries past blocks of keys.

Online softmax (FlashAttention-2, arXiv 2307.08691), over the blocks that the mask leaves work in.
Where there are few queries, as in decoding, keys are split among several programs as well, whose
results are put together by their log-sum-exp.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv
from hrm_kernels.gpu_blocks import matrix, product, span
from hrm_kernels.gpu_tiled_backward import backward
from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, case_of, result_shape
from hrm_kernels.vjp import differentiable

BLOCK_BYTES = 256
"""Bytes of a block's queries in one of their dimensions, and twice those of its keys."""
MAX_HEAD_BYTES = 512
"""Largest head, padded: blocks of longer ones do not fit in shared memory."""
PROGRAMS, MIN_SPLIT = 264, 512
"""Programs that fill a GPU, twice its cores or so, and least keys in a split."""


def refuses(case: Case) -> str | None:
    """Why a case cannot be served, or None."""
    size = gpu_blocks.power_of_two(case.K) * jnp.dtype(case.dtype).itemsize
    if size > MAX_HEAD_BYTES:
        return f"a head takes {size} bytes, above {MAX_HEAD_BYTES}; use xla_blocked"
    return None


def forward(options: Options, operands: Operands):
    """See `operands.Forward`."""
    case, B = case_of(operands), operands.query.shape[0]
    T, S, N, K, G = case.T, case.S, case.N, case.K, case.N // case.M
    block = BLOCK_BYTES // operands.query.dtype.itemsize
    block_q = min(block, gpu_blocks.power_of_two(T))
    block_k = min(block // 2, gpu_blocks.power_of_two(S))
    splits = _splits(cdiv(T, block_q) * N * B, S)
    chunk = cdiv(cdiv(S, splits), block_k) * block_k
    kernel = functools.partial(_attend, options.scale, block_q, block_k, splits, chunk)
    keys = gpu_blocks.tokens(S, K, lambda n: n // G)
    dtype = operands.query.dtype if splits == 1 else jnp.float32

    def part(i):
        return jax.lax.rem(i, splits)

    outputs = [
        (
            pl.BlockSpec((None, None, T, None, K), lambda i, n, b: (part(i), b, 0, n, 0)),
            result_shape(operands.query, (splits, B, T, N, K), dtype),
        ),
        (
            pl.BlockSpec((None, None, None, T), lambda i, n, b: (part(i), b, n, 0)),
            result_shape(operands.query, (splits, B, N, T), jnp.float32),
        ),
    ]
    specs, shapes = zip(*outputs[: 2 if options.with_lse or splits > 1 else 1], strict=True)
    out, *lse = gpu_blocks.call(
        kernel,
        grid=(cdiv(T, block_q) * splits, N, B),
        in_specs=[
            gpu_blocks.tokens(T, K, lambda n: n),
            keys,
            keys,
            gpu_blocks.per_row(operands.ranges),
        ],
        out_specs=specs,
        out_shape=shapes,
        num_warps=8 if block_q >= 64 else 4,
        num_stages=2,
        interpret=options.interpret,
        name="attention_tiled",
    )(operands.query, operands.key, operands.value, operands.ranges)
    out, *lse = _joined(out, *lse) if splits > 1 else (x[0] for x in (out, *lse))
    return out.astype(operands.query.dtype), lse[0] if options.with_lse else None


def _attend(scale, block_q, block_k, splits, chunk, query, key, value, ranges, out, *lse) -> None:
    """One block of queries and one split of the keys."""
    T, S = query.shape[0], key.shape[0]
    i = pl.program_id(0)
    rows, split = span(i // splits, block_q), jax.lax.rem(i, splits)
    first, end = gpu_blocks.ranges_of(ranges, rows, T, S)
    alive = first < end
    low = jnp.maximum(jnp.min(jnp.where(alive, first, S)), split * chunk)
    high = jnp.minimum(jnp.max(jnp.where(alive, end, 0)), (split + 1) * chunk)
    queries = matrix(query, rows, alive)

    def visit(j, state):
        attended, largest, total = state
        keys = span(j, block_k)
        seen = (low <= keys) & (keys < high)
        scores = product(queries, matrix(key, keys, seen).T) * scale
        allowed = (first[:, None] <= keys[None]) & (keys[None] < end[:, None]) & seen[None]
        scores = jnp.where(allowed, scores, -jnp.inf)
        new_largest = jnp.maximum(largest, scores.max(1))
        safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
        weights, shrink = jnp.exp(scores - safe[:, None]), jnp.exp(largest - safe)
        values = matrix(value, keys, seen)
        attended = attended * shrink[:, None] + product(weights.astype(values.dtype), values)
        return attended, new_largest, total * shrink + weights.sum(1)

    zeros = jnp.zeros(block_q, jnp.float32)
    state = jnp.zeros(queries.shape, jnp.float32), zeros - jnp.inf, zeros
    bounds = low // block_k, jax.lax.div(high + block_k - 1, block_k)
    attended, largest, total = jax.lax.fori_loop(*bounds, visit, state)
    attended = jnp.where(total > 0, 1 / total, 0)[:, None] * attended
    gpu_blocks.store_matrix(out, rows, attended)
    for ref in lse:
        gpu_blocks.store_vector(ref, rows, jnp.where(total > 0, largest + jnp.log(total), -jnp.inf))


def _splits(programs: int, S: int) -> int:
    """Parts of the keys, where queries alone give too few programs."""
    return max(1, min(PROGRAMS // programs, S // MIN_SPLIT))


def _joined(
    out: Float[Array, "C B T N K"], lse: Float[Array, "C B N T"]
) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"]]:
    """Results over all keys from those over parts of them."""
    whole = jax.nn.logsumexp(lse, axis=0)
    shares = jnp.exp(lse - jnp.where(whole > -jnp.inf, whole, 0)[None])
    return jnp.einsum("CBTNK,CBNT->BTNK", out, shares), whole


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
