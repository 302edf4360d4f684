"""The count of matrix products against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from hrm_jax.training.flops import matmul_flops

LEFT = jnp.zeros((3, 4))
RIGHT = jnp.zeros((4, 5))
PRODUCT = 2 * 3 * 4 * 5


def test_a_product_and_its_gradients():
    assert matmul_flops(jnp.matmul, LEFT, RIGHT) == PRODUCT
    gradients = jax.grad(lambda a, b: jnp.square(a @ b).sum(), (0, 1))
    assert matmul_flops(gradients, LEFT, RIGHT) == 3 * PRODUCT


def test_abstract_arguments_are_enough():
    left, right = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (LEFT, RIGHT))
    assert matmul_flops(jax.jit(jnp.matmul), left, right) == PRODUCT


def test_a_batch_of_products():
    assert matmul_flops(jnp.matmul, jnp.zeros((7, 3, 4)), jnp.zeros((7, 4, 5))) == 7 * PRODUCT


def test_a_loop_counts_as_often_as_it_runs():
    def powers(matrix):
        return jax.lax.scan(lambda x, _: (x @ matrix, None), matrix, length=6)[0]

    square = jnp.zeros((4, 4))
    assert matmul_flops(powers, square) == 6 * 2 * 4**3
    remade = jax.grad(lambda m: jax.checkpoint(powers)(m).sum())
    assert matmul_flops(remade, square) == 6 * 2 * 4**3 * (1 + 1 + 2)


def test_of_branches_the_one_with_most_work_counts():
    def either(which):
        return jax.lax.cond(which, lambda: LEFT @ RIGHT, lambda: jnp.zeros((3, 5)))

    assert matmul_flops(either, True) == PRODUCT


def test_a_loop_of_unknown_length_is_refused():
    def until(matrix):
        return jax.lax.while_loop(lambda x: x.sum() < 1, lambda x: x @ matrix, matrix)

    with pytest.raises(ValueError, match="known length around products, got a while"):
        matmul_flops(until, jnp.zeros((4, 4)))
