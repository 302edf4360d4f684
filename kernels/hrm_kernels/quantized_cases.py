"""Examples of quantised products with what they are exactly, for the tests and the device suite."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hrm_kernels.blocks import cdiv
from hrm_kernels.quantized_matrix import ACCELERATOR, PLANES, UNIT, Layout, QuantizedMatrix, pack
from hrm_kernels.quantized_rows import excess, number_of_parts


class Form(NamedTuple):
    """How a matrix is quantised: bits of a code, inputs of a group, offsets, integer scales."""

    bits: int
    group: int
    offset: bool
    nested: bool


FORMS = {
    "Q4_0": Form(4, 32, offset=False, nested=False),
    "Q4_1": Form(4, 32, offset=True, nested=False),
    "Q5_0": Form(5, 32, offset=False, nested=False),
    "Q5_1": Form(5, 32, offset=True, nested=False),
    "Q8_0": Form(8, 32, offset=False, nested=False),
    "Q4_K": Form(4, 32, offset=True, nested=True),
    "Q5_K": Form(5, 32, offset=True, nested=True),
    "Q6_K": Form(6, 16, offset=False, nested=True),
}
"""By the names of ggml's types."""


@dataclasses.dataclass(frozen=True)
class Product:
    """Sizes of a product; by default the last panel, steps and tiles of the matrix are not full.

    Attributes:
      form: of the matrix, one of FORMS.
      rows: of activations.
      dtype: of these.
      V: outputs.
      D: inputs.
    """

    form: str
    rows: int
    dtype: str = "float32"
    V: int = 1000
    D: int = 1280

    def __str__(self) -> str:
        return f"product-{self.form}-{self.rows}-{self.dtype}-V{self.V}-D{self.D}"


@dataclasses.dataclass(frozen=True)
class Example:
    """A random matrix, and its elements in float64.

    Attributes:
      matrix: in NumPy arrays.
      weights: float64 [V, D].
      sizes: likewise, of the numbers that the kernels of TPU and GPU sum for a weight.
    """

    matrix: QuantizedMatrix
    weights: np.ndarray
    sizes: np.ndarray


def example(form: Form, V: int, D: int, layout: Layout = ACCELERATOR, seed: int = 0) -> Example:
    """Returns a random matrix of V outputs and D inputs, a multiple of 256 where scales nest."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**form.bits, (V, D))
    scales, scale_units, scale = _factors(rng, form, V, D, sign=1)
    offsets, offset_units, offset = None, None, np.zeros(())
    if form.offset:
        offsets, offset_units, offset = _factors(rng, form, V, D, sign=-1)
    matrix = pack(
        codes,
        scales,
        offsets,
        bits=form.bits,
        group=form.group,
        scale_units=scale_units,
        offset_units=offset_units,
        layout=layout,
    )
    zero = 0 if form.offset else 2 ** (form.bits - 1)
    sizes = np.abs(scale) * (codes + excess(matrix)) + np.abs(offset)
    return Example(matrix, scale * (codes - zero) + offset, sizes)


def shapes(form: Form, V: int, D: int) -> QuantizedMatrix:
    """Returns the shapes of a matrix in the layout of TPU and GPU, for compiling ahead of time."""
    layout = ACCELERATOR
    P = cdiv(V, layout.panel)

    def panels(rows: int, dtype: str) -> Any:
        return jax.ShapeDtypeStruct((P, rows, layout.panel), dtype)

    def factors(inputs: int, dtype: str) -> Any:
        return panels(cdiv(D // inputs, layout.factors) * layout.factors, dtype)

    scales = factors(form.group, "int8" if form.nested else layout.halves)
    units = factors(UNIT, layout.halves) if form.nested else None
    return QuantizedMatrix(
        tuple(panels(layout.held(D, k) * k // 32, "uint32") for k in PLANES[form.bits]),
        scales,
        scales if form.offset else None,
        units,
        units if form.offset else None,
        bits=form.bits,
        group=form.group,
        outputs=V,
        inputs=D,
        layout=layout,
    )


def activations(rows: int, D: int) -> np.ndarray:
    """Returns float32 [rows, D], groups of very different sizes and one of zeros."""
    x = np.random.default_rng(1).standard_normal((rows, D))
    sizes = 10.0 ** np.random.default_rng(2).integers(-3, 3, (rows, D // 32))
    x *= np.repeat(sizes, 32, 1)
    x[0, :32] = 0
    return x.astype(np.float32)


def share_of_allowed(got: np.ndarray, x: np.ndarray, made: Example) -> float:
    """Returns the largest error of the product on TPU or GPU over what `quantized_rows` allows.

    Allowed is 2 ** -20 of all sizes for float32 sums, 2 ** -15 of the weighted activations where
    these are multiplied in two parts, and the rounding of the result.

    Args:
      got: [rows, V], the product.
      x: the activations in the dtype of the result.
      made: the matrix.
    """
    wide = x.astype(np.float64)
    exact = wide @ made.weights.T
    allowed = 2.0**-20 * (np.abs(wide) @ made.sizes.T)
    if x.dtype == np.float32 and number_of_parts(x.dtype) == 2:
        allowed += 2.0**-15 * (np.abs(wide) @ np.abs(made.weights).T)
    allowed += float(jnp.finfo(x.dtype).eps) * np.abs(exact)
    return float(np.max(np.abs(np.asarray(got, np.float64) - exact) / (allowed + 1e-30)))


def _factors(rng: np.random.Generator, form: Form, V: int, D: int, sign: int):
    """Returns random scales or offsets, their units or None, and both multiplied, [V, D]."""
    group = form.group
    if not form.nested:
        scales = (sign * rng.random((V, D // group))).astype(np.float16)
        return scales, None, np.repeat(scales.astype(np.float64), group, 1)
    scales = rng.integers(-60, 60, (V, D // group)).astype(np.int8)
    # Some are below the least normal number of float16, as in real files.
    units = (sign * rng.random((V, D // UNIT)) * rng.choice([1e-6, 1e-2], (V, 1))).astype(
        np.float16
    )
    wide = np.repeat(units.astype(np.float64), UNIT // group, 1) * scales
    return scales, units, np.repeat(wide, group, 1)
