"""What layers of a quantised model hold in the place of arrays: `kernel`, `table` and `scale`."""

import dataclasses
import types
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_kernels import QuantizedMatrix, quantized_product, rms_norm, take_rows


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuantizedWeights:
    """A matrix of V outputs by D inputs, its rows in one format or several.

    As a layer's kernel it stands for an array [D, V], as an embedding's table for [V, D].

    Attributes:
      parts: the rows from the first to the last; D is the same in all.
    """

    parts: tuple[QuantizedMatrix, ...]

    def __getitem__(self, index: types.EllipsisType) -> Self:
        """Returns itself, as a variable of Flax asks its value for `[...]`."""
        if index is not Ellipsis:
            raise TypeError(f"quantised weights have no elements to be read one by one: {index}")
        return self

    def product(self, x: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the outputs for `x`, in its dtype."""
        # One product for each format: the parts of a fused projection may be quantised in different
        # ones.
        outputs = [quantized_product(x, part) for part in self.parts]
        return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=-1)

    def look_up(self, rows: Int[Array, "*axes"]) -> Float[Array, "*axes D"]:
        """Returns rows by number, float32.

        Raises:
          ValueError: the rows have several formats, as only those of fused projections do.
        """
        if len(self.parts) != 1:
            raise ValueError(f"expected rows in one format, got {len(self.parts)}")
        (matrix,) = self.parts
        return take_rows(matrix, rows)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExactScale:
    """A norm's scale in a model that is not trained: rows do not depend on their neighbours.

    Attributes:
      values: float32 [D].
    """

    values: Float[Array, " D"]

    def __getitem__(self, index: types.EllipsisType) -> Self:
        """Returns itself, as a variable of Flax asks its value for `[...]`."""
        if index is not Ellipsis:
            raise TypeError(f"a scale has no elements to be read one by one: {index}")
        return self

    def norm(self, x: Float[Array, "*axes D"], eps: float) -> Float[Array, "*axes D"]:
        """Returns `x` normalised and scaled; see `hrm_kernels.rms_norm`."""
        return rms_norm(x, self.values, eps=eps)
