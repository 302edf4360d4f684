"""Attention on GPU for short sequences: all keys of a head in one block, in one pass.

There is no online softmax. Positions are rotated inside: a rotated head is read as two halves, and
`query key^T` is the sum of the halves' products, so that no element has to move to another column.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float, Int

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv
from hrm_kernels.gpu_blocks import LOG2_E, Product, matrix, product_of, span, vector
from hrm_kernels.gpu_tiles import LITTLE_SHARED, power_of_two, tile
from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, Rope, case_of, result_shape
from hrm_kernels.vjp import differentiable

MAX_LENGTH = 128
MAX_HEAD = 128
"""Longest sequence and largest head whose scores and their gradients fit in registers."""
MAX_EXACT_HEAD = 64
"""Largest head in float32 whose gradient fits in shared memory on any card, with any grouping."""


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    if max(case.T, case.S) > MAX_LENGTH or case.K > MAX_HEAD:
        return f"holds all keys of a head: up to {MAX_LENGTH} of size {MAX_HEAD}; use gpu_tiled"
    # By the gradient's need, which is that of all queries of a group: a case does not say whether
    # it is differentiated.
    little = case.generation in LITTLE_SHARED
    if case.dtype == "float32" and case.K > MAX_EXACT_HEAD and (little or case.N != case.M):
        where = f"on a card of {case.generation}" if little else "with grouped heads"
        return (
            f"float32 heads above {MAX_EXACT_HEAD} take too much shared memory {where}; use "
            "gpu_tiled"
        )
    return None


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    case = case_of(operands, options.generation)
    query = operands.query
    B, T, N, K = query.shape
    S = case.S
    G = case.N // case.M
    cut = tile("resident", case).within(T, S)
    queries = gpu_blocks.tokens(T, K, lambda n: n)
    keys = gpu_blocks.tokens(S, K, lambda n: n // G)
    outputs = [
        (queries, result_shape(query, query.shape, query.dtype)),
        (gpu_blocks.per_query(T), result_shape(query, (B, N, T), jnp.float32)),
    ]
    # Where the log-sum-exp is not asked for, the kernel has no reference to write it to.
    specs, shapes = zip(*outputs[: 2 if options.with_lse else 1], strict=True)
    product = product_of(query.dtype, options.interpret)
    out, *lse = gpu_blocks.call(
        functools.partial(_attend, product, options.scale, cut.queries),
        cut,
        # Blocks of queries, heads, rows of the batch; each program sees all keys of its head.
        grid=(cdiv(T, cut.queries), N, B),
        in_specs=[queries, keys, keys, *_shared_specs(operands)],
        out_specs=specs,
        out_shape=shapes,
        interpret=options.interpret,
        name="attention_resident",
    )(query, operands.key, operands.value, operands.ranges, operands.rope)
    return out, lse[0] if options.with_lse else None


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes its cotangents; see `operands.Backward`."""
    del out
    case = case_of(operands, options.generation)
    query = operands.query
    B = query.shape[0]
    T = case.T
    S = case.S
    M = case.M
    K = case.K
    G = case.N // case.M
    # A program sees all query heads that share its key head.
    queries = gpu_blocks.tokens(T, K, lambda m: m, G)
    keys = gpu_blocks.tokens(S, K, lambda m: m)
    heads = gpu_blocks.per_query(T, G)
    primals = query, operands.key, operands.value
    product = product_of(query.dtype, options.interpret)
    return gpu_blocks.call(
        functools.partial(_differentiate, product, options.scale),
        tile("resident_backward", case),
        grid=(1, M, B),
        in_specs=[
            *(queries, keys, keys, *_shared_specs(operands), heads, queries),
            None if d_lse is None else heads,
        ],
        out_specs=(queries, keys, keys),
        out_shape=tuple(result_shape(x, x.shape, x.dtype) for x in primals),
        interpret=options.interpret,
        name="attention_resident_backward",
    )(*primals, operands.ranges, operands.rope, lse, d_out, d_lse)


def _shared_specs(operands: Operands) -> tuple[Any, Any]:
    """Returns the blocks of the ranges and of the rotary tables, which all heads share."""
    return gpu_blocks.per_row(operands.ranges), jax.tree.map(
        lambda x: pl.BlockSpec(x.shape, lambda *_: (0, 0)), operands.rope
    )


def _attend(product, scale, block_q, query, key, value, ranges, rope, out, *lse) -> None:
    """Computes a block of queries of a head."""
    pairs = _Pairs(query.shape[0], key.shape[0], block_q, pl.program_id(0), ranges)
    turn = _Turn(rope, query.shape[-1], product)
    queries = turn.read(query, pairs.rows, pairs.alive)
    keys = turn.read(key, pairs.keys, pairs.seen)
    scores = (scale * LOG2_E) * turn.products(queries, keys)
    scores = jnp.where(pairs.allowed, scores, -jnp.inf)
    # A query without keys has -inf for its maximum, and -inf - -inf would be NaN.
    largest = scores.max(1)
    largest = jnp.where(largest > -jnp.inf, largest, 0)
    weights = jnp.exp2(scores - largest[:, None])
    total = weights.sum(1)
    values = matrix(value, pairs.keys, pairs.seen)
    attended = product(weights.astype(values.dtype), values)
    # Normalised after the product: there are fewer numbers in [T, K] than in [T, S].
    attended = attended * jnp.where(total > 0, 1 / total, 0)[:, None]
    gpu_blocks.store_matrix(out, pairs.rows, attended)
    # `lse` holds the reference to the second result, or nothing where it is not asked for.
    for ref in lse:
        gpu_blocks.store_vector(ref, pairs.rows, (largest + jnp.log2(total)) / LOG2_E)


def _differentiate(
    product, scale, query, key, value, ranges, rope, lse, d_out, d_lse, d_query, d_key, d_value
) -> None:
    """Computes all gradients of the query heads that share a key head.

    With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e)
    with e = sum(P dP) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO.
    """
    T, G, K = query.shape
    S = key.shape[0]
    # All queries are one block here, so the gradients of keys and values are complete.
    pairs = _Pairs(T, S, power_of_two(T), 0, ranges)
    turn = _Turn(rope, K, product)
    keys = turn.read(key, pairs.keys, pairs.seen)
    values = matrix(value, pairs.keys, pairs.seen)
    for_key = [jnp.zeros(part.shape, jnp.float32) for part in keys]
    for_value = jnp.zeros(values.shape, jnp.float32)
    # One program per key head, so that the sums over its query heads need no atomics.
    for g in range(G):
        queries = turn.read(query, pairs.rows, pairs.alive, g)
        cotangents = matrix(d_out, pairs.rows, pairs.alive, head=g)
        scores = (scale * LOG2_E) * turn.products(queries, keys)
        # The log-sum-exp is natural, the scores are in base 2.
        exponents = scores - LOG2_E * vector(lse, pairs.rows, g)[:, None]
        # Chosen after the exponential, which is infinite for a query without keys: its lse is -inf.
        weights = jnp.where(pairs.allowed, jnp.exp2(exponents), 0)
        d_weights = product(cotangents, values.T)
        # All keys are at hand, so the row term is summed here and `out` is not read.
        expected = (weights * d_weights).sum(1)
        if d_lse is not None:
            expected = expected - jnp.where(pairs.alive, vector(d_lse, pairs.rows, g), 0)
        d_scores = (scale * weights * (d_weights - expected[:, None])).astype(query.dtype)
        # Complete at once, as all keys were seen.
        turn.write(d_query, pairs.rows, [product(d_scores, part) for part in keys], g)
        gradients = (product(d_scores.T, part) for part in queries)
        for_key = [total + more for total, more in zip(for_key, gradients, strict=True)]
        for_value = for_value + product(weights.astype(cotangents.dtype).T, cotangents)
    turn.write(d_key, pairs.keys, for_key)
    gpu_blocks.store_matrix(d_value, pairs.keys, for_value)


class _Pairs:
    """A block of queries, and all keys.

    Attributes:
      rows: positions of the queries.
      alive: whether a query exists and has keys.
      keys: positions of the keys.
      seen: whether any query of the block sees a key; with a `Mask`, the keys of a block of
        queries have no gaps between them.
      allowed: [T, S], whether a query sees a key.
    """

    def __init__(self, T: int, S: int, block_q: int, block: Any, ranges: Any):
        self.rows: Int[Array, " T"] = span(block, block_q)
        # Those beyond S do not exist, and are never among the `seen`.
        self.keys: Int[Array, " S"] = span(0, power_of_two(S))
        first, end = gpu_blocks.ranges_of(ranges, self.rows, T, S)
        self.alive: Bool[Array, " T"] = first < end
        low = jnp.min(jnp.where(self.alive, first, S))
        high = jnp.max(jnp.where(self.alive, end, 0))
        self.seen: Bool[Array, " S"] = (low <= self.keys) & (self.keys < high)
        allowed = (first[:, None] <= self.keys[None]) & (self.keys[None] < end[:, None])
        self.allowed: Bool[Array, "T S"] = allowed


class _Turn:
    """Reads and writes heads of size K in parts: two halves where there is a rotation, else one."""

    def __init__(self, rope: Rope | None, K: int, product: Product):
        self._rope = rope
        self._product = product
        self._parts = [range(K)] if rope is None else [range(K // 2), range(K // 2, K)]

    def read(self, ref, rows, wanted, head=None) -> list[Float[Array, "L P"]]:
        """Returns the parts of a head, rotated; rows that are not wanted are zero."""
        parts = [matrix(ref, rows, wanted, columns, head) for columns in self._parts]
        if self._rope is None:
            return parts
        cos, sin = self._tables(rows)
        first, second = (part.astype(jnp.float32) for part in parts)
        # In float32, and rounded once to the operands' dtype, as `operands.rotate` does.
        turned = first * cos - second * sin, second * cos + first * sin
        return [part.astype(ref.dtype) for part in turned]

    def write(self, ref, rows, parts: list[Float[Array, "L P"]], head=None) -> None:
        """Writes gradients of what `read` returned, as gradients of what it had read.

        The transpose of a rotation is the rotation by the opposite angle.
        """
        if self._rope is not None:
            cos, sin = self._tables(rows)
            first, second = parts
            parts = [first * cos + second * sin, second * cos - first * sin]
        for part, columns in zip(parts, self._parts, strict=True):
            gpu_blocks.store_matrix(ref, rows, part, columns, head)

    def products(self, queries, keys) -> Float[Array, "T S"]:
        """Returns `query key^T`, the sum of the products of their parts."""
        found = [self._product(q, k.T) for q, k in zip(queries, keys, strict=True)]
        return sum(found[1:], found[0])

    def _tables(self, rows):
        # The tables' second half repeats the first, so one half of the columns serves both parts.
        assert self._rope is not None
        tables = self._rope.cos, self._rope.sin
        return (matrix(table, rows, rows < table.shape[0], self._parts[0]) for table in tables)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
