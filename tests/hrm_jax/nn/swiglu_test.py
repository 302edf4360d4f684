"""The gated feed-forward layer."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.swiglu import SwiGLU, swiglu_width


@pytest.mark.parametrize(
    ("features", "expansion", "width"),
    [
        (512, 4.0, 1536),  # 1365.3, the published models
        (97, 4.0, 512),  # 258.7, the token MLP of TRM on Sudoku
        (384, 1.0, 256),  # 256 exactly
        (385, 1.0, 512),  # 256.7 is rounded to 257 first
        (32, 1.0, 256),
    ],
)
def test_width(features, expansion, width):
    assert swiglu_width(features, expansion) == width


def test_gate_comes_before_up():
    layer = SwiGLU(4, 256, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    gate_up = x @ np.asarray(layer.gate_up_proj.kernel[...], np.float64)
    assert gate_up.shape == (2, 3, 512)
    gate, up = gate_up[..., :256], gate_up[..., 256:]
    hidden = gate / (1 + np.exp(-gate)) * up
    expected = hidden @ np.asarray(layer.down_proj.kernel[...], np.float64)
    # Sums of 256 float32 products.
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
