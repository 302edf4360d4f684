"""The product against float64, in both dtypes, and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.nn.product import over_tokens, product

RELATIVE = {"float32": 1e-6, "bfloat16": 2**-8}
"""Of the largest entry: a result is rounded once to its dtype, and sums are float32."""


def _draw(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def _exact(x):
    return np.asarray(x, np.float64)


def _assert_close(found, expected, relative):
    np.testing.assert_allclose(_exact(found), expected, rtol=0, atol=relative * abs(expected).max())


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("axes", [(), (7,), (2, 5, 3)])
def test_values_and_gradients_are_those_of_the_equation(dtype, axes):
    x, kernel, cotangent = _draw(dtype, (*axes, 24), (24, 40), (*axes, 40))
    found, pullback = jax.vjp(jax.jit(product), x, kernel)
    d_x, d_kernel = pullback(cotangent)
    assert found.dtype == d_x.dtype == x.dtype
    _assert_close(found, _exact(x) @ _exact(kernel), RELATIVE[dtype])
    _assert_close(d_x, _exact(cotangent) @ _exact(kernel).T, RELATIVE[dtype])
    rows = (_exact(z).reshape(-1, z.shape[-1]) for z in (x, cotangent))
    _assert_close(d_kernel, next(rows).T @ next(rows), RELATIVE[dtype])


def test_other_platforms_compute_the_same_their_own_way(monkeypatch):
    def values_and_gradients():
        x, kernel, cotangent = _draw("float32", (2, 5, 24), (24, 40), (2, 5, 40))
        found, pullback = jax.vjp(lambda x, kernel: product(x, kernel), x, kernel)
        return found, *pullback(cotangent), over_tokens(x, cotangent)

    ours = values_and_gradients()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    for other, own in zip(values_and_gradients(), ours, strict=True):
        _assert_close(other, _exact(own), 1e-6)


def test_the_gradient_of_a_float32_kernel_is_not_rounded_to_the_dtype_of_x():
    x, cotangent = _draw("bfloat16", (300, 8), (300, 16))
    kernel = jnp.ones((8, 16), jnp.float32)
    d_kernel = jax.vjp(product, x, kernel)[1](cotangent)[1]
    assert d_kernel.dtype == jnp.float32
    _assert_close(d_kernel, _exact(x).T @ _exact(cotangent), 1e-6)


def test_it_maps_and_is_computed_again():
    x, kernel, cotangent = _draw("float32", (3, 5, 4), (3, 4, 6), (3, 5, 6))

    def gradients(wrapped):
        return jax.vjp(jax.vmap(wrapped), x, kernel)[1](cotangent)

    plain = gradients(lambda x, kernel: x @ kernel)
    for wrapped in (product, jax.checkpoint(product)):
        for found, expected in zip(gradients(wrapped), plain, strict=True):
            _assert_close(found, _exact(expected), 1e-6)


def test_sums_over_tokens_are_float32():
    narrow, wide = _draw("bfloat16", (4, 512, 3), (4, 512, 5))
    found = over_tokens(narrow, wide)
    assert found.dtype == jnp.float32
    _assert_close(found, np.einsum("BTI,BTJ->IJ", _exact(narrow), _exact(wide)), 1e-6)


def test_a_kernel_of_another_size_is_refused():
    with pytest.raises(TypeError, match="dot_general"):
        product(jnp.ones((3, 4)), jnp.ones((5, 6)))
