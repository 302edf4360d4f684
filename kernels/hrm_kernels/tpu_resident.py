"""Attention on TPU for short sequences: keys and values of all heads whole in VMEM, in one pass.

Each row of the batch is read from HBM once and its result written once; scores never leave VMEM.
`tpu_heads` and `tpu_rows` describe the layout, and why scores are held transposed. The forward pass
comes first, then the backward pass, which recomputes the scores.
"""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, result_shape
from hrm_kernels.tpu_heads import Group, merged, product
from hrm_kernels.tpu_rows import MAX_VMEM_BYTES, Row, over_rows, vmem_bytes
from hrm_kernels.vjp import differentiable


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    if case.dtype == "float16":
        return "TPUs have no float16 products; cast to bfloat16, or use xla_short or xla_blocked"
    if vmem_bytes(case) > MAX_VMEM_BYTES:
        return (
            f"holds the scores of all heads, {vmem_bytes(case)} bytes of VMEM of {MAX_VMEM_BYTES}; "
            "use tpu_tiled"
        )
    return None


def forward(options: Options, operands: Operands):
    """Returns the attended values and the log-sum-exp; see `operands.Forward`."""
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
    """Computes a row: each phase for all heads, so that matrix and vector units overlap."""
    scores = []
    for group in row.groups:
        query = row.query(group)
        key = row.key(group)
        for i in range(len(group.heads)):
            # Keys on the left make the product [S, T].
            left = group.of_key(key, i)
            right = group.of_query(query, i)
            scores.append(product(left, right, swap_right=True))
    softmaxed = [_softmax(scale, x, row.allowed) for x in scores]
    for group in row.groups:
        value = row.value(group)
        # Values transposed, [W, S]: the product with [S, T] weights is a plain one, and a head's
        # part of it is a slice of rows.
        swapped = value.T
        attended = []
        for i, n in enumerate(group.heads):
            weights, normaliser, _ = softmaxed[n]
            attended.append(product(group.rows(swapped, i), weights.astype(value.dtype)))
            # After the product, where a query has K numbers and no longer S.
            attended[i] *= normaliser
        out[row.index, :, group.queries] = jnp.concatenate(attended, 0).T.astype(out.dtype)
    if lse is not None:
        lse[row.index] = jnp.concatenate([log for _, _, log in softmaxed], 0)


def _softmax(
    scale: float, scores: Float[Array, "S T"], allowed: Bool[Array, "S T"] | None
) -> tuple[Float[Array, "S T"], Float[Array, "1 T"], Float[Array, "1 T"]]:
    """Returns the weights, the factor that makes their sum 1, and the log-sum-exp."""
    scores = scores * scale
    if allowed is not None:
        scores = jnp.where(allowed, scores, -jnp.inf)
    largest = scores.max(0, keepdims=True)
    # Without a mask every query has a key, so its maximum is finite.
    if allowed is not None:
        largest = jnp.where(largest > -jnp.inf, largest, 0)
    weights = jnp.exp(scores - largest)
    total = weights.sum(0, keepdims=True)
    normaliser = 1 / total if allowed is None else jnp.where(total > 0, 1 / total, 0)
    return weights, normaliser, largest + jnp.log(total)


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Returns the gradients of query, key and value; see `operands.Backward`.

    With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e)
    with e = sum(P dP) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO. All of P and dP
    is in VMEM, so e is summed from them and `out` is not read. Every [S, T] is held transposed
    (`tpu_heads`), which makes dK and dV plain products; dQ comes out transposed.
    """
    del out
    primals = operands.query, operands.key, operands.value
    shapes = tuple(result_shape(x, (*x.shape[:2], x[0, 0].size), x.dtype) for x in primals)
    others = lse, merged(d_out), d_lse
    body = functools.partial(_gradients_of_row, options.scale)
    gradients = over_rows(body, options, operands, others, shapes, products=5)
    return tuple(x.reshape(like.shape) for x, like in zip(gradients, primals, strict=True))


def _gradients_of_row(scale: float, row: Row, lse, d_out, d_lse, d_query, d_key, d_value) -> None:
    """Computes a row: each phase for all heads, so that matrix and vector units overlap."""
    factors = [_Factors(row, group, d_out) for group in row.groups]
    products = [pair for group in factors for pair in group.products()]
    softmaxed = []
    for n, (scores, d_weights) in enumerate(products):
        at = row.index, slice(n, n + 1)
        weights = _weights(scale, scores, lse[at], row.allowed)
        # Over the keys, which lie along sublanes.
        expected = (weights * d_weights).sum(0, keepdims=True)
        if d_lse is not None:
            expected -= d_lse[at]
        d_scores = weights * (d_weights - expected)
        # In the operands' dtype, in which both enter the remaining products.
        softmaxed.append((weights.astype(d_out.dtype), d_scores.astype(d_out.dtype)))
    for group in factors:
        results = group.gradients(scale, softmaxed)
        lanes = group.group.queries, group.group.keys, group.group.keys
        for ref, lane, result in zip((d_query, d_key, d_value), lanes, results, strict=True):
            ref[row.index, :, lane] = result.astype(ref.dtype)


class _Factors:
    """The operands of a group of heads, and the products that they enter."""

    def __init__(self, row: Row, group: Group, d_out: Any):
        self._row = row
        self.group = group
        self._query = row.query(group)
        self._d_out = row.per_query(d_out, group)
        self._key = row.key(group)
        self._value = row.value(group)

    def products(self) -> list[tuple[Float[Array, "S T"], Float[Array, "S T"]]]:
        """Returns `query key^T` and `d_out value^T` of each head."""
        group = self.group

        def both(left: Array, right: Array, i: int) -> Float[Array, "S T"]:
            return product(group.of_key(left, i), group.of_query(right, i), swap_right=True)

        return [
            (both(self._key, self._query, i), both(self._value, self._d_out, i))
            for i in range(len(group.heads))
        ]

    def gradients(
        self, scale: float, softmaxed: list[tuple[Float[Array, "S T"], Float[Array, "S T"]]]
    ) -> tuple[Float[Array, "T GW"], Float[Array, "S W"], Float[Array, "S W"]]:
        """Returns the cotangents of query, key and value, given all heads' weights and d_scores."""
        # Turned once for all heads: the product with d_scores [S, T] is then a plain one.
        swapped = self._key.T
        d_query = []
        d_key = []
        d_value = []
        for i, n in enumerate(self.group.heads):
            weights, d_scores = softmaxed[n]
            d_query.append(product(self.group.rows(swapped, i), d_scores))
            d_key.append(product(d_scores, self.group.of_query(self._query, i)))
            d_value.append(product(weights, self.group.of_query(self._d_out, i)))
        # `merge` before `turn_back`: the rotation is applied to whole groups of lanes.
        d_query = self._row.turn_back(scale * jnp.concatenate(d_query, 0).T, self.group)
        d_key = self._row.turn_back(scale * self.group.merge(d_key), self.group)
        return d_query, d_key, self.group.merge(d_value)


def _weights(
    scale: float,
    scores: Float[Array, "S T"],
    lse: Float[Array, "1 T"],
    allowed: Bool[Array, "S T"] | None,
) -> Float[Array, "S T"]:
    """Returns the probabilities, recomputed from the log-sum-exp."""
    # Infinite for a query without keys, whose lse is -inf; the mask replaces it.
    weights = jnp.exp(scores * scale - lse)
    return weights if allowed is None else jnp.where(allowed, weights, 0)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
