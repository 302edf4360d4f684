"""Bases of blocks against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.optim import eigenbases
from hrm_jax.optim.eigenbases import Bases, Side

SHAPE = (2, 6, 8)
"""Two stacked matrices; with blocks of at most 4, each is two by two blocks of 3 x 4."""

turn_in = jax.jit(eigenbases.turn_in)
turn_out = jax.jit(eigenbases.turn_out, static_argnums=2)
refresh = jax.jit(eigenbases.refresh)


def random_basis(rng, blocks, size):
    return np.linalg.qr(rng.standard_normal((blocks, size, size)))[0]


def side(average, basis):
    return Side(jnp.asarray(average, jnp.float32), jnp.asarray(basis, jnp.float32))


def random_bases(blocks=8, rows=3, columns=4):
    rng = np.random.default_rng(0)
    sides = [
        side(np.zeros((blocks, size, size)), random_basis(rng, blocks, size))
        for size in (rows, columns)
    ]
    return Bases(*sides)


def average_with(basis, eigenvalues):
    return basis * np.asarray(eigenvalues) @ np.swapaxes(basis, -1, -2)


@pytest.mark.parametrize(
    ("shape", "largest", "blocks"),
    [
        ((48, 144), 256, (1, 48, 144)),  # small: whole
        ((512, 1536), 256, (12, 256, 256)),
        ((40, 816), 256, (4, 40, 204)),  # the largest divisor
        ((257, 4), 256, (257, 1, 4)),  # a prime has none but 1: rows keep their own coordinates
        (SHAPE, 4, (8, 3, 4)),
    ],
)
def test_blocks_are_as_large_as_divisors_allow(shape, largest, blocks):
    bases = jax.eval_shape(lambda: eigenbases.identity_bases(shape, largest))
    assert bases.blocks_shape == blocks
    assert bases.rows.average.shape == bases.rows.basis.shape == (*blocks[:2], blocks[1])


def test_new_bases_change_nothing():
    bases = eigenbases.identity_bases(SHAPE, 4)
    x = np.arange(96.0, dtype=np.float32).reshape(SHAPE)
    turned = turn_in(bases, x)
    # Blocks are numbered by stack, then by rows, then by columns.
    np.testing.assert_array_equal(turned[3], x[0, 3:, 4:])
    np.testing.assert_array_equal(turned[6], x[1, 3:, :4])
    assert not np.any(bases.rows.average)


def test_turning_is_a_product_from_both_sides_and_can_be_undone():
    bases = random_bases()
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    turned = turn_in(bases, x)
    expected = bases.rows.basis[3].T @ x[0, 3:, 4:] @ bases.columns.basis[3]
    np.testing.assert_allclose(turned[3], expected, atol=1e-6)
    np.testing.assert_allclose(turn_out(bases, turned, SHAPE), x, atol=1e-6)


def test_averages_move_towards_the_products_of_both_sides():
    bases = eigenbases.identity_bases(SHAPE, 4)
    rng = np.random.default_rng(1)
    rows = np.zeros((3, 3))
    columns = np.zeros((4, 4))
    for _ in range(3):
        gradient = rng.standard_normal(SHAPE)
        block = gradient[0, 3:, 4:]
        rows = 0.9 * rows + 0.1 * block @ block.T
        columns = 0.9 * columns + 0.1 * block.T @ block
        bases = eigenbases.observe(bases, jnp.asarray(gradient, jnp.float32), 0.9)
    np.testing.assert_allclose(bases.rows.average[3], rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bases.columns.average[3], columns, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(bases.rows.basis[3], np.eye(3))


def refreshed(both, nu, first):
    bases, moments = refresh({"w": both}, {"w": jnp.asarray(nu, jnp.float32)}, jnp.asarray(first))
    return bases["w"], moments["w"]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_first_bases_are_the_eigenvectors_largest_first(scale):
    rng = np.random.default_rng(0)
    rows = random_basis(rng, 1, 3)
    columns = random_basis(rng, 1, 4)
    both = Bases(
        side(average_with(rows, [1, 3, 2]) * scale, random_basis(rng, 1, 3)),
        side(average_with(columns, [4, 1, 2, 3]) * scale, random_basis(rng, 1, 4)),
    )
    found, nu = refreshed(both, np.zeros((1, 3, 4)), True)
    for basis, expected, order in (
        (found.rows.basis, rows, [1, 2, 0]),
        (found.columns.basis, columns, [0, 3, 2, 1]),
    ):
        overlap = np.abs(np.swapaxes(basis, -1, -2) @ expected[..., order])
        np.testing.assert_allclose(overlap[0], np.eye(len(order)), atol=1e-5)
    np.testing.assert_array_equal(found.rows.average, both.rows.average)
    assert not nu.any()


def test_later_bases_take_one_step_of_orthogonal_iteration():
    rng = np.random.default_rng(0)
    average = average_with(random_basis(rng, 2, 5), [5, 4, 3, 2, 1])
    basis = random_basis(rng, 2, 5)
    both = Bases(side(average, basis), side(np.zeros((2, 2, 2)), np.eye(2)[None].repeat(2, 0)))
    found, _ = refreshed(both, np.zeros((2, 5, 2)), False)
    for ours, S, Q in zip(found.rows.basis, average, basis, strict=True):
        order = np.argsort(-np.diag(Q.T @ S @ Q))
        expected = np.linalg.qr((S @ Q)[:, order])[0]
        np.testing.assert_allclose(np.abs(ours.T @ expected), np.eye(5), atol=1e-5)


def test_second_moments_keep_to_their_directions_when_these_change_places():
    rows = [1.0, 3.0, 2.0]
    columns = [1.0, 2.0]
    eyes = [np.eye(size)[None] for size in (3, 2)]
    both = Bases(side(np.diag(rows)[None], eyes[0]), side(np.diag(columns)[None], eyes[1]))
    nu = np.arange(6.0).reshape(1, 3, 2)
    found, moved = refreshed(both, nu, False)
    np.testing.assert_allclose(np.abs(found.rows.basis[0]), np.eye(3)[:, [1, 2, 0]], atol=1e-6)
    np.testing.assert_array_equal(moved[0], nu[0][[1, 2, 0]][:, [1, 0]])


def test_refreshing_again_and_again_leads_to_the_eigenvectors():
    rng = np.random.default_rng(0)
    vectors = random_basis(rng, 1, 4)
    both = Bases(
        side(average_with(vectors, [1, 0.1, 0.01, 0]), random_basis(rng, 1, 4)),
        side(np.ones((1, 1, 1)), np.ones((1, 1, 1))),
    )
    nu = np.zeros((1, 4, 1))
    for _ in range(10):
        both, nu = refreshed(both, nu, False)
    overlap = np.abs(np.swapaxes(both.rows.basis, -1, -2) @ vectors)[0]
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-4)


@given(st.integers(0, 4), st.integers(-30, 30), st.booleans())
@settings(max_examples=20, deadline=None)
def test_bases_are_orthogonal_for_averages_of_any_rank_and_size(rank, power, first):
    rng = np.random.default_rng(rank)
    factors = rng.standard_normal((2, 4, rank))
    average = factors @ np.swapaxes(factors, -1, -2) * 10.0**power
    both = Bases(side(average, random_basis(rng, 2, 4)), random_bases(2).rows)
    found, _ = refreshed(both, np.zeros((2, 4, 3)), first)
    gram = np.swapaxes(found.rows.basis, -1, -2) @ found.rows.basis
    np.testing.assert_allclose(gram, np.eye(4)[None].repeat(2, 0), atol=1e-5)


def test_matrices_of_one_size_are_decomposed_together():
    """On accelerators each decomposition is a large program: one for a size, not for a matrix."""
    bases = {name: eigenbases.identity_bases((4, 4), 4) for name in "abc"}
    nu = {name: jnp.zeros((1, 4, 4)) for name in bases}
    lowered = refresh.lower(bases, nu, jnp.asarray(True)).as_text()
    assert lowered.count("@lapack_ssyevd") == 1


def test_noise_is_measured_in_each_block_for_itself():
    root = jnp.array([[[1e3, 1.0, 1e-9]], [[1e-3, 1e-6, 1e-9]], [[0.0, 0.0, 0.0]]])
    raised = eigenbases.above_noise(root)
    expected = [[1e3, 1.0, 1e3 * 2**-16], [1e-3, 1e-6, 1e-3 * 2**-16], [0, 0, 0]]
    np.testing.assert_allclose(raised[:, 0], expected, rtol=1e-6)
