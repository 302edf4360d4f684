"""Attention in plain JAX for short sequences: the path of CPU and Metal at the lengths of puzzles.

The formulation is the fastest found on CPU for short sequences (`BUILD.md`, "Benchmarks"). Heads
move next to the batch once. No product contracts its operands' first matrix axis, which XLA is slow
at; the backward pass therefore holds scores as [S, T]. The softmax is normalised after the second
product, on [T, K] and not on [T, S]. Query heads that share a key head count as more queries of it:
T then stands for (N / M) * T.

On CPU a few rows of the batch are computed at a time, as many as have their scores, [B, N, T, S],
in the cache: this is faster than saving a product by keeping all scores for the backward pass.

XLA on CPU gives products and reductions to a library, together with the element-wise operations
between them where it can, at which the library is slower than XLA itself. It cannot give away a
`where`: two of those below stand on every path for that reason, though only a mask needs them.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hrm_kernels.exponential import exp2
from hrm_kernels.mask import KeyRanges
from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options
from hrm_kernels.vjp import differentiable

MAX_SCORES = 1024 * 1024
"""Largest T * S served, as the scores of a whole row are held at once."""
CACHE_BYTES = 2 * 2**20
"""Memory on CPU for scores and for arrays of their size: one or two second-level caches."""
_SIDE_BY_SIDE = 2
"""Chunks computed at once on CPU. XLA runs a product of many small matrices on one thread, but two
such products on a thread each. Products of matrices too large for the cache use all threads."""
LOG2_E = math.log2(math.e)


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    if case.T * case.S > MAX_SCORES:
        return (
            f"holds all scores, and T * S = {case.T * case.S} is above {MAX_SCORES}; "
            "use xla_blocked"
        )
    return None


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    out, lse = _by_rows(functools.partial(_attend, options.scale), 1, operands)
    return out, lse if options.with_lse else None


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes its cotangents; see `operands.Backward`."""
    function = functools.partial(_differentiate, options.scale)
    return _by_rows(function, 2, operands, lse, d_out, d_lse)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))


def _attend(scale: float, operands: Operands) -> tuple[Array, Array]:
    """Returns `out` and the log-sum-exp."""
    operands = _hide(operands)
    query = operands.query
    value = operands.value
    B, T, N, _ = query.shape
    # The maximum is taken of the scores before scaling, so the scale must be positive: a negative
    # sign moves into the query, and a zero scale becomes a zero query with scale 1.
    if scale <= 0:
        query = query * float(np.sign(scale))
        scale = abs(scale) or 1.0
    scores = _products(_rows(query, value.shape[2]), _heads_first(operands.key))
    if operands.ranges is not None:
        scores = jnp.where(_allowed(operands), scores, -jnp.inf)
    # Subtracting the maximum keeps every power within (0, 1]. One factor does both: scaling, and
    # the change of base from e to 2.
    largest = scores.max(-1, keepdims=True)
    # One of the two unmasked `where`s of the module's docstring.
    largest = jnp.where(largest > -jnp.inf, largest, 0)
    weights = exp2((scores - largest) * (scale * LOG2_E))
    total = weights.sum(-1, keepdims=True)
    normaliser = 1 / total
    if operands.ranges is not None:
        normaliser = jnp.where(total > 0, normaliser, 0)
    # Normalised after the product, which is [T, K], and not before it on weights [T, S].
    attended = _product(weights.astype(value.dtype), _heads_first(value)) * normaliser
    lse = (jnp.log(total) + largest * scale).reshape(B, N, T)
    return _heads_last(attended, T).astype(query.dtype), lse


def _differentiate(
    scale: float, operands: Operands, lse, d_out, d_lse
) -> tuple[Array, Array, Array]:
    """Returns cotangents of query, key and value.

    With probabilities P and scores S: dP = dO V^T, dS = P (dP - sum(P dP)), dV = P^T dO,
    dQ = scale dS K and dK = scale dS^T Q.
    """
    operands = _hide(operands)
    query = operands.query
    key = operands.key
    value = operands.value
    dtype = query.dtype
    B, T, _, _ = query.shape
    M = key.shape[2]
    # A query without keys may carry NaN in its cotangent, and 0 * NaN would reach dK and dV.
    if operands.ranges is not None:
        d_out = jnp.where(_alive(operands.ranges)[:, :, None, None], d_out, 0)
    rows = _rows(query, M)
    cotangents = _rows(d_out, M)
    keys = _heads_first(key)
    values = _heads_first(value)
    lse = lse.reshape(B, M, 1, -1)
    # For queries without keys lse is -inf, and -inf - -inf would be NaN.
    alive = lse > -jnp.inf
    exponents = (_products(keys, rows) * scale - jnp.where(alive, lse, 0)) * LOG2_E
    if operands.ranges is not None:
        allowed = jnp.swapaxes(_allowed(operands), -1, -2)
        exponents = jnp.where(allowed, exponents, -jnp.inf)
    probabilities = exp2(exponents)
    d_probabilities = _products(values, cotangents)
    # All scores are at hand, so the row term is summed here and `out` need not be read.
    expected = (probabilities * d_probabilities).sum(-2, keepdims=True)
    expected = jnp.where(
        alive, expected if d_lse is None else expected - d_lse.reshape(lse.shape), 0
    )
    d_scores = (probabilities * (d_probabilities - expected)).astype(dtype)
    d_query = _heads_last(_product(_turned(d_scores), keys) * scale, T)
    d_key = jnp.einsum("BMSK->BSMK", _product(d_scores, rows) * scale)
    d_value = jnp.einsum("BMSK->BSMK", _product(probabilities.astype(dtype), cotangents))
    return d_query.astype(dtype), d_key.astype(dtype), d_value.astype(dtype)


def _by_rows(function: Callable[..., Any], held: int, operands: Operands, *others: Any) -> Any:
    """Returns `function` of the whole batch, computed a few rows at a time on CPU.

    `held` is how many arrays of the scores' size it holds at once.
    """
    arrays = operands, *others
    B, T, N, _ = operands.query.shape
    fitting = CACHE_BYTES // (4 * held * N * T * operands.key.shape[1])
    # Two rows or more: with one, XLA drops the axis and transposes the products.
    most = max(2, fitting)
    if most >= B or jax.default_backend() != "cpu":
        return function(*arrays)
    divisor = next((rows for rows in range(most, 1, -1) if B % rows == 0), 0)
    # A divisor of B leaves no rest, whose results would be joined by copying everything; it is
    # worth chunks of down to half the size.
    rows = divisor if 2 * divisor >= most else most
    whole = B // rows * rows
    chunks = jax.tree.map(lambda x: x[:whole].reshape(-1, rows, *x.shape[1:]), arrays)
    side_by_side = math.gcd(_SIDE_BY_SIDE, B // rows) if fitting else 1
    _, results = jax.lax.scan(
        lambda _, chunk: (None, function(*chunk)), None, chunks, unroll=side_by_side
    )
    results = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), results)
    if whole == B:
        return results
    rest = function(*jax.tree.map(lambda x: x[whole:], arrays))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), results, rest)


def _allowed(operands: Operands) -> Bool[Array, "B 1 GT S"]:
    """Returns the ranges as a dense mask for the rows of `_rows`."""
    ranges = operands.ranges
    groups = operands.query.shape[2] // operands.key.shape[2]
    assert ranges is not None
    position = jnp.arange(operands.key.shape[1], dtype=jnp.int32)[None, None]
    allowed = (ranges.first[..., None] <= position) & (position < ranges.end[..., None])
    return jnp.tile(allowed, (1, groups, 1))[:, None]


def _alive(ranges: KeyRanges) -> Bool[Array, "B T"]:
    return ranges.first < ranges.end


def _hide(operands: Operands) -> Operands:
    """Returns the operands with masked-out entries zeroed, as 0 * NaN would let them through."""
    ranges = operands.ranges
    if ranges is None:
        return operands
    groups_1 = Operands(operands.query[:, :, :1], operands.key[:, :, :1], operands.value, ranges)
    seen = _allowed(groups_1)[:, 0].any(1)[:, :, None, None]
    query = jnp.where(_alive(ranges)[:, :, None, None], operands.query, 0)
    key, value = (jnp.where(seen, x, 0) for x in (operands.key, operands.value))
    return Operands(query, key, value, ranges)


def _rows(x: Float[Array, "B T N K"], M: int) -> Float[Array, "B M GT K"]:
    """Returns the heads moved to the front, those that share a key head stacked as rows."""
    B, T, N, K = x.shape
    return jnp.einsum("BTNK->BNTK", x).reshape(B, M, N // M * T, K)


def _heads_first(x: Float[Array, "B S M K"]) -> Float[Array, "B M S K"]:
    return jnp.einsum("BSMK->BMSK", x)


def _heads_last(x: Float[Array, "B M GT K"], T: int) -> Float[Array, "B T N K"]:
    B, _, _, K = x.shape
    return jnp.einsum("BNTK->BTNK", x.reshape(B, -1, T, K))


def _turned(x: Float[Array, "B M S T"]) -> Float[Array, "B M T S"]:
    """Returns the last two axes swapped.

    On CPU they are swapped in memory, as XLA is slow at a product whose left factor is transposed.
    """
    turned = jnp.swapaxes(x, -1, -2)
    # The barrier keeps XLA from folding the transpose back into the product.
    return jax.lax.optimization_barrier(turned) if jax.default_backend() == "cpu" else turned


def _product(
    left: Float[Array, "B M rows inner"], right: Float[Array, "B M inner columns"]
) -> Array:
    """Returns the batched matrix product in float32."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def _products(left: Float[Array, "B M rows K"], right: Float[Array, "B M others K"]) -> Array:
    """Returns the products of all rows with all rows, float32."""
    return jnp.einsum("BMIK,BMJK->BMIJ", left, right, preferred_element_type=jnp.float32)
