"""Attention on GPU for long sequences: a program holds a block of queries and loops over keys.

Online softmax (FlashAttention-2, arXiv 2307.08691), over the blocks in which the mask allows
anything. Where there are few queries, as in decoding, the keys are split among several programs,
whose results are combined by their log-sum-exp.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv, joined
from hrm_kernels.gpu_blocks import LOG2_E, Rows, matrix, product_of, span
from hrm_kernels.gpu_tiled_backward import backward
from hrm_kernels.gpu_tiles import power_of_two, tile
from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, case_of, result_shape
from hrm_kernels.vjp import differentiable

MAX_HEAD_BYTES = 512
"""Largest padded head in bytes; the blocks of larger ones do not fit in shared memory."""
PROGRAMS = 264
MIN_SPLIT = 128
"""Number of programs that fill a GPU, about twice its cores, and least keys in a split."""


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    size = power_of_two(case.K) * jnp.dtype(case.dtype).itemsize
    if size > MAX_HEAD_BYTES:
        return f"a head takes {size} bytes, above {MAX_HEAD_BYTES}; use xla_blocked"
    return None


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    case = case_of(operands, options.generation)
    B = operands.query.shape[0]
    T = case.T
    S = case.S
    N = case.N
    K = case.K
    G = case.N // case.M
    cut = tile("tiled", case).within(T, S)
    splits = _splits(cdiv(T, cut.queries) * N * B, S)
    # Splits begin at whole blocks of keys, so no block is shared by two programs.
    chunk = cdiv(cdiv(S, splits), cut.keys) * cut.keys
    product = product_of(operands.query.dtype, options.interpret)
    kernel = functools.partial(_attend, product, options.scale, cut, splits, chunk)
    keys = gpu_blocks.tokens(S, K, lambda n: n // G)
    # Partial results stay in float32 until they are combined.
    dtype = operands.query.dtype if splits == 1 else jnp.float32

    # The first axis of the grid counts blocks of queries and, within each, splits of the keys.
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
        cut,
        grid=(cdiv(T, cut.queries) * splits, N, B),
        in_specs=[
            gpu_blocks.tokens(T, K, lambda n: n),
            keys,
            keys,
            gpu_blocks.per_row(operands.ranges),
        ],
        out_specs=specs,
        out_shape=shapes,
        interpret=options.interpret,
        name="attention_tiled",
    )(operands.query, operands.key, operands.value, operands.ranges)
    out, *lse = joined(out, *lse) if splits > 1 else (x[0] for x in (out, *lse))
    return out.astype(operands.query.dtype), lse[0] if options.with_lse else None


def _attend(product, scale, cut, splits, chunk, query, key, value, ranges, out, *lse) -> None:
    """Computes one block of queries over one split of the keys."""
    T = query.shape[0]
    S = key.shape[0]
    i = pl.program_id(0)
    rows = span(i // splits, cut.queries)
    split = jax.lax.rem(i, splits)
    pairs = Rows(gpu_blocks.ranges_of(ranges, rows, T, S), S, cut.keys)
    # The keys of this split alone.
    pairs = pairs.clipped(split * chunk, (split + 1) * chunk)
    queries = matrix(query, rows, pairs.alive)

    def visit(masked, j, state):
        attended, largest, total = state
        keys = span(j, cut.keys)
        seen = pairs.seen(keys) if masked else None
        scores = product(queries, matrix(key, keys, seen).T) * (scale * LOG2_E)
        if masked:
            scores = jnp.where(pairs.allowed(keys), scores, -jnp.inf)
        # Online softmax: the sums so far are rescaled whenever a block has a larger maximum.
        new_largest = jnp.maximum(largest, scores.max(1))
        safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
        weights = jnp.exp2(scores - safe[:, None])
        shrink = jnp.exp2(largest - safe)
        values = matrix(value, keys, seen)
        attended = attended * shrink[:, None] + product(weights.astype(values.dtype), values)
        return attended, new_largest, total * shrink + weights.sum(1)

    zeros = jnp.zeros(cut.queries, jnp.float32)
    state = jnp.zeros(queries.shape, jnp.float32), zeros - jnp.inf, zeros
    attended, largest, total = pairs.visit_blocks(visit, state)
    # Blocks that are whole for the other queries were not masked, so a query without keys has
    # summed over them, too.
    total = jnp.where(pairs.alive, total, 0)
    attended = jnp.where(total > 0, 1 / total, 0)[:, None] * attended
    gpu_blocks.store_matrix(out, rows, attended)
    for ref in lse:
        natural = (largest + jnp.log2(total)) / LOG2_E
        gpu_blocks.store_vector(ref, rows, jnp.where(total > 0, natural, -jnp.inf))


def _splits(programs: int, S: int) -> int:
    """Returns the number of splits of the keys: more than 1 if queries give too few programs."""
    # As many as fill the card, as long as each has enough keys to be worth a program.
    return max(1, min(PROGRAMS // programs, S // MIN_SPLIT))


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
