"""Attention in plain JAX: the path for CPU and Metal, and the reference for every kernel.

The formulation is the fastest found on CPU for short sequences (`BUILD.md`, "Benchmarks"). Heads
move to the batch; every product, forward and backward, is a plain batched matrix product whose
left operand is not transposed (XLA has a fast path for these alone), which takes K and S swapped
beforehand in keys, queries and values; the softmax is normalised after the second product, on
[T, K] instead of [T, S].
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B S N K"],
    value: Float[Array, "B S N K"],
    scale: float,
) -> Float[Array, "B T N K"]:
    """Softmax attention; scores and sums in float32, the result in the query's dtype."""
    return _forward(query, key, value, scale)[0]


def _forward(query: Array, key: Array, value: Array, scale: float):
    """The result, and what the backward pass needs: operands, probabilities and the result."""
    scores = _product(_heads_first(query * scale), _heads_first_swapped(key))
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    normaliser = 1 / weights.sum(-1, keepdims=True)
    attended = _product(weights.astype(value.dtype), _heads_first(value)) * normaliser
    result = _heads_last(attended).astype(query.dtype)
    return result, (query, key, value, weights, normaliser, result)


def _backward(scale: float, residuals, cotangent: Float[Array, "B T N K"]):
    """Cotangents of query, key and value.

    With probabilities P and scores S: dP = dO V^T, dS = P (dP - sum(dO O)), dV = P^T dO,
    dQ = scale dS K and dK = scale dS^T Q.
    """
    query, key, value, weights, normaliser, result = residuals
    dtype = query.dtype
    probabilities = weights * normaliser
    products = cotangent.astype(jnp.float32) * result.astype(jnp.float32)
    expected = jnp.einsum("BTNK->BNT", products)[..., None]
    d_probabilities = _product(_heads_first(cotangent), _heads_first_swapped(value))
    d_scores = (probabilities * (d_probabilities - expected)).astype(dtype)
    d_query = _heads_last(_product(d_scores, _heads_first(key * scale)))
    d_key = _product(_heads_first_swapped(query * scale), d_scores)
    d_value = _product(_heads_first_swapped(cotangent), probabilities.astype(dtype))
    d_key, d_value = (jnp.einsum("BNKS->BSNK", swapped) for swapped in (d_key, d_value))
    return tuple(gradient.astype(dtype) for gradient in (d_query, d_key, d_value))


attention.defvjp(_forward, _backward)


def _heads_first(x: Float[Array, "B T N K"]) -> Float[Array, "B N T K"]:
    return jnp.einsum("BTNK->BNTK", x)


def _heads_first_swapped(x: Float[Array, "B T N K"]) -> Float[Array, "B N K T"]:
    return jnp.einsum("BTNK->BNKT", x)


def _heads_last(x: Float[Array, "B N T K"]) -> Float[Array, "B T N K"]:
    return jnp.einsum("BNTK->BTNK", x)


def _product(left: Float[Array, "B N I J"], right: Float[Array, "B N J K"]) -> Array:
    """Batched matrix product with a float32 result."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)
