"""Norms of rows that do not depend on each other."""

import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import native


def rows(D):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((37, D)) * np.exp(rng.standard_normal((37, 1)))
    return x.astype(np.float32), rng.random(D).astype(np.float32)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("D", [5, 16, 64, 100, 576])
def test_equals_its_definition(monkeypatch, plain, D):
    if plain:
        monkeypatch.setattr(native, "refuses", lambda: "no compiler")
    x, scale = rows(D)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * scale
    found = hrm_kernels.rms_norm(jnp.asarray(x), jnp.asarray(scale), eps=1e-5)
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    narrow = hrm_kernels.rms_norm(jnp.asarray(x, "bfloat16"), jnp.asarray(scale), eps=1e-5)
    assert narrow.dtype == jnp.bfloat16


@pytest.mark.skipif(native.refuses() is not None, reason="no C++ compiler")
@pytest.mark.parametrize("D", [100, 576, 896])
def test_a_row_gives_the_same_bits_alone_and_beside_others(D):
    x, scale = rows(D)
    whole = np.asarray(hrm_kernels.rms_norm(jnp.asarray(x), jnp.asarray(scale), eps=1e-5))
    for begin, end in [(0, 1), (3, 5), (4, 21)]:
        part = hrm_kernels.rms_norm(jnp.asarray(x[begin:end]), jnp.asarray(scale), eps=1e-5)
        np.testing.assert_array_equal(part, whole[begin:end])
