"""Root-mean-square normalisation whose rows do not depend on each other, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hrm_kernels import native
from hrm_kernels.device import PLATFORMS


def rms_norm(
    x: Float[Array, "*axes D"], scale: Float[Array, " D"], *, eps: float
) -> Float[Array, "*axes D"]:
    """Returns `x * rsqrt(mean(x^2) + eps) * scale` over the last axis, in the dtype of `x`.

    On CPU, of float32 and where there is a compiler, by the kernel in C++; else by XLA, whose sums
    differ in their last bits with the number of rows. It has no derivative.
    """
    on_cpu = jax.default_backend() not in PLATFORMS
    if not on_cpu or x.dtype != jnp.float32 or native.refuses() is not None:
        wide = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        # Axes are added by hand, as tests let JAX raise where ranks differ.
        scale = scale[(None,) * (x.ndim - 1)]
        return (wide * jax.lax.rsqrt(mean_square + eps) * scale).astype(x.dtype)
    rows = x.reshape(-1, x.shape[-1])
    call = jax.ffi.ffi_call(native.RMS_NORM, jax.ShapeDtypeStruct(rows.shape, jnp.float32))
    return call(rows, scale.astype(jnp.float32), eps=np.float32(eps)).reshape(x.shape)
