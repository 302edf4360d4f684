"""A batch in parts gives what it gives as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.training.parts import check_parts, sum_over_parts

ROWS = {"x": jnp.arange(24.0).reshape(8, 3), "flag": jnp.arange(8) % 3 == 0}


def squares(rows):
    """Two sums over rows, and what each row gives."""
    return (rows["x"] ** 2).sum(0), rows["flag"].sum(), {"x": rows["x"], "not": ~rows["flag"]}


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_sums_are_added_and_rows_stay_in_order(parts):
    compiled = jax.jit(sum_over_parts, static_argnums=(0, 2))
    found = compiled(squares, ROWS, parts, zeros=jnp.zeros(3))
    expected = squares(ROWS)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert [x.dtype for x in jax.tree.leaves(found)] == [x.dtype for x in jax.tree.leaves(expected)]


def test_the_function_sees_rows_of_one_part_alone():
    sizes = []

    def note(rows):
        sizes.append(rows["x"].shape[0])
        return squares(rows)

    sum_over_parts(note, ROWS, 4, zeros=jnp.zeros(3))
    assert set(sizes) == {2}


@pytest.mark.parametrize(("rows", "parts", "devices"), [(8, 3, 1), (8, 4, 4), (4, 8, 1)])
def test_parts_that_are_not_equal_are_refused(rows, parts, devices):
    with pytest.raises(ConfigError, match=rf"loop\.batch_parts.*divide the {rows // devices} rows"):
        check_parts(rows, parts, devices)
    check_parts(rows, 1, devices)
