"""Sign-SGD on the rows that a batch touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.optim.puzzle_rows import SparseRows, apply_row_updates, sign_sgd_rows

RATE = 0.1
DECAY = 0.5
TABLE = np.arange(1, 16, dtype=np.float32).reshape(5, 3)


def moved(identifiers, values, rate=RATE, table=TABLE) -> np.ndarray:
    """The table after one update."""
    transformation = sign_sgd_rows(rate, DECAY)

    @jax.jit
    def update(grads, table):
        updates, _ = transformation.update(grads, transformation.init(table), table)
        return apply_row_updates(table, updates)

    return np.asarray(update(SparseRows(jnp.asarray(identifiers), jnp.asarray(values)), table))


def test_touched_rows_decay_and_step_by_the_sign():
    found = moved([3, 1], [[2.0, -0.1, 0.0], [1e-9, 5.0, -5.0]])
    signs = np.array([[1, 1, -1], [1, -1, 0]])
    expected = TABLE[[1, 3]] * (1 - RATE * DECAY) - RATE * signs
    np.testing.assert_allclose(found[[1, 3]], expected, rtol=1e-6)


def test_other_rows_keep_every_bit():
    found = moved([3, 1, 3], np.ones((3, 3), np.float32))
    np.testing.assert_array_equal(found[[0, 2, 4]], TABLE[[0, 2, 4]])


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_gradients_of_equal_identifiers_are_summed_before_the_sign(monkeypatch, platform):
    """+3 - 1 - 1 > 0, though most signs are negative: the row steps down, and once."""
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    found = moved([2, 2, 2], [[3.0, -3.0, 1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    expected = TABLE[2] * (1 - RATE * DECAY) - RATE * np.array([1, -1, 1])
    np.testing.assert_allclose(found[2], expected, rtol=1e-6)


def test_gradients_that_cancel_leave_the_decay():
    found = moved([2, 0, 2], [[1.0] * 3, [1.0] * 3, [-1.0] * 3])
    np.testing.assert_allclose(found[2], TABLE[2] * (1 - RATE * DECAY), rtol=1e-6)


def test_equals_a_dense_loop_on_random_batches():
    rng = np.random.default_rng(0)
    for _ in range(5):
        identifiers = rng.integers(5, size=8)
        values = rng.standard_normal((8, 3)).astype(np.float32)
        expected = TABLE.astype(np.float64)
        for row in set(identifiers.tolist()):
            total = values[identifiers == row].astype(np.float64).sum(0)
            expected[row] = expected[row] * (1 - RATE * DECAY) - RATE * np.sign(total)
        np.testing.assert_allclose(moved(identifiers, values), expected, rtol=1e-6)


def test_the_rate_follows_the_updates_done():
    transformation = sign_sgd_rows(lambda count: 1.0 * (count + 1))
    grads = SparseRows(jnp.array([0]), jnp.ones((1, 3)))
    table = jnp.zeros((2, 3))
    state = transformation.init(table)
    for expected in (-1, -2, -3):
        updates, state = transformation.update(grads, state, table)
        np.testing.assert_array_equal(updates.values, np.full((1, 3), expected))
    assert state.count == 3


def test_needs_the_table():
    transformation = sign_sgd_rows(RATE)
    state = transformation.init(jnp.asarray(TABLE))
    with pytest.raises(ValueError, match="needs the table"):
        transformation.update(SparseRows(jnp.array([0]), jnp.ones((1, 3))), state)


def test_rows_do_not_decay_unless_told():
    transformation = sign_sgd_rows(RATE)
    grads = SparseRows(jnp.array([2]), jnp.zeros((1, 3)))
    updates, state = transformation.update(grads, transformation.init(TABLE), jnp.asarray(TABLE))
    np.testing.assert_array_equal(updates.values, np.zeros((1, 3)))
    assert int(state.count) == 1
