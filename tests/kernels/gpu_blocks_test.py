"""How the GPU kernels multiply."""

import jax
import jax.numpy as jnp
import pytest

from hrm_kernels import gpu_blocks


def precision_of(dtype: str, asked: str | None, interpret: bool):
    """The precision that a product asks the compiler for."""
    operand = jnp.ones((16, 16), dtype)
    with jax.default_matmul_precision(asked):
        product = gpu_blocks.product_of(dtype, interpret)
        (dot,) = jax.make_jaxpr(product)(operand, operand).eqns
    return dot.params["precision"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("default", gpu_blocks.TF32_PRODUCTS),
        ("high", gpu_blocks.TF32_PRODUCTS),
        ("tensorfloat32", gpu_blocks.TF32_PRODUCTS),
        ("highest", gpu_blocks.HIGHEST_PRODUCTS),
        ("float32", gpu_blocks.HIGHEST_PRODUCTS),
    ],
)
def test_products_of_float32_follow_the_default_precision(asked, expected):
    assert precision_of("float32", asked, interpret=False) == expected


def test_interpreted_products_of_float32_are_exact():
    highest = jax.lax.Precision.HIGHEST
    assert precision_of("float32", "default", interpret=True) == (highest, highest)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_products_of_16_bits_ask_for_nothing(dtype):
    assert precision_of(dtype, "default", interpret=False) in (
        None,
        (jax.lax.Precision.DEFAULT,) * 2,
    )
