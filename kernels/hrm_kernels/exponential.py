"""Powers of two in a handful of vector instructions, for softmaxes on CPU."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# 2^f on [-1/2, 1/2] as a polynomial in f, lowest power first; minimax fit of the relative error,
# which is 2e-9, with the first coefficient held at 1.
_COEFFICIENTS = (
    1.0,
    0.6931471824645996,
    0.24022647738456726,
    0.055503323674201965,
    0.00961843691766262,
    0.0013398873852565885,
    0.00015353361959569156,
)
_MANTISSA_BITS = 23
_BIAS = 127
_ROUNDING = np.float32(1.5 * 2**_MANTISSA_BITS + _BIAS)
"""Adding it to a small integer leaves integer + _BIAS, a biased exponent, in the lowest bits."""
LOWEST = 1.0 - _BIAS
"""Exponent of the smallest normal float32."""


def exp2(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Returns `2^x` for x below 127, within 2 float32 epsilons; 0 where it would be subnormal.

    On CPU about 2.5 times as fast as `jnp.exp`, which guards its ends and reduces its argument in
    two steps:

        python -m timeit -n 50 \\
          -s 'import jax, jax.numpy as jnp; from hrm_kernels.exponential import exp2' \\
          -s 'f, x = jax.jit(exp2), jnp.ones((64, 4096))' 'f(x).block_until_ready()'

    Args:
      x: float32; -inf gives 0 and NaN gives NaN. The result is meaningless from 127 on.
    """
    # 2^x = 2^nearest * 2^fraction with |fraction| <= 1/2, where the polynomial was fitted.
    nearest = jnp.round(x)
    fraction = x - nearest
    series = jnp.full_like(x, _COEFFICIENTS[-1])
    for coefficient in _COEFFICIENTS[-2::-1]:
        series = series * fraction + coefficient
    # Builds 2^nearest from its bits: the shift moves the biased exponent into place, and
    # everything above it, _ROUNDING's own exponent included, out of the word.
    bits = jax.lax.bitcast_convert_type(nearest + _ROUNDING, jnp.int32) << _MANTISSA_BITS
    power = series * jax.lax.bitcast_convert_type(bits, jnp.float32)
    return jnp.where(x < LOWEST, 0, power)
