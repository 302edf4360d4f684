"""The product of activations and a kernel, summed in float32, with a backward pass of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def product(x: Float[Array, "*axes I"], kernel: Float[Array, "I O"]) -> Float[Array, "*axes O"]:
    """`x @ kernel` in the dtype of `x`: the kernel is rounded to it, and sums are float32.

    The kernel's gradient is float32 sums too, never rounded to the dtype of `x`. Asking for
    float32 sums is also what lets XLA on CPU take the machine's own bfloat16 products (AMX), three
    to six times as fast as float32's; results of bfloat16 it computes in float32.
    """
    return _multiply(x, kernel.astype(x.dtype))


def over_tokens(
    narrow: Float[Array, "*axes I"], wide: Float[Array, "*axes J"]
) -> Float[Array, "I J"]:
    """`sum over tokens: narrow^T wide`, float32.

    On CPU such a sum runs at half speed unless the narrower factor is turned first.
    """
    narrow, wide = (z.reshape(-1, z.shape[-1]) for z in (narrow, wide))
    if jax.default_backend() == "cpu":
        turned = jax.lax.optimization_barrier(jax.lax.optimization_barrier(narrow).T)
        return jax.lax.optimization_barrier(
            jnp.matmul(turned, wide, preferred_element_type=jnp.float32)
        )
    return jnp.matmul(narrow.T, wide, preferred_element_type=jnp.float32)


def _multiply(x, kernel):
    return jnp.matmul(x, kernel, preferred_element_type=jnp.float32).astype(x.dtype)


def _forward(x, kernel):
    return product(x, kernel), (x, kernel)


def _backward(residuals, d_out):
    x, kernel = residuals
    d_kernel = over_tokens(x, d_out)
    return _multiply(d_out, kernel.astype(d_out.dtype).T), d_kernel.astype(kernel.dtype)


product.defvjp(_forward, _backward)
