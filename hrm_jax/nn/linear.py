"""Linear layers, and the truncated normal that initialises all weights here."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from hrm_jax.nn.keys import Keys
from hrm_jax.nn.product import product

# Of a normal with deviation 1: `scipy.stats.truncnorm(-2, 2).std()`.
_STD_OF_UNIT_NORMAL_CUT_AT_2 = 0.87962566103423978


def truncated_normal(key: PRNGKeyArray, shape: Sequence[int], std: float) -> Float[Array, "*shape"]:
    """Returns draws of a normal cut at two standard deviations, float32.

    They are scaled so that their own standard deviation is `std`.
    """
    unit = jax.random.truncated_normal(key, -2.0, 2.0, tuple(shape), jnp.float32)
    return unit * (std / _STD_OF_UNIT_NORMAL_CUT_AT_2)


class Linear(nnx.Module):
    """`x @ kernel + bias`, with parameters cast to the input's dtype at use.

    Attributes:
      kernel: [in, out] (PyTorch keeps [out, in]).
      bias: [out], zeros at first; absent without `use_bias`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        axes: tuple[str | None, str | None],
        use_bias: bool = False,
        rngs: Keys,
    ):
        """Initialises `kernel` with standard deviation `1 / sqrt(in_features)`.

        Args:
          in_features: size of the last axis of the input.
          out_features: size of the last axis of the output.
          axes: logical names of the kernel's axes; `core.mesh` maps them to mesh axes.
          use_bias: whether to add a bias.
          rngs: source of the initialisation key.
        """
        kernel = truncated_normal(rngs.params(), (in_features, out_features), in_features**-0.5)
        self.kernel = nnx.Param(kernel, axes=axes)
        self.use_bias = use_bias
        if use_bias:
            # A bias is split over devices as the kernel's outputs are.
            self.bias = nnx.Param(jnp.zeros(out_features, jnp.float32), axes=axes[1:])

    def __call__(self, x: Float[Array, "*axes inputs"]) -> Float[Array, "*axes outputs"]:
        """Returns the layer applied over the last axis, in the dtype of `x`."""
        y = product(x, self.kernel[...])
        # Axes are added by hand, as tests let JAX broadcast no shapes of different rank.
        return y + self.bias[...].astype(x.dtype)[(None,) * (y.ndim - 1)] if self.use_bias else y
