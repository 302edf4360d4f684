"""The product of activations and a kernel, with a backward pass that is fast on CPU."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_jax.nn.quantized import QuantizedWeights


def product(
    x: Float[Array, "*axes inputs"], kernel: Float[Array, "inputs outputs"] | QuantizedWeights
) -> Float[Array, "*axes outputs"]:
    """Returns `x @ kernel` in the dtype of `x`, to which the kernel is rounded first.

    A quantised kernel gets no gradient. On CPU the derivative of others is written by hand for XLA,
    in reverse mode only. The kernel's gradient is float32 throughout there; elsewhere it is rounded
    to the dtype of `x` once.
    """
    if isinstance(kernel, QuantizedWeights):
        return kernel.product(x)
    if jax.default_backend() == "cpu":
        return _product(x, kernel)
    # No custom derivative here, so that forward mode works as well.
    return x @ kernel.astype(x.dtype)


@jax.custom_vjp
def _product(x, kernel):
    return _multiply(x, kernel)


def over_tokens(
    narrow: Float[Array, "*axes narrow"], wide: Float[Array, "*axes wide"]
) -> Float[Array, "narrow wide"]:
    """Returns `sum over tokens: narrow^T wide`, float32.

    On CPU such a sum runs at half speed unless the narrower factor is transposed in memory first.
    """
    # All axes before the last are summed over, as one.
    narrow, wide = (z.reshape(-1, z.shape[-1]) for z in (narrow, wide))
    if jax.default_backend() == "cpu":
        # The barriers keep XLA from folding the transpose back into the product.
        turned = jax.lax.optimization_barrier(jax.lax.optimization_barrier(narrow).T)
        return jax.lax.optimization_barrier(
            jnp.matmul(turned, wide, preferred_element_type=jnp.float32)
        )
    return jnp.matmul(narrow.T, wide, preferred_element_type=jnp.float32)


def _multiply(x, kernel):
    """Returns the product with float32 sums, for which XLA on CPU has fast bfloat16 units (AMX)."""
    kernel = kernel.astype(x.dtype)
    return jnp.matmul(x, kernel, preferred_element_type=jnp.float32).astype(x.dtype)


def _forward(x, kernel):
    return _multiply(x, kernel), (x, kernel)


def _backward(residuals, d_out):
    x, kernel = residuals
    d_kernel = over_tokens(x, d_out)
    return _multiply(d_out, kernel.T), d_kernel.astype(kernel.dtype)


_product.defvjp(_forward, _backward)
