"""Attention as XLA gets it from the formula: what the kernels' errors are compared with.

Scores and sums are float32 whatever the operands are, as in the kernels. Memory is quadratic.
"""

import functools

import jax
import jax.numpy as jnp


def attention(query, key, value, pairs, heads_first: bool):
    """Returns attention by the formula, for XLA to compile and differentiate.

    Scores and sums are float32. The products are written on [B, T, N, K], or on [B, N, T, K] if
    `heads_first`.
    """
    key, value = (jnp.repeat(x, query.shape[2] // x.shape[2], axis=2) for x in (key, value))
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    if heads_first:
        query, key, value = (jnp.einsum("BTNK->BNTK", x) for x in (query, key, value))
        formulas = "BNTK,BNSK->BNTS", "BNTS,BNSK->BNTK"
        out, lse = _by_formula(product, query, key, value, pairs, formulas)
        return jnp.einsum("BNTK->BTNK", out), lse
    return _by_formula(product, query, key, value, pairs, ("BTNK,BSNK->BNTS", "BNTS,BSNK->BTNK"))


def grouped_attention(query, key, value, pairs):
    """Returns the same with the queries of a key head in one product, as `xla_short` has them."""
    B, T, N, K = query.shape
    M = key.shape[2]
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    formulas = "BTMGK,BSMK->BMGTS", "BMGTS,BSMK->BTMGK"
    query = query.reshape(B, T, M, N // M, K)
    out, lse = _by_formula(product, query, key, value, pairs[:, None], formulas)
    return out.reshape(B, T, N, K), lse.reshape(B, N, T)


def _by_formula(product, query, key, value, pairs, formulas: tuple[str, str]):
    scores = product(formulas[0], query, key) * query.shape[-1] ** -0.5
    alive = pairs.any(-1, keepdims=True)
    # A softmax over nothing but -inf has NaN gradients, so a query without keys keeps its scores,
    # and its weights and log-sum-exp are replaced afterwards.
    scores = jnp.where(pairs | ~alive, scores, -jnp.inf)
    weights = jnp.where(alive, jax.nn.softmax(scores, axis=-1), 0)
    out = product(formulas[1], weights.astype(value.dtype), value)
    lse = jnp.where(alive[..., 0], jax.nn.logsumexp(scores, axis=-1), -jnp.inf)
    return out.astype(query.dtype), lse
