"""Attention in plain JAX for short sequences: the path of CPU and Metal at the lengths of puzzles.

The formulation is the fastest found on CPU for short sequences (`BUILD.md`, "Benchmarks"). Heads
move to the batch; every product, forward and backward, is a plain batched matrix product whose
left operand is not transposed (XLA has a fast path for these alone), which takes K and S swapped
beforehand in keys, queries and values; the softmax is normalised after the second product, on
[T, K] instead of [T, S]. Query heads that share a key head count as more queries of it: T then
stands for (N / M) * T.

It holds scores [B, N, T, S] and keeps the probabilities for the backward pass, which `MAX_SCORES`
bounds.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from kernels.mask import KeyRanges
from kernels.operands import Case, Operands, Options, expected_gradient

MAX_SCORES = 1024 * 1024
"""Largest T * S served: what one block of the blocked path holds at most."""

WIDE_HEAD = 64
"""Head size from which the backward pass turns the scores instead of queries and cotangents."""


def refuses(case: Case) -> str | None:
    """Why a case cannot be served, or None."""
    if case.T * case.S > MAX_SCORES:
        return (
            f"holds all scores, and T * S = {case.T * case.S} is above {MAX_SCORES}; "
            "use xla_blocked"
        )
    return None


def attend(
    options: Options, operands: Operands
) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"] | None]:
    """Attention; see `operands.Attend`."""
    return _attend(options, operands)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(options: Options, operands: Operands):
    return _forward(options, operands)[0]


def _forward(options: Options, operands: Operands):
    """The results, and what the backward pass needs: operands, weights, their sums, results."""
    operands = _hide(operands)
    query, value = operands.query, operands.value
    B, T, N, _ = query.shape
    M = value.shape[2]
    scores = _product(_rows(query, M), _heads_first_swapped(operands.key))
    scores = scores * options.scale
    if operands.ranges is not None:
        scores = jnp.where(_allowed(operands), scores, -jnp.inf)
    largest = scores.max(-1, keepdims=True)
    if operands.ranges is not None:
        largest = jnp.where(largest > -jnp.inf, largest, 0)
    weights = jnp.exp(scores - largest)
    total = weights.sum(-1, keepdims=True)
    normaliser = 1 / total
    if operands.ranges is not None:
        normaliser = jnp.where(total > 0, normaliser, 0)
    attended = _product(weights.astype(value.dtype), _heads_first(value)) * normaliser
    out = _heads_last(attended, T).astype(query.dtype)
    lse = (jnp.log(total) + largest).reshape(B, N, T)
    return (out, lse if options.with_lse else None), (operands, weights, normaliser, out, lse)


def _backward(options: Options, residuals, cotangents):
    """Cotangents of query, key and value.

    With probabilities P and scores S: dP = dO V^T, dS = P (dP - sum(dO O)), dV = P^T dO,
    dQ = scale dS K and dK = scale dS^T Q.
    """
    operands, weights, normaliser, out, lse = residuals
    query, key, value = operands.query, operands.key, operands.value
    d_out, d_lse = cotangents
    if operands.ranges is not None:
        d_out = jnp.where(_alive(operands.ranges)[:, :, None, None], d_out, 0)
    dtype, (_, T, _, _), M = query.dtype, query.shape, key.shape[2]
    probabilities = weights * normaliser
    expected = expected_gradient(out, d_out, d_lse, lse).reshape(*weights.shape[:3], 1)
    d_probabilities = _product(_rows(d_out, M), _heads_first_swapped(value))
    d_scores = (probabilities * (d_probabilities - expected)).astype(dtype)
    d_query = _heads_last(_product(d_scores, _heads_first(key)) * options.scale, T)
    d_key = _over_queries(d_scores, query, M) * options.scale
    d_value = _over_queries(probabilities.astype(dtype), d_out, M)
    return (Operands(d_query.astype(dtype), d_key.astype(dtype), d_value.astype(dtype)),)


_attend.defvjp(_forward, _backward)


def _allowed(operands: Operands) -> Bool[Array, "B 1 GT S"]:
    """The ranges as a dense mask over the rows of `_rows`."""
    ranges, groups = operands.ranges, operands.query.shape[2] // operands.key.shape[2]
    assert ranges is not None
    position = jnp.arange(operands.key.shape[1], dtype=jnp.int32)[None, None]
    allowed = (ranges.first[..., None] <= position) & (position < ranges.end[..., None])
    return jnp.tile(allowed, (1, groups, 1))[:, None]


def _alive(ranges: KeyRanges) -> Bool[Array, "B T"]:
    return ranges.first < ranges.end


def _hide(operands: Operands) -> Operands:
    """Operands without what the mask hides, lest 0 * NaN let it through."""
    ranges = operands.ranges
    if ranges is None:
        return operands
    groups_1 = Operands(operands.query[:, :, :1], operands.key[:, :, :1], operands.value, ranges)
    seen = _allowed(groups_1)[:, 0].any(1)[:, :, None, None]
    query = jnp.where(_alive(ranges)[:, :, None, None], operands.query, 0)
    key, value = (jnp.where(seen, x, 0) for x in (operands.key, operands.value))
    return Operands(query, key, value, ranges)


def _over_queries(
    weights: Float[Array, "B M GT S"], x: Float[Array, "B T N K"], M: int
) -> Float[Array, "B S M K"]:
    """`weights^T x`: for each key a sum over the queries, those of all heads that share it.

    What is turned beforehand is the smaller: x while heads are narrow, else the weights.
    """
    if x.shape[-1] < WIDE_HEAD:
        return jnp.einsum("BMKS->BSMK", _product(_rows_swapped(x, M), weights))
    return jnp.einsum("BMSK->BSMK", _product(jnp.swapaxes(weights, -1, -2), _rows(x, M)))


def _rows(x: Float[Array, "B T N K"], M: int) -> Float[Array, "B M GT K"]:
    """Heads first, those that share a key head below each other."""
    B, T, N, K = x.shape
    return jnp.einsum("BTNK->BNTK", x).reshape(B, M, N // M * T, K)


def _rows_swapped(x: Float[Array, "B T N K"], M: int) -> Float[Array, "B M K GT"]:
    B, T, N, K = x.shape
    if N == M:
        return _heads_first_swapped(x)
    return jnp.einsum("BTMGK->BMKGT", x.reshape(B, T, M, N // M, K)).reshape(B, M, K, N // M * T)


def _heads_first(x: Float[Array, "B S M K"]) -> Float[Array, "B M S K"]:
    return jnp.einsum("BSMK->BMSK", x)


def _heads_first_swapped(x: Float[Array, "B S M K"]) -> Float[Array, "B M K S"]:
    return jnp.einsum("BSMK->BMKS", x)


def _heads_last(x: Float[Array, "B M GT K"], T: int) -> Float[Array, "B T N K"]:
    B, _, _, K = x.shape
    return jnp.einsum("BNTK->BTNK", x.reshape(B, -1, T, K))


def _product(left: Float[Array, "B M I J"], right: Float[Array, "B M J K"]) -> Array:
    """Batched matrix product with a float32 result."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)
